// y[i] = value (the bits of an f32 or a u32)
//
// 0: y  [size]
// A workgroup fills WORKGROUP consecutive elements.

struct Params {
  size: u32,
  value: u32,
}

@group(0) @binding(0) var<storage, read_write> output: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (workgroup.y * groups.x + workgroup.x) * WORKGROUP + local;
  if (i < params.size) {
    output[i] = params.value;
  }
}
