// y[n, o, i, j] = sum over c, a, b
//                 of x[n, g(o) * CG + c, i * stride_y + a - pad_y, j * STRIDE + b - pad_x] * w[o, c, a, b]
// Cross-correlation with zero padding; g(o) is the group of output channel o, CG the channels of a group.
//
// 0: x  [N, C, H, W]     1: w  [O, CG, KH, KW]     2: y  [N, O, OH, OW]
// The steps from one output channel, input channel and tap of w to the next are parameters, as in conv2d.wgsl.
//
// A workgroup is one subgroup of LANES. It computes a patch of ROWS x 4 * VECTORS pixels (counted through all samples,
// along workgroup.x and z) of LANES * OUTPUTS channels (workgroup.y; blocks do not cross groups): a lane has OUTPUTS of
// these for all pixels, in registers. For one input channel and one row of taps the lanes load the patch's window of x
// together, a pixel each, and hand every pixel round by subgroupBroadcast; it is then used for all TAPS and OUTPUTS. So
// a lane loads 1 / LANES of the window, where in conv2d.wgsl it loads one of its own: a CPU driver, which loads the
// lanes' values one by one, is 1.3 to 1.8 times as fast. Products are added up by blocks of channels, so that rounding
// errors of long sums stay small.
//
//: let LANES = 8
//: let OUTPUTS = 2
//: let ROWS = 2
//: let VECTORS = 4
// The horizontal stride, and how many horizontal taps share a window: KW, or 1 where that is large.
//: let STRIDE = 1
//: let TAPS = 3
// 1 where OW is a multiple of 4: lines are then written as aligned vectors.
//: let VECTOR_OUTPUT = 0
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
// The pixels in a line of the window, and the loads of a lane for the lines of one row of taps.
//: let LINE = STRIDE * (4 * VECTORS - 1) + TAPS
//: let LOADS = (ROWS * LINE + LANES - 1) / LANES

enable subgroups;
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

const BLOCK = 16u;

@compute @workgroup_size($LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let patch_index = workgroup.z * grid.x + workgroup.x;
  if (patch_index >= params.patches) {
    return;
  }
  let across = (params.out_width + $(4 * VECTORS - 1)) / $(4 * VECTORS);
  let down = (params.out_height + $(ROWS - 1)) / $ROWS;
  let column = patch_index % across * $(4 * VECTORS);
  let row = patch_index / across % down * $ROWS;
  let sample = patch_index / (across * down);

  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + $(LANES * OUTPUTS - 1)) / $(LANES * OUTPUTS);
  let group = workgroup.y / blocks;
  let first = workgroup.y % blocks * $(LANES * OUTPUTS) + lane;
  let last = group_outputs - 1;
  let filters = group * params.weight_group + params.weight_start;
  let next = params.weight_tap;
//: for o in 0..OUTPUTS
  let w$o = filters + min(first + $(o * LANES), last) * params.weight_output;
//: end

  let plane = params.height * params.width;
  let image = i32(sample * params.channels + group * group_channels) * plane;
  let top = i32(row) * params.stride_y - params.pad_y;
  let left = i32(column) * $STRIDE - params.pad_x;

//: for o in 0..OUTPUTS
//: for r in 0..ROWS
//: for v in 0..VECTORS
  var y$(o)_$(r)_$v = vec4f(0);
//: end
//: end
//: end

  for (var a = 0u; a < params.kernel_height; a++) {
    for (var tap = 0u; tap < params.kernel_width; tap += $TAPS) {
      // Where this lane's pixels of the window lie.
//: for i in 0..LOADS
      let window$i = i32($(i * LANES) + lane);
      let row$i = top + i32(a) + window$i / $LINE * params.stride_y;
      let column$i = left + i32(tap) + window$i % $LINE;
      let inside$i = row$i >= 0 && row$i < params.height && column$i >= 0 && column$i < params.width;
      let mask$i = select(0.0, 1.0, inside$i);
      let at$i = image + clamp(row$i, 0, params.height - 1) * params.width + clamp(column$i, 0, params.width - 1);
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
          let map = i32(c) * plane;
//: for i in 0..LOADS
          let x$i = f32(input[at$i + map]) * (mask$i * style);
//: end
          let k = c * params.weight_channel + (a * params.kernel_width + tap) * next;
//: for o in 0..OUTPUTS
//: for b in 0..TAPS
          let w$(o)_$b = vec4f(f32(weight[w$o + k + $b * next]));
//: end
//: end
//: for i in 0..ROWS * LINE
          let p$i = subgroupBroadcast(x$(i / LANES), $(i % LANES)u);
//: end
//: for b in 0..TAPS
//: for o in 0..OUTPUTS
//: for r in 0..ROWS
//: for v in 0..VECTORS
//: let i = r * LINE + STRIDE * 4 * v + b
          s$(o)_$(r)_$v = fma(
            vec4f(p$i, p$(i + STRIDE), p$(i + 2 * STRIDE), p$(i + 3 * STRIDE)),
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

//: for o in 0..OUTPUTS
  if (first + $(o * LANES) <= last) {
    let channel = group * group_outputs + first + $(o * LANES);
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
