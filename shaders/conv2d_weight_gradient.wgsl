// u[o, c, a, b] = sum over n, i, j
//                 of v[n, o, i, j] * x[n, g(o) * CG + c, i * stride_y + a - pad_y, j * STRIDE + b - pad_x]
// The gradient of conv2d to its weight, v being the gradient of its output; g(o) is the group of output channel o.
//
// 0: x  [N, C, H, W]     1: v  [N, O, OH, OW]     2: u  [splits, O, CG, KH, KW]
// A lane is an input channel, and holds the KH x KW taps of OUTPUTS output channels in registers. It walks along the
// rows (n, i) of one split (workgroup.z) with a window of KH x KW pixels, which moves by STRIDE columns: KH loads, at
// stride 1, for KH x KW x OUTPUTS multiply-adds. A workgroup computes WORKGROUP input channels (workgroup.x) x OUTPUTS
// output channels (workgroup.y; blocks do not cross groups): v is the same for all its lanes. The splits are added by a
// second kernel in a fixed order.
//
//: let KH = 3
//: let KW = 3
//: let STRIDE = 1
//: let OUTPUTS = 8
//: let WORKGROUP = 8
// Columns of the window that stay when it moves.
//: let KEPT = (KW > STRIDE) * (KW - STRIDE)

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

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> cotangent: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size($WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + $(OUTPUTS - 1)) / $OUTPUTS;
  let group = workgroup.y / blocks;
  let first = group * group_outputs + workgroup.y % blocks * $OUTPUTS;
  let last = (group + 1) * group_outputs - 1;
  let channel = workgroup.x * $WORKGROUP + local;
  let plane = params.height * params.width;
  let image = i32(group * group_channels + min(channel, group_channels - 1)) * plane;
  let out_plane = params.out_height * params.out_width;
//: for o in 0..OUTPUTS
  let o$o = min(first + $o, last) * out_plane;
//: for a in 0..KH
//: for b in 0..KW
  var u$(o)_$(a)_$b = 0.0;
//: end
//: end
//: end

  let start = workgroup.z * params.rows_per_split;
  let end = min(start + params.rows_per_split, params.samples * params.out_height);
  for (var r = start; r < end; r++) {
    let sample = r / params.out_height;
    let i = r % params.out_height;
    let origin = i32(sample * params.channels) * plane + image;
    let v_line = sample * params.out_channels * out_plane + i * params.out_width;
//: for a in 0..KH
    let row$a = i32(i) * params.stride_y + $a - params.pad_y;
    let line$a = origin + clamp(row$a, 0, params.height - 1) * params.width;
    let valid$a = select(0.0, 1.0, row$a >= 0 && row$a < params.height);
//: end
//: for b in 0..KEPT
    let column$b = clamp($b - params.pad_x, 0, params.width - 1);
    let inside$b = select(0.0, 1.0, column$b == $b - params.pad_x);
//: for a in 0..KH
    var p$(a)_$b = input[line$a + column$b] * (valid$a * inside$b);
//: end
//: end
    for (var j = 0u; j < params.out_width; j++) {
      // All loads stand before the arithmetic: mixed with it, lavapipe's compiler makes slower code.
//: for b in KEPT..KW
      let x$b = i32(j) * $STRIDE + $b - params.pad_x;
      let column$b = clamp(x$b, 0, params.width - 1);
      let inside$b = select(0.0, 1.0, x$b == column$b);
//: for a in 0..KH
      let p$(a)_$b = input[line$a + column$b] * (valid$a * inside$b);
//: end
//: end
//: for o in 0..OUTPUTS
      let v$o = cotangent[v_line + j + o$o];
//: end
//: for o in 0..OUTPUTS
//: for a in 0..KH
//: for b in 0..KW
      u$(o)_$(a)_$b = fma(p$(a)_$b, v$o, u$(o)_$(a)_$b);
//: end
//: end
//: end
//: for b in 0..KEPT
//: for a in 0..KH
      p$(a)_$b = p$(a)_$(b + STRIDE);
//: end
//: end
    }
  }

  if (channel >= group_channels) {
    return;
  }
  let at = (workgroup.z * params.out_channels + first) * group_channels * $(KH * KW) + channel * $(KH * KW);
//: for o in 0..OUTPUTS
  if (first + $o <= last) {
    let filter$o = at + $o * group_channels * $(KH * KW);
//: for a in 0..KH
//: for b in 0..KW
    gradient[filter$o + $(a * KW + b)] = u$(o)_$(a)_$b;
//: end
//: end
  }
//: end
}
