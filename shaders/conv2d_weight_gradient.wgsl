// u[o, c, a, b] = sum over n, i, j
//                 of v[n, o, i, j] * x[n, g(o) * CG + c, i * stride_y + a - pad_y, j * STRIDE + b - pad_x]
// The gradient of conv2d to its weight, v being the gradient of its output; g(o) is the group of output channel o.
//
// 0: x  [N, C, H, W]     1: v  [N, O, OH, OW]     2: u  [splits, O, CG, KH, KW]
// A lane holds the KH x KW taps of CHANNELS input and OUTPUTS output channels in registers. It walks along the rows
// (n, i) of one split (workgroup.z), by PIXELS pixels of v at a time, with a window of KH lines of x that moves by
// PIXELS * STRIDE columns: for each channel KH * STRIDE loads, of 1 or 4 pixels, for KH x KW x PIXELS x OUTPUTS
// multiply-adds. A workgroup computes WORKGROUP * CHANNELS input channels (workgroup.x) x OUTPUTS output channels
// (workgroup.y; blocks do not cross groups): v is the same for all its lanes. The splits are added by a second kernel
// in a fixed order.
//
//: let KH = 3
//: let KW = 3
//: let STRIDE = 1
//: let OUTPUTS = 8
//: let CHANNELS = 1
//: let WORKGROUP = 8
// 4, or 1 for narrow lines.
//: let PIXELS = 4
// With PIXELS = 4: 1 where W, or OW, is a multiple of 4; lines of x, or of v, are then read as aligned vectors.
//: let VECTOR_INPUT = 0
//: let VECTOR_OUTPUT = 0
// How far the window's first pixel lies behind the start of a vector: -pad_x modulo 4 with VECTOR_INPUT, else 0.
//: let SHIFT = 0
// The size of a subgroup, whose lanes load the pixels of v together, each a part, and hand them round: 1.4 to 1.9 times
// as fast on a CPU driver, which loads the lanes' values one by one even where they are the same. 0 does without.
//: let SUBGROUP = 0
// 1 where x and v are stored as f16; sums and result are f32.
//: let HALF = 0
// The loads that a window's line takes, and how many of them stay when it moves.
//: let WINDOW = (SHIFT + (PIXELS - 1) * STRIDE + KW + PIXELS - 1) / PIXELS
//: let KEPT = (WINDOW > STRIDE) * (WINDOW - STRIDE)

//: if SUBGROUP
enable subgroups;
//: end
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
  stride_y: i32,
  pad_y: i32,
  pad_x: i32,
  rows_per_split: u32,
}

//: if HALF
alias Number = f16;
//: else
alias Number = f32;
//: end
//: if VECTOR_INPUT
alias Pixels = vec4<Number>;
//: else
alias Pixels = Number;
//: end
//: if VECTOR_OUTPUT
alias Cotangents = vec4<Number>;
//: else
alias Cotangents = Number;
//: end

@group(0) @binding(0) var<storage, read> input: array<Pixels>;
@group(0) @binding(1) var<storage, read> cotangent: array<Cotangents>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

//: if PIXELS == 1
fn pixel(line: i32, column: i32) -> f32 {
  let at = clamp(column, 0, params.width - 1);
  return f32(input[line + at]) * select(0.0, 1.0, at == column);
}
//: else
/// Four pixels of the line that starts at `line`, 0 in the padding.
fn pixels(line: i32, column: i32) -> vec4f {
//: if VECTOR_INPUT
  // A vector lies inside the image or outside as a whole.
  let inside = select(0.0, 1.0, column >= 0 && column < params.width);
  return vec4f(input[(line + clamp(column, 0, params.width - 4)) / 4]) * inside;
//: else
  let columns = column + vec4i(0, 1, 2, 3);
  let at = clamp(columns, vec4i(0), vec4i(params.width - 1));
  let inside = select(vec4f(0), vec4f(1), at == columns);
  let value = vec4<Number>(input[line + at.x], input[line + at.y], input[line + at.z], input[line + at.w]);
  return vec4f(value) * inside;
//: end
}

//: if SUBGROUP == 0
/// Four values of v, 0 behind the end of its line.
fn cotangents(line: u32, column: u32) -> vec4f {
//: if VECTOR_OUTPUT
  return vec4f(cotangent[(line + column) / 4]);
//: else
  let columns = column + vec4u(0, 1, 2, 3);
  let at = line + min(columns, vec4u(params.out_width - 1));
  let value = vec4<Number>(cotangent[at.x], cotangent[at.y], cotangent[at.z], cotangent[at.w]);
  return select(vec4f(0), vec4f(value), columns < vec4u(params.out_width));
//: end
}
//: end
//: end

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(local_invocation_index) local: u32,
//: if SUBGROUP
  @builtin(subgroup_invocation_id) lane: u32,
//: end
) {
  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + $(OUTPUTS - 1)) / $OUTPUTS;
  let group = workgroup.y / blocks;
  let first = group * group_outputs + workgroup.y % blocks * $OUTPUTS;
  let last = (group + 1) * group_outputs - 1;
  let channel = (workgroup.x * $WORKGROUP + local) * $CHANNELS;
  let plane = params.height * params.width;
//: for c in 0..CHANNELS
  let image$c = i32(group * group_channels + min(channel + $c, group_channels - 1)) * plane;
//: end
  let out_plane = params.out_height * params.out_width;
//: if SUBGROUP
  // Which pixels of v this lane loads: PIXELS of one output channel lie behind one another.
//: let SHARED = (OUTPUTS * PIXELS + SUBGROUP - 1) / SUBGROUP
//: for i in 0..SHARED
  let pixel$i = ($(i * SUBGROUP) + lane) % $PIXELS;
  let plane$i = min(first + ($(i * SUBGROUP) + lane) / $PIXELS, last) * out_plane;
//: end
//: else
//: for o in 0..OUTPUTS
  let o$o = min(first + $o, last) * out_plane;
//: end
//: end
//: for o in 0..OUTPUTS
//: for c in 0..CHANNELS
//: for a in 0..KH
//: for b in 0..KW
  var u$(o)_$(c)_$(a)_$b = 0.0;
//: end
//: end
//: end
//: end

  let start = workgroup.z * params.rows_per_split;
  let end = min(start + params.rows_per_split, params.samples * params.out_height);
  for (var r = start; r < end; r++) {
    let sample = r / params.out_height;
    let i = r % params.out_height;
    let origin = i32(sample * params.channels) * plane;
    let v_line = sample * params.out_channels * out_plane + i * params.out_width;
    let left = -params.pad_x - $SHIFT;
//: for a in 0..KH
    let row$a = i32(i) * params.stride_y + $a - params.pad_y;
    let line$a = origin + clamp(row$a, 0, params.height - 1) * params.width;
    let valid$a = select(0.0, 1.0, row$a >= 0 && row$a < params.height);
//: for c in 0..CHANNELS
//: for w in 0..KEPT
//: if PIXELS == 1
    var p$(c)_$(a)_$w = pixel(image$c + line$a, left + $w) * valid$a;
//: else
    var p$(c)_$(a)_$w = pixels(image$c + line$a, left + $(4 * w)) * valid$a;
//: end
//: end
//: end
//: end
    for (var j = 0u; j < params.out_width; j += $PIXELS) {
      // All loads stand before the arithmetic: mixed with it, lavapipe's compiler makes slower code.
      let right = left + i32(j) * $STRIDE;
//: for c in 0..CHANNELS
//: for a in 0..KH
//: for w in KEPT..WINDOW
//: if PIXELS == 1
      let p$(c)_$(a)_$w = pixel(image$c + line$a, right + $w) * valid$a;
//: else
      let p$(c)_$(a)_$w = pixels(image$c + line$a, right + $(4 * w)) * valid$a;
//: end
//: end
//: end
//: end
//: if SUBGROUP
//: for i in 0..SHARED
      let at$i = j + pixel$i;
      let shared$i = f32(cotangent[v_line + plane$i + min(at$i, params.out_width - 1)])
        * select(0.0, 1.0, at$i < params.out_width);
//: end
//: for o in 0..OUTPUTS
//: for e in 0..PIXELS
//: let i = o * PIXELS + e
      let v$(o)_$e = subgroupBroadcast(shared$(i / SUBGROUP), $(i % SUBGROUP)u);
//: end
//: end
//: else
//: for o in 0..OUTPUTS
//: if PIXELS == 1
      let v$(o)_0 = f32(cotangent[v_line + j + o$o]);
//: else
      let v$o = cotangents(v_line + o$o, j);
//: for e in 0..PIXELS
      let v$(o)_$e = v$o[$e];
//: end
//: end
//: end
//: end
//: for o in 0..OUTPUTS
//: for c in 0..CHANNELS
//: for a in 0..KH
//: for b in 0..KW
//: if PIXELS == 1
      u$(o)_$(c)_$(a)_$b = fma(p$(c)_$(a)_$b, v$(o)_0, u$(o)_$(c)_$(a)_$b);
//: else
//: for e in 0..4
//: let x = SHIFT + e * STRIDE + b
      u$(o)_$(c)_$(a)_$b = fma(p$(c)_$(a)_$(x / 4)[$(x % 4)], v$(o)_$e, u$(o)_$(c)_$(a)_$b);
//: end
//: end
//: end
//: end
//: end
//: end
//: for c in 0..CHANNELS
//: for a in 0..KH
//: for w in 0..KEPT
      p$(c)_$(a)_$w = p$(c)_$(a)_$(w + STRIDE);
//: end
//: end
//: end
    }
  }

  let filter_size = group_channels * $(KH * KW);
  let at = (workgroup.z * params.out_channels + first) * filter_size + channel * $(KH * KW);
//: for c in 0..CHANNELS
//: for o in 0..OUTPUTS
  if (channel + $c < group_channels && first + $o <= last) {
//: for a in 0..KH
//: for b in 0..KW
    gradient[at + $o * filter_size + $(c * KH * KW + a * KW + b)] = u$(o)_$(c)_$(a)_$b;
//: end
//: end
  }
//: end
//: end
}
