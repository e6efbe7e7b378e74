// y[p, r, q] = the maximum of the window of plane p of x at (r * stride - pad, q * stride - pad)
// i[p, r, q] = the position in the plane of the first element that has it
//
// 0: x  [planes, H, W]     1: y  [planes, OH, OW]     2: i  [planes, OH, OW]  (u32)
// An invocation looks through one window.

struct Params {
  size: u32,
  height: i32,
  width: i32,
  out_height: u32,
  out_width: u32,
  kernel_height: i32,
  kernel_width: i32,
  stride_y: i32,
  stride_x: i32,
  pad_y: i32,
  pad_x: i32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read_write> position: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

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
  let line = index / params.out_width;
  let p = line / params.out_height;
  let q = i32(index % params.out_width);
  let r = i32(line % params.out_height);
  let plane = i32(p) * params.height * params.width;
  let top = r * params.stride_y - params.pad_y;
  let left = q * params.stride_x - params.pad_x;
  var best = max(top, 0) * params.width + max(left, 0);
  var highest = input[plane + best];
  for (var y = max(top, 0); y < min(top + params.kernel_height, params.height); y++) {
    for (var x = max(left, 0); x < min(left + params.kernel_width, params.width); x++) {
      let value = input[plane + y * params.width + x];
      if (value > highest) {
        highest = value;
        best = y * params.width + x;
      }
    }
  }
  output[index] = highest;
  position[index] = u32(best);
}
