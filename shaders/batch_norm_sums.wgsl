// s[c] = sum over n, i of g[n, c, i]
// t[c] = sum over n, i of g[n, c, i] * (x[n, c, i] - mean[c]) / sqrt(variance[c] + epsilon)
// The gradients of batch normalisation in its bias and its weight, g being that of its output.
//
// 0: g  [N, C, plane]     1: x  [N, C, plane]     2: mean  [C]     3: variance  [C]     4: s  [C]     5: t  [C]
// A workgroup computes one channel.

struct Params {
  samples: u32,
  channels: u32,
  plane: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> mean_data: array<f32>;
@group(0) @binding(3) var<storage, read> variance_data: array<f32>;
@group(0) @binding(4) var<storage, read_write> bias_gradient: array<f32>;
@group(0) @binding(5) var<storage, read_write> weight_gradient: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

var<workgroup> partial: array<vec2f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let channel = workgroup.x;
  let mean = mean_data[channel];
  var sums = vec2f(0);
  for (var n = 0u; n < params.samples; n++) {
    let base = (n * params.channels + channel) * params.plane;
    for (var i = local; i < params.plane; i += WORKGROUP) {
      let g = gradient[base + i];
      sums += vec2f(g, g * (input[base + i] - mean));
    }
  }
  partial[local] = sums;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) {
      partial[local] += partial[local + half];
    }
  }
  if (local == 0) {
    bias_gradient[channel] = partial[0].x;
    weight_gradient[channel] = partial[0].y * inverseSqrt(variance_data[channel] + params.epsilon);
  }
}
