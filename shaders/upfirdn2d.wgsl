// y[p, i, j] = gain * sum_{a, b} F[a, b] * v(i * down_y + a - pad_y, j * down_x + b - pad_x)
// v(m, n) = x[p, m / up_y, n / up_x] where up divides m and n and the point lies in x, else 0; F is the filter,
// reversed when flip = 0 (a true convolution). The zero insertion, padding, filtering and decimation of StyleGAN2
// (Karras et al. 2020) in one gather.
//
// 0: x  [planes, H, W]     1: filter  [KH, KW]     2: y  [planes, OH, OW]
// An invocation computes one element of y and reads only the taps that meet a sample.
//
// 1 where x and y are stored as f16; filter and sums are f32.
//: let HALF = 0

//: if HALF
enable f16;
alias Number = f16;
//: else
alias Number = f32;
//: end

struct Params {
  size: u32,
  height: i32,
  width: i32,
  out_height: u32,
  out_width: u32,
  kernel_height: i32,
  kernel_width: i32,
  up_y: i32,
  up_x: i32,
  down_y: i32,
  down_x: i32,
  pad_y: i32,
  pad_x: i32,
  flip: u32,
  gain: f32,
}

@group(0) @binding(0) var<storage, read> input: array<Number>;
@group(0) @binding(1) var<storage, read> filter_taps: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<Number>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

/// The first tap that meets a sample: the least a >= 0 with (start + a) >= 0 and up dividing (start + a).
fn first_tap(start: i32, up: i32) -> i32 {
  if (start < 0) {
    return -start;
  }
  return (up - start % up) % up;
}

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
  let j = i32(index % params.out_width);
  let i = i32((index / params.out_width) % params.out_height);
  let plane = i32(index / (params.out_width * params.out_height)) * params.height * params.width;
  let top = i * params.down_y - params.pad_y;
  let left = j * params.down_x - params.pad_x;
  var sum = 0.0;
  for (var a = first_tap(top, params.up_y); a < params.kernel_height; a += params.up_y) {
    let m = (top + a) / params.up_y;
    if (m >= params.height) {
      break;
    }
    let filter_row = select(params.kernel_height - 1 - a, a, params.flip == 1) * params.kernel_width;
    for (var b = first_tap(left, params.up_x); b < params.kernel_width; b += params.up_x) {
      let n = (left + b) / params.up_x;
      if (n >= params.width) {
        break;
      }
      let tap = filter_taps[filter_row + select(params.kernel_width - 1 - b, b, params.flip == 1)];
      sum += tap * f32(input[plane + m * params.width + n]);
    }
  }
  output[index] = Number(sum * params.gain);
}
