// d[n, s] = 1 / pixels * sum over pixels p in split s, channels c of w[c] (u[n, c, p] - v[n, c, p])^2
// u = x / (|x| + 1e-10), v = y / (|y| + 1e-10) with |.| over the channels of a pixel: one layer of LPIPS (Zhang et al.
// 2018, equation 1).
//
// 0: x  [N, C, pixels]     1: y  [N, C, pixels]     2: w  [C]     3: d  [N, columns], of which some columns are written
// A workgroup computes one split of one sample. ELEMENT is vec4f where four divides the pixels, and those are counted
// in vectors then; else it is f32.

struct Params {
  channels: u32,
  pixels: u32,
  split_length: u32,
  columns: u32,
  /// The first column of this layer.
  first: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> x_data: array<ELEMENT>;
@group(0) @binding(1) var<storage, read> y_data: array<ELEMENT>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> distance_data: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

var<workgroup> partial: array<f32, WORKGROUP>;

fn collect(v: ELEMENT) -> f32 {
  return COLLECT;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let sample = workgroup.y * params.channels * params.pixels;
  let start = workgroup.x * params.split_length;
  let end = min(start + params.split_length, params.pixels);
  var sum = ELEMENT(0.0);
  for (var p = start + local; p < end; p += WORKGROUP) {
    var xx = ELEMENT(0.0);
    var yy = ELEMENT(0.0);
    for (var c = 0u; c < params.channels; c++) {
      let at = sample + c * params.pixels + p;
      xx += x_data[at] * x_data[at];
      yy += y_data[at] * y_data[at];
    }
    let x_rate = 1.0 / (sqrt(xx) + 1e-10);
    let y_rate = 1.0 / (sqrt(yy) + 1e-10);
    var pixel = ELEMENT(0.0);
    for (var c = 0u; c < params.channels; c++) {
      let at = sample + c * params.pixels + p;
      let difference = x_data[at] * x_rate - y_data[at] * y_rate;
      pixel += weight[c] * difference * difference;
    }
    sum += pixel;
  }
  partial[local] = collect(sum);
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) {
      partial[local] += partial[local + half];
    }
  }
  if (local == 0) {
    distance_data[workgroup.y * params.columns + params.first + workgroup.x] = params.scale * partial[0];
  }
}
