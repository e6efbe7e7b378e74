// y[i] += rate * (scale * x[i] - y[i]), unless the step was found to be not finite
//
// 0: gate  [1]  (u32: 0 if the step is finite)     1: rate  [1]     2: x  [size]     3: y  [size]
// A workgroup updates WORKGROUP consecutive elements.

struct Params {
  size: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> gate: array<u32>;
@group(0) @binding(1) var<storage, read> rate: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> average: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (workgroup.y * groups.x + workgroup.x) * WORKGROUP + local;
  if (i < params.size && gate[0] == 0) {
    average[i] += rate[0] * (params.scale * input[i] - average[i]);
  }
}
