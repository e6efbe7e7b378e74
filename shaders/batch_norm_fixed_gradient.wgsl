// h[n, c, i] = weight[c] / sqrt(variance[c] + epsilon) * g[n, c, i] * (1 where y[n, c, i] > 0, else slope)
// The gradient of batch_norm.wgsl in x where mean and variance are given and do not depend on x.
//
// 0: g  [N, C, plane]     1: y  [N, C, plane]     2: variance  [C]     3: weight  [C]     4: h  [N, C, plane]
// A workgroup computes WORKGROUP * 4 consecutive ELEMENTs: vec4f where four divides the plane, which is counted in
// vectors then, else f32. Without ACTIVATED anything may be bound as y.

struct Params {
  size: u32,
  channels: u32,
  plane: u32,
  epsilon: f32,
  slope: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<ELEMENT>;
@group(0) @binding(1) var<storage, read> result: array<ELEMENT>;
@group(0) @binding(2) var<storage, read> variance_data: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<ELEMENT>;
@group(0) @binding(5) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override ACTIVATED: bool = false;

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
      var h = weight[c] * inverseSqrt(variance_data[c] + params.epsilon) * gradient[i];
      if (ACTIVATED) {
        h = select(h * params.slope, h, result[i] > ELEMENT(0.0));
      }
      output[i] = h;
    }
  }
}
