// mean[c] = sum over s of w[s] m[c, s],   variance[c] = sum over s of w[s] (v[c, s] + (m[c, s] - mean[c])^2)
// with w[s] the split's share of the elements: the statistics of a channel from those of its splits (Chan et al. 1979).
//
// 0: m  [C, splits]     1: v  [C, splits]     2: mean  [C]     3: variance  [C]
// An invocation computes one channel.

struct Params {
  channels: u32,
  splits: u32,
  plane: u32,
  split_length: u32,
}

@group(0) @binding(0) var<storage, read> split_mean: array<f32>;
@group(0) @binding(1) var<storage, read> split_variance: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean_data: array<f32>;
@group(0) @binding(3) var<storage, read_write> variance_data: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

fn share(s: u32) -> f32 {
  let start = s * params.split_length;
  return f32(min(params.split_length, params.plane - start)) / f32(params.plane);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.channels) {
    return;
  }
  var mean = 0.0;
  for (var s = 0u; s < params.splits; s++) {
    mean += share(s) * split_mean[c * params.splits + s];
  }
  var variance = 0.0;
  for (var s = 0u; s < params.splits; s++) {
    let off = split_mean[c * params.splits + s] - mean;
    variance += share(s) * (split_variance[c * params.splits + s] + off * off);
  }
  mean_data[c] = mean;
  variance_data[c] = variance;
}
