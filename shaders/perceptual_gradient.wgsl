// h[n, c, p] = r (e[c] - x[c] r / |x| sum over k of x[k] e[k])   with r = 1 / (|x| + 1e-10)
// e[c] = 2 g[n] / pixels * w[c] (u[c] - v[c]), and 0 where all channels of x are 0: the gradient of
// perceptual_distance.wgsl in x, pixel by pixel; u and v are explained there.
//
// 0: g  [N]     1: x  [N, C, pixels]     2: y  [N, C, pixels]     3: w  [C]     4: h  [N, C, pixels]
// An invocation computes all channels of one pixel; of four where ELEMENT is vec4f, pixels being counted in vectors.

struct Params {
  /// N * pixels
  size: u32,
  channels: u32,
  pixels: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read> x_data: array<ELEMENT>;
@group(0) @binding(2) var<storage, read> y_data: array<ELEMENT>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<ELEMENT>;
@group(0) @binding(5) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (workgroup.y * groups.x + workgroup.x) * WORKGROUP + local;
  if (index >= params.size) {
    return;
  }
  let sample = index / params.pixels;
  let first = sample * params.channels * params.pixels + index % params.pixels;
  var xx = ELEMENT(0.0);
  var yy = ELEMENT(0.0);
  for (var c = 0u; c < params.channels; c++) {
    let at = first + c * params.pixels;
    xx += x_data[at] * x_data[at];
    yy += y_data[at] * y_data[at];
  }
  let norm = sqrt(xx);
  let x_rate = 1.0 / (norm + 1e-10);
  let y_rate = 1.0 / (sqrt(yy) + 1e-10);
  var inner = ELEMENT(0.0);
  for (var c = 0u; c < params.channels; c++) {
    let at = first + c * params.pixels;
    let x = x_data[at];
    inner += x * weight[c] * (x * x_rate - y_data[at] * y_rate);
  }
  let lives = norm > ELEMENT(0.0);
  let outer = params.scale * gradient[sample] * select(ELEMENT(0.0), x_rate, lives);
  let along = inner * x_rate / select(ELEMENT(1.0), norm, lives);
  for (var c = 0u; c < params.channels; c++) {
    let at = first + c * params.pixels;
    let x = x_data[at];
    output[at] = outer * (weight[c] * (x * x_rate - y_data[at] * y_rate) - x * along);
  }
}
