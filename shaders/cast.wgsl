// y[i] = x[i] in another element type; f16 is rounded to nearest
//
// 0: x  [size]     1: y  [size]
// An invocation converts ELEMENTS neighbours: 4 where size is a multiple of 4, else 1.
//
//: let TO_HALF = 1
//: let ELEMENTS = 4

enable f16;

struct Params {
  count: u32, // invocations
}

//: if TO_HALF
alias Narrow = f32;
alias Wide = vec4f;
alias NarrowResult = f16;
alias WideResult = vec4h;
//: else
alias Narrow = f16;
alias Wide = vec4h;
alias NarrowResult = f32;
alias WideResult = vec4f;
//: end
//: if ELEMENTS == 4
alias From = Wide;
alias To = WideResult;
//: else
alias From = Narrow;
alias To = NarrowResult;
//: end

@group(0) @binding(0) var<storage, read> input: array<From>;
@group(0) @binding(1) var<storage, read_write> output: array<To>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (workgroup.y * groups.x + workgroup.x) * 64 + local;
  if (i < params.count) {
    output[i] = To(input[i]);
  }
}
