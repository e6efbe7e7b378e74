// w[i] = f(x[ix(i)], y[iy(i)], z[iz(i)]): elementwise with broadcasting, as binary.wgsl with one operand more.
//
// 0: x          1: y          2: z          3: w  [size], row-major over `shape`
// A workgroup computes WORKGROUP * 4 consecutive ELEMENTs; RANK, ELEMENT and the operands' types are as in binary.wgsl.

struct Params {
  size: u32,
  a: f32,
  shape: array<vec4u, 2>,
  x_stride: array<vec4u, 2>,
  y_stride: array<vec4u, 2>,
  z_stride: array<vec4u, 2>,
}

@group(0) @binding(0) var<storage, read> x_data: array<X_TYPE>;
@group(0) @binding(1) var<storage, read> y_data: array<Y_TYPE>;
@group(0) @binding(2) var<storage, read> z_data: array<Z_TYPE>;
@group(0) @binding(3) var<storage, read_write> w_data: array<ELEMENT>;
@group(0) @binding(4) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override RANK: u32 = 1;

fn apply(x: ELEMENT, y: ELEMENT, z: ELEMENT, a: ELEMENT) -> ELEMENT {
  return EXPRESSION;
}

/// i / n. An integer division is slow on a CPU driver; the float one is right but for a unit, which is corrected.
fn quotient(i: u32, n: u32) -> u32 {
  let q = u32(f32(i) / f32(n));
  let rest = i32(i - q * n);
  return select(q, q - 1, rest < 0) + select(0u, 1u, rest >= i32(n));
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
      var ix = 0u;
      var iy = 0u;
      var iz = 0u;
      // The axes one by one: an index into a uniform that is no constant is slow.
      if (RANK > 5) {
        let above = quotient(rest, params.shape[1][1]);
        let at = rest - above * params.shape[1][1];
        rest = above;
        ix += at * params.x_stride[1][1];
        iy += at * params.y_stride[1][1];
        iz += at * params.z_stride[1][1];
      }
      if (RANK > 4) {
        let above = quotient(rest, params.shape[1][0]);
        let at = rest - above * params.shape[1][0];
        rest = above;
        ix += at * params.x_stride[1][0];
        iy += at * params.y_stride[1][0];
        iz += at * params.z_stride[1][0];
      }
      if (RANK > 3) {
        let above = quotient(rest, params.shape[0][3]);
        let at = rest - above * params.shape[0][3];
        rest = above;
        ix += at * params.x_stride[0][3];
        iy += at * params.y_stride[0][3];
        iz += at * params.z_stride[0][3];
      }
      if (RANK > 2) {
        let above = quotient(rest, params.shape[0][2]);
        let at = rest - above * params.shape[0][2];
        rest = above;
        ix += at * params.x_stride[0][2];
        iy += at * params.y_stride[0][2];
        iz += at * params.z_stride[0][2];
      }
      if (RANK > 1) {
        let above = quotient(rest, params.shape[0][1]);
        let at = rest - above * params.shape[0][1];
        rest = above;
        ix += at * params.x_stride[0][1];
        iy += at * params.y_stride[0][1];
        iz += at * params.z_stride[0][1];
      }
      ix += rest * params.x_stride[0][0];
      iy += rest * params.y_stride[0][0];
      iz += rest * params.z_stride[0][0];
      let x = ELEMENT(x_data[ix]);
      let y = ELEMENT(y_data[iy]);
      let z = ELEMENT(z_data[iz]);
      w_data[i] = apply(x, y, z, ELEMENT(params.a));
    }
  }
}
