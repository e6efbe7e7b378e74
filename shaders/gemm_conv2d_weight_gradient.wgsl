// u[o, c, a, b] = sum over n, i, j
//                 of v[n, o, i, j] * x[n, g * CG + c, i * STRIDE_Y + a - pad_y, j * STRIDE_X + b - pad_x]
// The gradient of conv2d to its weight as a product of matrices (implicit GEMM), v being the gradient of its output;
// the operands of gemm.wgsl: the rows are the OG output channels of group g, the columns the taps (c, a, b), and k
// counts the pixels (n, i, j). gemm_conv_input.wgsl is put behind.
//
// 0: x  [N, C, H, W]     1: v  [N, O, OH, OW]     2: u  [splits, O, CG, KH, KW]
// workgroup.z counts groups x splits of k, which a second kernel adds in a fixed order.
//
//: let KH = 3
//: let KW = 3
//: let STRIDE_Y = 1
//: let STRIDE_X = 1
// 1 where OW is a multiple of 4: four pixels are then neighbours, and v is read as vectors.
//: let VECTOR_OUTPUT = 0
//: let A_ALONG_K = 1
//: let B_ALONG_K = 1
// 1 where x and v are stored as f16; sums and result are f32.
//: let HALF = 0

//: if HALF
enable f16;
//: end

struct Params {
  samples: u32,
  channels: u32,
  height: i32,
  width: i32,
  out_channels: u32,
  out_height: u32,
  out_width: u32,
  groups: u32,
  pad_y: i32,
  pad_x: i32,
  splits: u32,
  split_length: u32, // a multiple of 4
}

//: if HALF
alias Number = f16;
//: else
alias Number = f32;
//: end
//: if VECTOR_OUTPUT
alias Pixels = vec4<Number>;
//: else
alias Pixels = Number;
//: end

@group(0) @binding(0) var<storage, read> input: array<Number>;
@group(0) @binding(1) var<storage, read> cotangent: array<Pixels>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn inner_range(z: u32) -> vec2u {
  let start = z % params.splits * params.split_length;
  return vec2u(start, min(start + params.split_length, params.samples * params.out_height * params.out_width));
}

/// Four pixels of one output channel.
fn load_a(z: u32, row: u32, k: u32, end: u32) -> vec4f {
  let rows = params.out_channels / params.groups;
  if (row >= rows || k >= end) {
    return vec4f(0);
  }
  let area = params.out_height * params.out_width;
  let channel = z / params.splits * rows + row;
//: if VECTOR_OUTPUT
  return vec4f(cotangent[((k / area * params.out_channels + channel) * area + k % area) / 4]);
//: else
  let pixels = min(k + vec4u(0, 1, 2, 3), vec4u(end - 1));
  let at = (pixels / area * params.out_channels + channel) * area + pixels % area;
  let value = vec4<Number>(cotangent[at.x], cotangent[at.y], cotangent[at.z], cotangent[at.w]);
  return select(vec4f(0), vec4f(value), vec4u(0, 1, 2, 3) < vec4u(end - k));
//: end
}

/// The input at one tap of four pixels.
fn load_b(z: u32, k: u32, column: u32, end: u32) -> vec4f {
  let channels = params.channels / params.groups;
  if (column >= channels * $(KH * KW) || k >= end) {
    return vec4f(0);
  }
  return input_pixels(k, end, z / params.splits * channels + column / $(KH * KW), column % $(KH * KW));
}

fn store_c(z: u32, row: u32, column: u32, value: vec4f) {
  let rows = params.out_channels / params.groups;
  let columns = params.channels / params.groups * $(KH * KW);
  if (row >= rows || column >= columns) {
    return;
  }
  let at = (z % params.splits * params.out_channels + z / params.splits * rows + row) * columns + column;
  for (var e = 0u; e < min(4u, columns - column); e++) {
    gradient[at + e] = value[e];
  }
}
