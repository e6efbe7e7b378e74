// s[c, k] = sum over all n and the i of split k of g[n, c, i]
// t[c, k] = sum over all n and the i of split k of g[n, c, i] * (x[n, c, i] - mean[c]) / sqrt(variance[c] + epsilon)
// The gradients of batch normalisation in its bias and its weight, g being that of its output.
//
// 0: g  [N, C, plane]     1: x  [N, C, plane]     2: mean  [C]     3: variance  [C]     4: s  [C, splits]
// 5: t  [C, splits]
// A workgroup computes one split of one channel. ELEMENT is vec4f where four divides the plane, and all counts are of
// vectors then; else it is f32.

struct Params {
  samples: u32,
  channels: u32,
  plane: u32,
  /// Of each plane; the last split may have less.
  split_length: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<ELEMENT>;
@group(0) @binding(1) var<storage, read> input: array<ELEMENT>;
@group(0) @binding(2) var<storage, read> mean_data: array<f32>;
@group(0) @binding(3) var<storage, read> variance_data: array<f32>;
@group(0) @binding(4) var<storage, read_write> bias_gradient: array<f32>;
@group(0) @binding(5) var<storage, read_write> weight_gradient: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

var<workgroup> partial: array<vec2f, WORKGROUP>;

fn collect(v: ELEMENT) -> f32 {
  return COLLECT;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let channel = workgroup.y;
  let mean = mean_data[channel];
  let start = workgroup.x * params.split_length;
  let end = min(start + params.split_length, params.plane);
  var sum = ELEMENT(0.0);
  var product = ELEMENT(0.0);
  for (var n = 0u; n < params.samples; n++) {
    let base = (n * params.channels + channel) * params.plane;
    for (var i = start + local; i < end; i += WORKGROUP) {
      let at = base + i;
      let g = gradient[at];
      sum += g;
      product += g * (input[at] - mean);
    }
  }
  partial[local] = vec2f(collect(sum), collect(product));
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) {
      partial[local] += partial[local + half];
    }
  }
  if (local == 0) {
    bias_gradient[channel * groups.x + workgroup.x] = partial[0].x;
    weight_gradient[channel * groups.x + workgroup.x] =
      partial[0].y * inverseSqrt(variance_data[channel] + params.epsilon);
  }
}
