// target[target_start + sum_a i_a * target_stride_a] = source[source_start + sum_a i_a * source_stride_a]
// for every index i of `shape`
//
// 0: source         1: target
// Slices, pads, flips, permutations, repeats and concatenations are this copy with other strides (negative and zero
// ones too). An invocation copies one element; elements of the target outside the pattern keep their value.

struct Params {
  size: u32,
  source_start: i32,
  target_start: i32,
  shape: array<vec4u, 2>,
  source_stride: array<vec4i, 2>,
  target_stride: array<vec4i, 2>,
}

@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> destination: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override RANK: u32 = 1;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (workgroup.y * groups.x + workgroup.x) * WORKGROUP + local;
  if (index >= params.size) {
    return;
  }
  var rest = index;
  var read_at = params.source_start;
  var write_at = params.target_start;
  for (var axis = RANK - 1; axis > 0; axis--) {
    let length = params.shape[axis / 4][axis % 4];
    let at = i32(rest % length);
    rest /= length;
    read_at += at * params.source_stride[axis / 4][axis % 4];
    write_at += at * params.target_stride[axis / 4][axis % 4];
  }
  read_at += i32(rest) * params.source_stride[0][0];
  write_at += i32(rest) * params.target_stride[0][0];
  destination[write_at] = source[read_at];
}
