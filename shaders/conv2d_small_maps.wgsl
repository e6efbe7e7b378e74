// y[n, o, i, j] = sum over c, a, b
//                 of x[n, g(o) * CG + c, i * STRIDE_Y + a - PAD_Y, j * STRIDE_X + b - PAD_X] * w[o, c, a, b]
// Cross-correlation of maps of a few pixels; g(o) is the group of output channel o, CG the channels of a group.
//
// 0: x  [N, C, H, W]     1: w  [O, CG, KH, KW]     2: y  [N, O, OH, OW]
// The steps from one output channel, input channel and tap of w to the next are parameters: with others, w is read as
// the weight [CG, O, KH, KW] of the transposed convolution, its taps from the last to the first.
//
// A lane is an output channel, and holds all pixels of SAMPLES samples in registers: each tap loaded meets only the
// pixels that it does not lead into the padding. A workgroup computes WORKGROUP output channels of a group
// (workgroup.x; workgroup.z counts groups) in SAMPLES samples (workgroup.y): the pixels are then the same for all its
// lanes. Products are added up by blocks of channels, so that rounding errors of long sums stay small.
//
//: let H = 2
//: let W = 2
//: let OH = 2
//: let OW = 2
//: let KH = 3
//: let KW = 3
//: let STRIDE_Y = 1
//: let STRIDE_X = 1
//: let PAD_Y = 1
//: let PAD_X = 1
//: let SAMPLES = 8
//: let WORKGROUP = 8
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
  out_channels: u32,
  groups: u32,
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

@group(0) @binding(0) var<storage, read> input: array<Number>;
@group(0) @binding(1) var<storage, read> weight: array<Number>;
@group(0) @binding(2) var<storage, read_write> output: array<Result>;
//: if STYLED
@group(0) @binding($(3 + EPILOGUE + SCALED + 2 * NOISY)) var<storage, read> styles: array<f32>;
//: end
@group(0) @binding($(3 + EPILOGUE + SCALED + 2 * NOISY + STYLED)) var<uniform> params: Params;

const BLOCK = 16u;

@compute @workgroup_size($WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let group = workgroup.z;
  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let o = workgroup.x * $WORKGROUP + local;
  let filter_start = group * params.weight_group + params.weight_start
    + min(o, group_outputs - 1) * params.weight_output;
//: for s in 0..SAMPLES
  let sample$s = workgroup.y * $SAMPLES + $s;
  let image$s = (min(sample$s, params.samples - 1) * params.channels + group * group_channels) * $(H * W);
//: for i in 0..OH * OW
  var y$(s)_$i = 0.0;
//: end
//: end

  for (var start = 0u; start < group_channels; start += BLOCK) {
//: for s in 0..SAMPLES
//: for i in 0..OH * OW
    var s$(s)_$i = 0.0;
//: end
//: end
    for (var c = start; c < min(start + BLOCK, group_channels); c++) {
//: for a in 0..KH
//: for b in 0..KW
      let w$(a)_$b = f32(weight[filter_start + c * params.weight_channel + $(a * KW + b) * params.weight_tap]);
//: end
//: end
//: for s in 0..SAMPLES
//: if STYLED
      let style$s = styles[image$s / $(H * W) + c];
//: else
      let style$s = 1.0;
//: end
//: for i in 0..H * W
      let x$(s)_$i = f32(input[image$s + c * $(H * W) + $i]) * style$s;
//: end
//: end
      // All loads stand before the arithmetic: mixed with it, lavapipe's compiler makes slower code.
//: for s in 0..SAMPLES
//: for i in 0..OH
//: for j in 0..OW
//: for a in 0..KH
//: for b in 0..KW
//: let y = i * STRIDE_Y + a - PAD_Y
//: let x = j * STRIDE_X + b - PAD_X
//: if y >= 0 && y < H && x >= 0 && x < W
      s$(s)_$(i * OW + j) = fma(x$(s)_$(y * W + x), w$(a)_$b, s$(s)_$(i * OW + j));
//: end
//: end
//: end
//: end
//: end
//: end
    }
//: for s in 0..SAMPLES
//: for i in 0..OH * OW
    y$(s)_$i += s$(s)_$i;
//: end
//: end
  }

  if (o >= group_outputs) {
    return;
  }
  let channel = group * group_outputs + o;
//: for s in 0..SAMPLES
  if (sample$s < params.samples) {
    let at = (sample$s * params.out_channels + channel) * $(OH * OW);
//: for i in 0..OH * OW
    output[at + $i] = Result(epilogue(vec4f(y$(s)_$i), sample$s, channel, $i).x);
//: end
  }
//: end
}
