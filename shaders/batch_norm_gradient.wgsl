// h[n, c, i] = weight[c] / sigma * (g[n, c, i] - s[c] / M - (x[n, c, i] - mean[c]) / sigma * t[c] / M)
// with sigma = sqrt(variance[c] + epsilon) and M = N * plane: the gradient of batch normalisation over the batch in its
// input. s and t are the sums of batch_norm_sums.wgsl.
//
// 0: g  [N, C, plane]     1: x  [N, C, plane]     2: mean  [C]     3: variance  [C]     4: weight  [C]
// 5: s  [C]     6: t  [C]     7: h  [N, C, plane]
// A workgroup computes WORKGROUP * 4 consecutive ELEMENTs: vec4f where four divides the plane, which is counted in
// vectors then, else f32.

struct Params {
  size: u32,
  channels: u32,
  plane: u32,
  epsilon: f32,
  inverse_count: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<ELEMENT>;
@group(0) @binding(1) var<storage, read> input: array<ELEMENT>;
@group(0) @binding(2) var<storage, read> mean_data: array<f32>;
@group(0) @binding(3) var<storage, read> variance_data: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read> gradient_sum: array<f32>;
@group(0) @binding(6) var<storage, read> product_sum: array<f32>;
@group(0) @binding(7) var<storage, read_write> output: array<ELEMENT>;
@group(0) @binding(8) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let first = (workgroup.y * groups.x + workgroup.x) * WORKGROUP * 4 + local;
  for (var j = 0u; j < 4; j++) {
    let i = first + j * WORKGROUP;
    if (i < params.size) {
      let c = i / params.plane % params.channels;
      let rate = inverseSqrt(variance_data[c] + params.epsilon);
      let along = rate * product_sum[c] * params.inverse_count;
      let centred = gradient[i] - gradient_sum[c] * params.inverse_count - (input[i] - mean_data[c]) * along;
      output[i] = weight[c] * rate * centred;
    }
  }
}
