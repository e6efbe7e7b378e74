// gate = 1 if any x[i] is infinite or not a number
//
// 0: x  [size]  (as bits: a driver may assume that floats are finite)     1: gate  [1]
// A workgroup looks at 16 * WORKGROUP consecutive elements. All write the same value, so the order does not matter.

struct Params {
  size: u32,
}

@group(0) @binding(0) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read_write> gate: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

const EXPONENT: u32 = 0x7f800000u;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let first = (workgroup.y * groups.x + workgroup.x) * 16 * WORKGROUP + local;
  let end = min(first + 16 * WORKGROUP, params.size);
  var found = false;
  for (var i = first; i < end; i += WORKGROUP) {
    found = found || (input[i] & EXPONENT) == EXPONENT;
  }
  if (found) {
    atomicStore(&gate[0], 1u);
  }
}
