// w[i] = f(x[ix(i)], y[iy(i)], z[iz(i)]): elementwise with broadcasting, as binary.wgsl with one operand more.
//
// 0: x          1: y          2: z          3: w  [size], row-major over `shape`
// An invocation computes LANES neighbours of the last axis; RANK, LANES and ELEMENT are those of binary.wgsl.

struct Params {
  size: u32,
  a: f32,
  shape: array<vec4u, 2>,
  x_stride: array<vec4u, 2>,
  y_stride: array<vec4u, 2>,
  z_stride: array<vec4u, 2>,
}

@group(0) @binding(0) var<storage, read> x_data: array<ELEMENT>;
@group(0) @binding(1) var<storage, read> y_data: array<ELEMENT>;
@group(0) @binding(2) var<storage, read> z_data: array<ELEMENT>;
@group(0) @binding(3) var<storage, read_write> w_data: array<ELEMENT>;
@group(0) @binding(4) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override RANK: u32 = 1;
override LANES: u32 = 1;

fn apply(x: ELEMENT, y: ELEMENT, z: ELEMENT, a: ELEMENT) -> ELEMENT {
  return EXPRESSION;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let first = ((workgroup.y * groups.x + workgroup.x) * WORKGROUP + local) * LANES;
  if (first >= params.size) {
    return;
  }
  let last = RANK - 1;
  var rest = first;
  var ix = 0u;
  var iy = 0u;
  var iz = 0u;
  for (var axis = last; axis > 0; axis--) {
    let length = params.shape[axis / 4][axis % 4];
    let at = rest % length;
    rest /= length;
    ix += at * params.x_stride[axis / 4][axis % 4];
    iy += at * params.y_stride[axis / 4][axis % 4];
    iz += at * params.z_stride[axis / 4][axis % 4];
  }
  ix += rest * params.x_stride[0][0];
  iy += rest * params.y_stride[0][0];
  iz += rest * params.z_stride[0][0];
  let step_x = params.x_stride[last / 4][last % 4];
  let step_y = params.y_stride[last / 4][last % 4];
  let step_z = params.z_stride[last / 4][last % 4];
  for (var j = 0u; j < LANES; j++) {
    let z = z_data[iz + j * step_z];
    w_data[first + j] = apply(x_data[ix + j * step_x], y_data[iy + j * step_y], z, ELEMENT(params.a));
  }
}
