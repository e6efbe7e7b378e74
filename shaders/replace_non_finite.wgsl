// x[i] = 0 where x[i] is not a number, ± limit where it is infinite; else it stays
//
// 0: x  [size]  (as bits: a driver may assume that floats are finite)
// A workgroup looks at 4 * WORKGROUP consecutive elements.

struct Params {
  size: u32,
  limit: f32,
}

@group(0) @binding(0) var<storage, read_write> values: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

const SIGN: u32 = 0x80000000u;
const INFINITY: u32 = 0x7f800000u;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let first = (workgroup.y * groups.x + workgroup.x) * 4 * WORKGROUP + local;
  let end = min(first + 4 * WORKGROUP, params.size);
  for (var i = first; i < end; i += WORKGROUP) {
    let bits = values[i];
    if ((bits & INFINITY) == INFINITY) {
      let infinite = (bits & SIGN) | bitcast<u32>(params.limit);
      values[i] = select(0u, infinite, (bits & ~SIGN) == INFINITY);
    }
  }
}
