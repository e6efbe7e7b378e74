// y[n, o, i, j] = sum over c, a, b
//                 of x[n, g * CG + c, i * STRIDE_Y + a - pad_y, j * STRIDE_X + b - pad_x] * w[o, c, a, b]
// Cross-correlation as a product of matrices (implicit GEMM), the operands of gemm.wgsl: the rows are the OG output
// channels of group g, the columns the pixels (n, i, j), and k counts the taps (c, a, b). gemm_conv_input.wgsl is put
// behind.
//
// 0: x  [N, C, H, W]     1: w  [O, CG, KH, KW]     2: y  [splits, N, O, OH, OW]
// The steps from one output channel, input channel and tap of w to the next are parameters: with others, w is read as
// the weight [CG, O, KH, KW] of the transposed convolution, its taps from the last to the first. workgroup.z counts
// groups x splits of k, which a second kernel adds in a fixed order.
//
//: let KH = 3
//: let KW = 3
//: let STRIDE_Y = 1
//: let STRIDE_X = 1
// 1 where OW is a multiple of 4: four pixels are then neighbours, and stored as a vector.
//: let VECTOR_OUTPUT = 0
//: let A_ALONG_K = 0
//: let B_ALONG_K = 0
// 1 where the operands are stored as f16, and where the result is; sums are always f32.
//: let HALF = 0
//: let HALF_RESULT = 0
// 1 where bias and activation follow, demodulation, and noise: see conv_epilogue.wgsl, which is put behind this file.
//: let EPILOGUE = 0
//: let SCALED = 0
//: let NOISY = 0
// 1 where x is multiplied with a style per sample and channel first, styles [N, C] (modulation).
//: let STYLED = 0

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
  weight_group: u32,
  weight_output: u32,
  weight_channel: u32,
  weight_start: u32,
  weight_tap: u32, // modulo 2^32: the taps may go backwards
  slope: f32,
  gain: f32,
  noise_stride: u32,
  splits: u32,
  split_length: u32,
}

//: if HALF
alias Number = f16;
//: else
alias Number = f32;
//: end
//: if HALF_RESULT
alias Result = f16;
//: else
alias Result = f32;
//: end
//: if VECTOR_OUTPUT
alias Stored = vec4<Result>;
//: else
alias Stored = Result;
//: end

@group(0) @binding(0) var<storage, read> input: array<Number>;
@group(0) @binding(1) var<storage, read> weight: array<Number>;
@group(0) @binding(2) var<storage, read_write> output: array<Stored>;
//: if STYLED
@group(0) @binding($(3 + EPILOGUE + SCALED + 2 * NOISY)) var<storage, read> styles: array<f32>;
//: end
@group(0) @binding($(3 + EPILOGUE + SCALED + 2 * NOISY + STYLED)) var<uniform> params: Params;

fn inner_range(z: u32) -> vec2u {
  let start = z % params.splits * params.split_length;
  return vec2u(start, min(start + params.split_length, params.channels / params.groups * $(KH * KW)));
}

/// Four output channels of one tap.
fn load_a(z: u32, row: u32, k: u32, end: u32) -> vec4f {
  let rows = params.out_channels / params.groups;
  if (row >= rows || k >= end) {
    return vec4f(0);
  }
  let group = z / params.splits;
  let tap = k / $(KH * KW) * params.weight_channel + k % $(KH * KW) * params.weight_tap;
  let at = group * params.weight_group + params.weight_start + row * params.weight_output + tap;
  let step = params.weight_output;
  let value = vec4<Number>(weight[at], weight[at + step], weight[at + 2 * step], weight[at + 3 * step]);
  return select(vec4f(0), vec4f(value), vec4u(0, 1, 2, 3) < vec4u(rows - row));
}

/// Four pixels that meet one tap.
fn load_b(z: u32, k: u32, column: u32, end: u32) -> vec4f {
  let area = params.out_height * params.out_width;
  let columns = params.samples * area;
  if (column >= columns || k >= end) {
    return vec4f(0);
  }
  let channel = z / params.splits * (params.channels / params.groups) + k / $(KH * KW);
  let value = input_pixels(column, columns, channel, k % $(KH * KW));
//: if STYLED
//: if VECTOR_OUTPUT
  return value * styles[column / area * params.channels + channel];
//: else
  let at = min(column + vec4u(0, 1, 2, 3), vec4u(columns - 1)) / area * params.channels + channel;
  return value * vec4f(styles[at.x], styles[at.y], styles[at.z], styles[at.w]);
//: end
//: else
  return value;
//: end
}

fn store_c(z: u32, row: u32, column: u32, sum: vec4f) {
  let rows = params.out_channels / params.groups;
  let area = params.out_height * params.out_width;
  let columns = params.samples * area;
  if (row >= rows || column >= columns) {
    return;
  }
  let split = z % params.splits * params.samples;
  let channel = z / params.splits * rows + row;
//: if VECTOR_OUTPUT
  let value = epilogue(sum, column / area, channel, column % area);
  output[(((split + column / area) * params.out_channels + channel) * area + column % area) / 4] = Stored(value);
//: else
  for (var e = 0u; e < min(4u, columns - column); e++) {
    let at = column + e;
    let value = epilogue(vec4f(sum[e]), at / area, channel, at % area).x;
    output[((split + at / area) * params.out_channels + channel) * area + at % area] = Stored(value);
  }
//: end
}
