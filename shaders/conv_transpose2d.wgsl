// y[n, o, p, q] = sum over c, a, b with stride_y | p + pad_y - a and STRIDE | q + PAD - b
//                 of x[n, g(o) * CG + c, (p + pad_y - a) / stride_y, (q + PAD - b) / STRIDE]
//                  * w[g(o) * CG + c, o mod OG, a, b]
// The transposed convolution, which is also the gradient of conv2d to its input; g(o) is the group of output channel o.
//
// 0: x  [N, C, H, W]     1: w  [C, OG, KH, KW]     2: y  [N, O, OH, OW]
// Output rows that are congruent modulo stride_y meet the same taps: workgroup.z counts these phases, and over them the
// rows of workgroups where one row (x) is not enough. A lane computes ROWS rows of a phase x 4 * VECTORS * STRIDE
// columns in OUTPUTS channels, in registers: for one input channel and one row of taps it loads a window of ROWS lines,
// whose pixel j + (f + PAD - b) / STRIDE meets tap b for column STRIDE * j + f. A workgroup computes WORKGROUP such
// patches (workgroup.x) of one block of OUTPUTS channels (workgroup.y; blocks do not cross groups): the weights are
// then the same for all its lanes.
//
//: let OUTPUTS = 4
//: let ROWS = 1
//: let VECTORS = 2
//: let WORKGROUP = 8
//: let STRIDE = 2
//: let TAPS = 3
//: let PAD = 1
// The least of (f + PAD - b) / STRIDE, and one more than the largest.
//: let FIRST = 0
//: let LAST = 2
// 1 where W, or OW, is a multiple of 4: lines are then read, or written, as aligned vectors. They
// are written by conv_store.wgsl, which is put behind this file.
//: let VECTOR_INPUT = 0
//: let VECTOR_OUTPUT = 0
// How far the window's first pixel lies behind the start of a vector: FIRST modulo 4 with VECTOR_INPUT, else 0.
//: let SHIFT = 0
// 1 where the operands are stored as f16, and where the result is; sums are always f32.
//: let HALF = 0
//: let HALF_RESULT = 0
// The vectors that a window's line touches.
//: let WINDOW = (SHIFT + 4 * VECTORS + LAST - FIRST + 2) / 4

//: if HALF
enable f16;
//: end

struct Params {
  patches: u32, // of one phase, if all had as many rows as the first
  channels: u32,
  height: i32,
  width: i32,
  out_channels: u32,
  out_height: u32,
  out_width: u32,
  groups: u32,
  kernel_height: u32,
  stride_y: u32,
  pad_y: u32,
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
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let phase = workgroup.z % params.stride_y;
  let index = (workgroup.z / params.stride_y * grid.x + workgroup.x) * $WORKGROUP + local;
  let across = (params.out_width + $(4 * VECTORS * STRIDE - 1)) / $(4 * VECTORS * STRIDE);
  let rows = (params.out_height + params.stride_y - 1) / params.stride_y;
  let down = (rows + $(ROWS - 1)) / $ROWS;
  let patch_index = min(index, params.patches - 1);
  let column = patch_index % across * $(4 * VECTORS);
  let row = patch_index / across % down * $ROWS * params.stride_y + phase;
  let sample = patch_index / (across * down);

  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + $(OUTPUTS - 1)) / $OUTPUTS;
  let group = workgroup.y / blocks;
  let first = workgroup.y % blocks * $OUTPUTS;
  let last = group_outputs - 1;
  let taps = params.kernel_height * $TAPS;
  let filters = group * group_channels * group_outputs * taps;
//: for o in 0..OUTPUTS
  let w$o = filters + min(first + $o, last) * taps;
//: end

//: if VECTOR_INPUT
  let width = params.width / 4;
//: else
  let width = params.width;
//: end
  let plane = params.height * width;
  let image = i32(sample * params.channels + group * group_channels) * plane;
  let left = i32(column) + $FIRST - $SHIFT;

//: for o in 0..OUTPUTS
//: for r in 0..ROWS
//: for v in 0..VECTORS
//: for f in 0..STRIDE
  var y$(o)_$(r)_$(v)_$f = vec4f(0);
//: end
//: end
//: end
//: end

//: for v in 0..WINDOW
//: if VECTOR_INPUT
  // A vector lies inside the image or outside as a whole.
  let x$v = left + $(4 * v);
  let at$v = clamp(x$v, 0, params.width - 4) / 4;
  let inside$v = vec4<bool>(x$v >= 0 && x$v < params.width);
//: else
  let x$v = left + $(4 * v) + vec4i(0, 1, 2, 3);
  let at$v = clamp(x$v, vec4i(0), vec4i(params.width - 1));
  let inside$v = x$v == at$v;
//: end
//: end

  for (var a = (phase + params.pad_y) % params.stride_y; a < params.kernel_height; a += params.stride_y) {
    // The difference is a multiple of the stride, so that the division is exact for negative rows too.
    let top = (i32(row + params.pad_y) - i32(a)) / i32(params.stride_y);
//: for r in 0..ROWS
    let valid$r = top + $r >= 0 && top + $r < params.height;
    let line$r = image + clamp(top + $r, 0, params.height - 1) * width;
//: for v in 0..WINDOW
    let mask$(r)_$v = select(vec4f(0), vec4f(1), inside$v & vec4<bool>(valid$r));
//: end
//: end
    for (var c = 0u; c < group_channels; c++) {
//: for r in 0..ROWS
      let origin$r = line$r + i32(c) * plane;
//: for v in 0..WINDOW
//: if VECTOR_INPUT
      let p$(r)_$v = vec4f(input[origin$r + at$v]) * mask$(r)_$v;
//: else
      let p$(r)_$v = mask$(r)_$v * vec4f(vec4<Number>(
        input[origin$r + at$v.x], input[origin$r + at$v.y], input[origin$r + at$v.z], input[origin$r + at$v.w]));
//: end
//: end
//: end
      let k = c * group_outputs * taps + a * $TAPS;
//: for o in 0..OUTPUTS
//: for b in 0..TAPS
      let w$(o)_$b = vec4f(f32(weight[w$o + k + $b]));
//: end
//: end
      // All loads stand before the arithmetic: mixed with it, lavapipe's compiler makes a third slower code.
//: for b in 0..TAPS
//: for f in 0..STRIDE
//: if (f + PAD - b) % STRIDE == 0
//: for v in 0..VECTORS
//: let i = SHIFT - FIRST + (f + PAD - b) / STRIDE + 4 * v
//: let j = i + 1
//: let k = i + 2
//: let l = i + 3
//: for o in 0..OUTPUTS
//: for r in 0..ROWS
      y$(o)_$(r)_$(v)_$f = fma(
        vec4f(p$(r)_$(i / 4)[$(i % 4)], p$(r)_$(j / 4)[$(j % 4)], p$(r)_$(k / 4)[$(k % 4)], p$(r)_$(l / 4)[$(l % 4)]),
        w$(o)_$b,
        y$(o)_$(r)_$(v)_$f,
      );
//: end
//: end
//: end
//: end
//: end
//: end
    }
  }

  if (index >= params.patches) {
    return;
  }
  let out_plane = sample * params.out_channels + group * group_outputs + first;
//: for o in 0..OUTPUTS
  if (first + $o <= last) {
//: for r in 0..ROWS
//: for v in 0..VECTORS
//: for m in 0..STRIDE
//: let i = 4 * m
//: let j = i + 1
//: let k = i + 2
//: let l = i + 3
    store(out_plane + $o, row + $r * params.stride_y, column * $STRIDE + $(4 * v * STRIDE + 4 * m), vec4f(
      y$(o)_$(r)_$(v)_$(i % STRIDE)[$(i / STRIDE)],
      y$(o)_$(r)_$(v)_$(j % STRIDE)[$(j / STRIDE)],
      y$(o)_$(r)_$(v)_$(k % STRIDE)[$(k / STRIDE)],
      y$(o)_$(r)_$(v)_$(l % STRIDE)[$(l / STRIDE)],
    ));
//: end
//: end
//: end
  }
//: end
}
