// y[n, o, i, j] = sum over c, a, b
//                 of x[n, g(o) * CG + c, i * stride_y + a - pad_y, j * STRIDE + b - pad_x] * w[o, c, a, b]
// Cross-correlation with zero padding; g(o) is the group of output channel o, CG the channels of a group.
//
// 0: x  [N, C, H, W]     1: w  [O, CG, KH, KW]     2: y  [N, O, OH, OW]
// The steps from one output channel, input channel and tap of w to the next are parameters: with others, w is read as
// the weight [CG, O, KH, KW] of the transposed convolution, its taps from the last to the first.
//
// A lane computes a patch of ROWS x 4 * VECTORS pixels in OUTPUTS channels, in registers, reading straight from
// storage: for one input channel and one row of taps it loads a window of ROWS lines, and uses each of its pixels for
// all TAPS and OUTPUTS. A workgroup computes WORKGROUP patches (counted through all samples, along workgroup.x and z)
// of one block of OUTPUTS channels (workgroup.y, blocks do not cross groups): the weights are then the same for the
// whole workgroup. Products are added up by blocks of channels, so that rounding errors of long sums stay small.
//
//: let OUTPUTS = 4
//: let ROWS = 2
//: let VECTORS = 2
//: let WORKGROUP = 8
// The horizontal stride, and how many horizontal taps share a window: KW, or 1 where that is large.
//: let STRIDE = 1
//: let TAPS = 3
// 1 where W is a multiple of 4 and TAPS is KW, or where OW is one: lines are then read, or written, as aligned vectors.
//: let VECTOR_INPUT = 0
//: let VECTOR_OUTPUT = 0
// How far the window's first pixel lies behind the start of a vector: -pad_x modulo 4 with VECTOR_INPUT, else 0.
//: let SHIFT = 0
// 1 where the operands are stored as f16, and where the result is; sums are always f32.
//: let HALF = 0
//: let HALF_RESULT = 0
// 1 where bias and activation follow, demodulation, and noise: see conv_epilogue.wgsl, which is put behind this file
// with conv_store.wgsl.
//: let EPILOGUE = 0
//: let SCALED = 0
//: let NOISY = 0
// 1 where x is multiplied with a style per sample and channel first, styles [N, C] (modulation).
//: let STYLED = 0
// The vectors that a window's line touches.
//: let WINDOW = (SHIFT + STRIDE * (4 * VECTORS - 1) + TAPS + 3) / 4

//: if HALF
enable f16;
//: end

struct Params {
  patches: u32,
  channels: u32,
  height: i32,
  width: i32,
  out_channels: u32,
  out_height: u32,
  out_width: u32,
  groups: u32,
  kernel_height: u32,
  kernel_width: u32,
  stride_y: i32,
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
//: if VECTOR_INPUT
alias Pixels = vec4<Number>;
//: else
alias Pixels = Number;
//: end
//: if VECTOR_OUTPUT
alias Stored = vec4<Result>;
//: else
alias Stored = Result;
//: end

@group(0) @binding(0) var<storage, read> input: array<Pixels>;
@group(0) @binding(1) var<storage, read> weight: array<Number>;
@group(0) @binding(2) var<storage, read_write> output: array<Stored>;
//: if STYLED
@group(0) @binding($(3 + EPILOGUE + SCALED + 2 * NOISY)) var<storage, read> styles: array<f32>;
//: end
@group(0) @binding($(3 + EPILOGUE + SCALED + 2 * NOISY + STYLED)) var<uniform> params: Params;

const BLOCK = 16u;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (workgroup.z * grid.x + workgroup.x) * $WORKGROUP + local;
  let across = (params.out_width + $(4 * VECTORS - 1)) / $(4 * VECTORS);
  let down = (params.out_height + $(ROWS - 1)) / $ROWS;
  let patch_index = min(index, params.patches - 1);
  let column = patch_index % across * $(4 * VECTORS);
  let row = patch_index / across % down * $ROWS;
  let sample = patch_index / (across * down);

  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + $(OUTPUTS - 1)) / $OUTPUTS;
  let group = workgroup.y / blocks;
  let first = workgroup.y % blocks * $OUTPUTS;
  let last = group_outputs - 1;
  let filters = group * params.weight_group + params.weight_start;
  let next = params.weight_tap;
//: for o in 0..OUTPUTS
  let w$o = filters + min(first + $o, last) * params.weight_output;
//: end

//: if VECTOR_INPUT
  let width = params.width / 4;
//: else
  let width = params.width;
//: end
  let plane = params.height * width;
  let image = i32(sample * params.channels + group * group_channels) * plane;
  let left = i32(column) * $STRIDE - params.pad_x - $SHIFT;

//: for o in 0..OUTPUTS
//: for r in 0..ROWS
//: for v in 0..VECTORS
  var y$(o)_$(r)_$v = vec4f(0);
//: end
//: end
//: end

  for (var a = 0u; a < params.kernel_height; a++) {
//: for r in 0..ROWS
    let row$r = (i32(row) + $r) * params.stride_y + i32(a) - params.pad_y;
    let valid$r = row$r >= 0 && row$r < params.height;
    let line$r = image + clamp(row$r, 0, params.height - 1) * width;
//: end
    for (var tap = 0u; tap < params.kernel_width; tap += $TAPS) {
//: for v in 0..WINDOW
//: if VECTOR_INPUT
      // A vector lies inside the image or outside as a whole.
      let x$v = left + $(4 * v);
      let at$v = clamp(x$v, 0, params.width - 4) / 4;
      let inside$v = vec4<bool>(x$v >= 0 && x$v < params.width);
//: else
      let x$v = left + i32(tap) + $(4 * v) + vec4i(0, 1, 2, 3);
      let at$v = clamp(x$v, vec4i(0), vec4i(params.width - 1));
      let inside$v = x$v == at$v;
//: end
//: for r in 0..ROWS
      let mask$(r)_$v = select(vec4f(0), vec4f(1), inside$v & vec4<bool>(valid$r));
//: end
//: end
      for (var start = 0u; start < group_channels; start += BLOCK) {
//: for o in 0..OUTPUTS
//: for r in 0..ROWS
//: for v in 0..VECTORS
        var s$(o)_$(r)_$v = vec4f(0);
//: end
//: end
//: end
        for (var c = start; c < min(start + BLOCK, group_channels); c++) {
//: if STYLED
          let style = styles[sample * params.channels + group * group_channels + c];
//: else
          let style = 1.0;
//: end
//: for r in 0..ROWS
          let origin$r = line$r + i32(c) * plane;
//: for v in 0..WINDOW
//: if VECTOR_INPUT
          let p$(r)_$v = vec4f(input[origin$r + at$v]) * (mask$(r)_$v * style);
//: else
          let p$(r)_$v = (mask$(r)_$v * style) * vec4f(vec4<Number>(
            input[origin$r + at$v.x], input[origin$r + at$v.y], input[origin$r + at$v.z], input[origin$r + at$v.w]));
//: end
//: end
//: end
          let k = c * params.weight_channel + (a * params.kernel_width + tap) * next;
//: for o in 0..OUTPUTS
//: for b in 0..TAPS
          let w$(o)_$b = vec4f(f32(weight[w$o + k + $b * next]));
//: end
//: end
          // All loads stand before the arithmetic: mixed with it, lavapipe's compiler makes a third slower code.
//: for b in 0..TAPS
//: for o in 0..OUTPUTS
//: for r in 0..ROWS
//: for v in 0..VECTORS
//: let i = SHIFT + STRIDE * 4 * v + b
//: let j = i + STRIDE
//: let k = j + STRIDE
//: let l = k + STRIDE
          s$(o)_$(r)_$v = fma(
            vec4f(
              p$(r)_$(i / 4)[$(i % 4)], p$(r)_$(j / 4)[$(j % 4)], p$(r)_$(k / 4)[$(k % 4)], p$(r)_$(l / 4)[$(l % 4)]),
            w$(o)_$b,
            s$(o)_$(r)_$v,
          );
//: end
//: end
//: end
//: end
        }
//: for o in 0..OUTPUTS
//: for r in 0..ROWS
//: for v in 0..VECTORS
        y$(o)_$(r)_$v += s$(o)_$(r)_$v;
//: end
//: end
//: end
      }
    }
  }

  if (index >= params.patches) {
    return;
  }
//: for o in 0..OUTPUTS
  if (first + $o <= last) {
    let channel = group * group_outputs + first + $o;
    let out_plane = sample * params.out_channels + channel;
//: for r in 0..ROWS
//: for v in 0..VECTORS
    store(out_plane, row + $r, column + $(4 * v),
      epilogue(y$(o)_$(r)_$v, sample, channel, (row + $r) * params.out_width + column + $(4 * v)));
//: end
//: end
  }
//: end
}
