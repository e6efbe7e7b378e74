// y[n, c, i] = act((x[n, c, i] + offset[c] - mean[c]) / sqrt(variance[c] + epsilon) * weight[c] + bias[c])
// (Ioffe and Szegedy 2015);  act(v) = v where v > 0, else slope * v
//
// 0: x  [N, C, plane]     1: mean  [C]     2: variance  [C]     3: weight  [C]     4: bias  [C]     5: offset  [C]
// 6: y  [N, C, plane]
// A workgroup computes WORKGROUP * 4 consecutive ELEMENTs: vec4f where four divides the plane, which is counted in
// vectors then, else f32. Without OFFSET anything may be bound in its place.

struct Params {
  size: u32,
  channels: u32,
  plane: u32,
  epsilon: f32,
  slope: f32,
}

@group(0) @binding(0) var<storage, read> input: array<ELEMENT>;
@group(0) @binding(1) var<storage, read> mean_data: array<f32>;
@group(0) @binding(2) var<storage, read> variance_data: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read> offset: array<f32>;
@group(0) @binding(6) var<storage, read_write> output: array<ELEMENT>;
@group(0) @binding(7) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override OFFSET: bool = false;

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
      let scale = weight[c] * inverseSqrt(variance_data[c] + params.epsilon);
      var mean = mean_data[c];
      if (OFFSET) {
        mean -= offset[c];
      }
      let v = (input[i] - mean) * scale + bias[c];
      output[i] = select(v * params.slope, v, v > ELEMENT(0.0));
    }
  }
}
