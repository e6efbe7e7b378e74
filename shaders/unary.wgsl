// y[i] = f(x[i]), f being an expression of x and of the two constants a and b.
//
// 0: x  [size]          1: y  [size]          in ELEMENTs: f32, or vec4f where four divides the length; both are STORED
// as these or, with HALF, as f16 or vec4h
// A workgroup computes WORKGROUP * 4 consecutive elements, an invocation every WORKGROUP-th of them.
//
//: let HALF = 0

//: if HALF
enable f16;
//: end

struct Params {
  size: u32,
  a: f32,
  b: f32,
}

@group(0) @binding(0) var<storage, read> input: array<STORED>;
@group(0) @binding(1) var<storage, read_write> output: array<STORED>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

fn apply(x: ELEMENT, a: ELEMENT, b: ELEMENT) -> ELEMENT {
  return EXPRESSION;
}

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
      output[i] = STORED(apply(ELEMENT(input[i]), ELEMENT(params.a), ELEMENT(params.b)));
    }
  }
}
