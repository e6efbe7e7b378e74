// y[p, j] = x[p, i[p, j]]: from each plane of x the elements at the given positions
//
// 0: x  [planes, plane]     1: i  [planes, picked]  (u32)     2: y  [planes, picked]
// An invocation copies one element.

struct Params {
  size: u32,
  picked: u32,
  plane: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> position: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (workgroup.y * groups.x + workgroup.x) * WORKGROUP + local;
  if (index < params.size) {
    output[index] = input[index / params.picked * params.plane + position[index]];
  }
}
