// y[p, i, j] = x[p, STEP i, STEP j], or with SPREAD its adjoint: y[p, STEP i, STEP j] = x[p, i, j], all others 0
//
// 0: x  [planes, H, W]     1: y  [planes, OH, OW]     (with SPREAD the other way round)
// An invocation takes one pixel of the smaller planes, and with SPREAD writes the STEP x STEP pixels that it stands
// for.

struct Params {
  /// Of the smaller planes, and their sides.
  size: u32,
  down: u32,
  across: u32,
  /// Of the larger planes.
  height: u32,
  width: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override STEP: u32 = 2;
override SPREAD: bool = false;

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
  let top = STEP * (line % params.down);
  let left = STEP * (index % params.across);
  let plane = p * params.height * params.width;
  if (!SPREAD) {
    output[index] = input[plane + top * params.width + left];
    return;
  }
  for (var y = top; y < min(top + STEP, params.height); y++) {
    for (var x = left; x < min(left + STEP, params.width); x++) {
      output[plane + y * params.width + x] = select(0.0, input[index], y == top && x == left);
    }
  }
}
