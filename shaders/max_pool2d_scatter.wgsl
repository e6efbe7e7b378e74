// y[p, m] = sum over the windows (r, q) that contain m and have i[p, r, q] = m, of x[p, r, q]: the adjoint of gathering
// the maxima
//
// 0: x  [planes, OH, OW]     1: i  [planes, OH, OW]  (u32)     2: y  [planes, H, W]
// A gather instead of a scatter, so that no two invocations write one element: each looks at the windows there.

struct Params {
  size: u32,
  height: i32,
  width: i32,
  out_height: i32,
  out_width: i32,
  kernel_height: i32,
  kernel_width: i32,
  stride_y: i32,
  stride_x: i32,
  pad_y: i32,
  pad_x: i32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> position: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
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
  let pixel = index % u32(params.height * params.width);
  let y = i32(pixel) / params.width + params.pad_y;
  let x = i32(pixel) % params.width + params.pad_x;
  let plane = i32(index / u32(params.height * params.width)) * params.out_height * params.out_width;
  var sum = 0.0;
  let first_r = max(0, (y - params.kernel_height + params.stride_y) / params.stride_y);
  let first_q = max(0, (x - params.kernel_width + params.stride_x) / params.stride_x);
  for (var r = first_r; r <= min(y / params.stride_y, params.out_height - 1); r++) {
    for (var q = first_q; q <= min(x / params.stride_x, params.out_width - 1); q++) {
      let window = plane + r * params.out_width + q;
      if (position[window] == pixel) {
        sum += input[window];
      }
    }
  }
  output[index] = sum;
}
