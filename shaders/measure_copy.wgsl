// y[i] = x[i], four elements at a time: what it reaches is the ceiling of the kernels that only move data.
//
// 0: x  [size / 4] vec4f
// 1: y  [size / 4] vec4f
// A workgroup copies 64 consecutive vectors of four.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (workgroup.y * groups.x + workgroup.x) * 64 + local;
  if (i < arrayLength(&y)) {
    y[i] = x[i];
  }
}
