// result[i] = f(x[ix(i)], y[iy(i)]), or f(x[ix(i)], y[iy(i)], z[iz(i)]): elementwise with broadcasting
//
// 0: x     1: y     2: result  [size], row-major over `shape`; with three OPERANDS z comes before it
// The axes are collapsed to RANK (at most 6); an operand that is repeated along an axis has stride 0 there. Where four
// divides the last axis, ELEMENT is vec4f, which that axis and `size` are counted in; an operand is then taken in
// vectors (TYPE0 is that of x, and so on), in which its strides are, or, where it is repeated along that axis, as
// scalars. Else all is f32. What is f16 in memory (then HALF) has another type there: operand o that of STORED0 and so
// on, the result RESULT. A workgroup computes WORKGROUP * 4 consecutive ELEMENTs.
//
//: let OPERANDS = 2
//: let RANK = 1
//: let HALF = 0

//: if HALF
enable f16;
//: end

struct Params {
  size: u32,
  a: f32,
  shape: array<vec4u, 2>,
//: for o in 0..OPERANDS
  stride$o: array<vec4u, 2>,
//: end
}

//: for o in 0..OPERANDS
@group(0) @binding($o) var<storage, read> data$o: array<STORED$o>;
//: end
@group(0) @binding($OPERANDS) var<storage, read_write> result: array<RESULT>;
@group(0) @binding($(OPERANDS + 1)) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

//: if OPERANDS == 2
fn apply(x: ELEMENT, y: ELEMENT, a: ELEMENT) -> ELEMENT {
//: else
fn apply(x: ELEMENT, y: ELEMENT, z: ELEMENT, a: ELEMENT) -> ELEMENT {
//: end
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
      var rest = i;
//: for o in 0..OPERANDS
      var at$o = 0u;
//: end
      // The axes one by one, from the last: an index into a uniform that is no constant is slow.
//: for k in 1..RANK
//: let AXIS = RANK - k
      let length$AXIS = params.shape[$(AXIS / 4)][$(AXIS % 4)];
//: for o in 0..OPERANDS
      at$o += rest % length$AXIS * params.stride$o[$(AXIS / 4)][$(AXIS % 4)];
//: end
      rest /= length$AXIS;
//: end
//: for o in 0..OPERANDS
      let operand$o = ELEMENT(TYPE$o(data$o[at$o + rest * params.stride$o[0][0]]));
//: end
//: if OPERANDS == 2
      result[i] = RESULT(apply(operand0, operand1, ELEMENT(params.a)));
//: else
      result[i] = RESULT(apply(operand0, operand1, operand2, ELEMENT(params.a)));
//: end
    }
  }
}
