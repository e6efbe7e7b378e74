// y[p, m] = x[p, r, q] where m = i[p, r, q], else 0: the adjoint of gathering the maxima where no two windows meet
//
// 0: x  [planes, OH, OW]     1: i  [planes, OH, OW]  (u32)     2: y  [planes, H, W]
// An invocation writes the KERNEL_Y x KERNEL_X elements of one window, also of those that are not whole and have no
// maximum.

struct Params {
  /// Of all windows, and along the axes.
  size: u32,
  down: u32,
  across: u32,
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> position: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override KERNEL_Y: u32 = 2;
override KERNEL_X: u32 = 2;

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
  let line = index / params.across;
  let p = line / params.down;
  let q = index % params.across;
  let r = line % params.down;
  var found = 0xffffffffu;
  var value = 0.0;
  if (r < params.out_height && q < params.out_width) {
    let window = (p * params.out_height + r) * params.out_width + q;
    found = position[window];
    value = input[window];
  }
  let plane = p * params.height * params.width;
  for (var y = r * KERNEL_Y; y < min((r + 1) * KERNEL_Y, params.height); y++) {
    for (var x = q * KERNEL_X; x < min((q + 1) * KERNEL_X, params.width); x++) {
      let at = y * params.width + x;
      output[plane + at] = select(0.0, value, at == found);
    }
  }
}
