// y[n, o, p, q] = sum over c, a, b with stride_y | p + pad_y - a and STRIDE | q + PAD - b
//                 of x[n, g(o) * CG + c, (p + pad_y - a) / stride_y, (q + PAD - b) / STRIDE]
//                  * w[g(o) * CG + c, o mod OG, a, b]
// The transposed convolution, which is also the gradient of conv2d to its input; g(o) is the group of output channel o.
//
// 0: x  [N, C, H, W]     1: w  [C, OG, KH, KW]     2: y  [N, O, OH, OW]
// Output rows that are congruent modulo stride_y meet the same taps: workgroup.z counts these phases, and over them the
// rows of workgroups where one row (x) is not enough. A workgroup is one subgroup of LANES. It computes a patch of ROWS
// rows of a phase x 4 * VECTORS * STRIDE columns (workgroup.x) in LANES * OUTPUTS channels (workgroup.y; blocks do not
// cross groups): a lane has OUTPUTS of these, in registers. For one input channel and one row of taps the lanes load
// the patch's window of x together, a pixel each, and hand every pixel round by subgroupBroadcast, as in
// conv2d_subgroup.wgsl; pixel j + (f + PAD - b) / STRIDE of a line meets tap b for column STRIDE * j + f.
//
//: let LANES = 8
//: let OUTPUTS = 2
//: let ROWS = 2
//: let VECTORS = 2
//: let STRIDE = 2
//: let TAPS = 3
//: let PAD = 1
// The least of (f + PAD - b) / STRIDE, and one more than the largest.
//: let FIRST = 0
//: let LAST = 2
// 1 where OW is a multiple of 4: lines are then written as aligned vectors, by conv_store.wgsl, which is put behind
// this file.
//: let VECTOR_OUTPUT = 0
// 1 where the operands are stored as f16, and where the result is; sums are always f32.
//: let HALF = 0
//: let HALF_RESULT = 0
// The pixels in a line of the window, and the loads of a lane for the lines of one row of taps.
//: let LINE = 4 * VECTORS + LAST - FIRST - 1
//: let LOADS = (ROWS * LINE + LANES - 1) / LANES

enable subgroups;
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
//: if VECTOR_OUTPUT
alias Stored = vec4<Result>;
//: else
alias Stored = Result;
//: end

@group(0) @binding(0) var<storage, read> input: array<Number>;
@group(0) @binding(1) var<storage, read> weight: array<Number>;
@group(0) @binding(2) var<storage, read_write> output: array<Stored>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size($LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let phase = workgroup.z % params.stride_y;
  let patch_index = workgroup.z / params.stride_y * grid.x + workgroup.x;
  if (patch_index >= params.patches) {
    return;
  }
  let across = (params.out_width + $(4 * VECTORS * STRIDE - 1)) / $(4 * VECTORS * STRIDE);
  let rows = (params.out_height + params.stride_y - 1) / params.stride_y;
  let down = (rows + $(ROWS - 1)) / $ROWS;
  let column = patch_index % across * $(4 * VECTORS);
  let row = patch_index / across % down * $ROWS * params.stride_y + phase;
  let sample = patch_index / (across * down);

  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + $(LANES * OUTPUTS - 1)) / $(LANES * OUTPUTS);
  let group = workgroup.y / blocks;
  let first = workgroup.y % blocks * $(LANES * OUTPUTS) + lane;
  let last = group_outputs - 1;
  let taps = params.kernel_height * $TAPS;
  let filters = group * group_channels * group_outputs * taps;
//: for o in 0..OUTPUTS
  let w$o = filters + min(first + $(o * LANES), last) * taps;
//: end

  let plane = params.height * params.width;
  let image = i32(sample * params.channels + group * group_channels) * plane;
  let left = i32(column) + $FIRST;

//: for o in 0..OUTPUTS
//: for r in 0..ROWS
//: for v in 0..VECTORS
//: for f in 0..STRIDE
  var y$(o)_$(r)_$(v)_$f = vec4f(0);
//: end
//: end
//: end
//: end

  for (var a = (phase + params.pad_y) % params.stride_y; a < params.kernel_height; a += params.stride_y) {
    // The difference is a multiple of the stride, so that the division is exact for negative rows too.
    let top = (i32(row + params.pad_y) - i32(a)) / i32(params.stride_y);
    // Where this lane's pixels of the window lie.
//: for i in 0..LOADS
    let window$i = i32($(i * LANES) + lane);
    let row$i = top + window$i / $LINE;
    let column$i = left + window$i % $LINE;
    let inside$i = row$i >= 0 && row$i < params.height && column$i >= 0 && column$i < params.width;
    let mask$i = select(0.0, 1.0, inside$i);
    let at$i = image + clamp(row$i, 0, params.height - 1) * params.width + clamp(column$i, 0, params.width - 1);
//: end
    for (var c = 0u; c < group_channels; c++) {
      let map = i32(c) * plane;
//: for i in 0..LOADS
      let x$i = f32(input[at$i + map]) * mask$i;
//: end
      let k = c * group_outputs * taps + a * $TAPS;
//: for o in 0..OUTPUTS
//: for b in 0..TAPS
      let w$(o)_$b = vec4f(f32(weight[w$o + k + $b]));
//: end
//: end
//: for i in 0..ROWS * LINE
      let p$i = subgroupBroadcast(x$(i / LANES), $(i % LANES)u);
//: end
//: for b in 0..TAPS
//: for f in 0..STRIDE
//: if (f + PAD - b) % STRIDE == 0
//: for o in 0..OUTPUTS
//: for r in 0..ROWS
//: for v in 0..VECTORS
//: let i = r * LINE + 4 * v + (f + PAD - b) / STRIDE - FIRST
      y$(o)_$(r)_$(v)_$f = fma(
        vec4f(p$i, p$(i + 1), p$(i + 2), p$(i + 3)),
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

//: for o in 0..OUTPUTS
  if (first + $(o * LANES) <= last) {
    let out_plane = sample * params.out_channels + group * group_outputs + first + $(o * LANES);
//: for r in 0..ROWS
//: for v in 0..VECTORS
//: for m in 0..STRIDE
//: let i = 4 * m
//: let j = i + 1
//: let k = i + 2
//: let l = i + 3
    store(out_plane, row + $r * params.stride_y, column * $STRIDE + $(4 * v * STRIDE + 4 * m), vec4f(
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
