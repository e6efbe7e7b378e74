// u[o, c, a, b] = sum over n, i, j
//                 of v[n, o, i, j] * x[n, g(o) * CG + c, i * stride_y + a - pad_y, j * stride_x + b - pad_x]
// The gradient of conv2d to its weight, v being the gradient of its output; g(o) is the group of output channel o.
//
// 0: x  [N, C, H, W]     1: v  [N, O, OH, OW]     2: u  [splits, O, CG, KH, KW]
// A register tile is 8 output channels x 4 neighbouring filter taps (c, a, b). A workgroup computes 8 channels
// (workgroup.y; blocks do not cross groups) x 4 * WORKGROUP taps, over the rows (n, i) of one split (workgroup.z): v is
// the same for the whole workgroup. The splits are added by a second kernel in a fixed order.
//
//: let WORKGROUP = 64

struct Params {
  samples: u32,
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
  stride_x: i32,
  pad_y: i32,
  pad_x: i32,
  rows_per_split: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> cotangent: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn gather(at: vec4i) -> vec4f {
  return vec4f(input[at.x], input[at.y], input[at.z], input[at.w]);
}

@compute @workgroup_size($WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + 7) / 8;
  let group = workgroup.y / blocks;
  let first = group * group_outputs + workgroup.y % blocks * 8;
  let last = (group + 1) * group_outputs - 1;

  let taps = params.kernel_height * params.kernel_width;
  let filter_size = group_channels * taps;
  let tap = (workgroup.x * $WORKGROUP + local) * 4 + vec4u(0, 1, 2, 3);
  let t = min(tap, vec4u(filter_size - 1));
  let plane = params.height * params.width;
  let channel = vec4i(group * group_channels + t / taps) * plane;
  let y_offset = vec4i(t / params.kernel_width % params.kernel_height) - params.pad_y;
  let x_offset = vec4i(t % params.kernel_width) - params.pad_x;

  // Between these columns every tap lies inside the image.
  let inner_start = (params.pad_x + params.stride_x - 1) / params.stride_x;
  let inner_end = (params.width - i32(params.kernel_width) + params.pad_x) / params.stride_x + 1;

  let out_plane = params.out_height * params.out_width;
  let o0 = min(first + 0, last) * out_plane;
  let o1 = min(first + 1, last) * out_plane;
  let o2 = min(first + 2, last) * out_plane;
  let o3 = min(first + 3, last) * out_plane;
  let o4 = min(first + 4, last) * out_plane;
  let o5 = min(first + 5, last) * out_plane;
  let o6 = min(first + 6, last) * out_plane;
  let o7 = min(first + 7, last) * out_plane;
  var u0 = vec4f(0);
  var u1 = vec4f(0);
  var u2 = vec4f(0);
  var u3 = vec4f(0);
  var u4 = vec4f(0);
  var u5 = vec4f(0);
  var u6 = vec4f(0);
  var u7 = vec4f(0);

  let start = workgroup.z * params.rows_per_split;
  let end = min(start + params.rows_per_split, params.samples * params.out_height);
  for (var r = start; r < end; r++) {
    let sample = r / params.out_height;
    let i = r % params.out_height;
    let y = i32(i) * params.stride_y + y_offset;
    let row_mask = select(vec4f(0), vec4f(1), (y >= vec4i(0)) & (y < vec4i(params.height)));
    let row = clamp(y, vec4i(0), vec4i(params.height - 1)) * params.width;
    let line = i32(sample * params.channels) * plane + channel + row;
    let v_line = sample * params.out_channels * out_plane + i * params.out_width;
    for (var j = 0; j < i32(params.out_width); j++) {
      let x = j * params.stride_x + x_offset;
      var p = row_mask;
      if (j >= inner_start && j < inner_end) {
        p *= gather(line + x);
      } else {
        let inside = (x >= vec4i(0)) & (x < vec4i(params.width));
        p *= select(vec4f(0), gather(line + clamp(x, vec4i(0), vec4i(params.width - 1))), inside);
      }
      let v = v_line + u32(j);
      u0 += p * cotangent[v + o0];
      u1 += p * cotangent[v + o1];
      u2 += p * cotangent[v + o2];
      u3 += p * cotangent[v + o3];
      u4 += p * cotangent[v + o4];
      u5 += p * cotangent[v + o5];
      u6 += p * cotangent[v + o6];
      u7 += p * cotangent[v + o7];
    }
  }

  let at = (workgroup.z * params.out_channels + first) * filter_size + tap.x;
  if (tap.x >= filter_size) {
    return;
  }
  store(at, tap.x, filter_size, u0);
  if (first + 1 <= last) { store(at + 1 * filter_size, tap.x, filter_size, u1); }
  if (first + 2 <= last) { store(at + 2 * filter_size, tap.x, filter_size, u2); }
  if (first + 3 <= last) { store(at + 3 * filter_size, tap.x, filter_size, u3); }
  if (first + 4 <= last) { store(at + 4 * filter_size, tap.x, filter_size, u4); }
  if (first + 5 <= last) { store(at + 5 * filter_size, tap.x, filter_size, u5); }
  if (first + 6 <= last) { store(at + 6 * filter_size, tap.x, filter_size, u6); }
  if (first + 7 <= last) { store(at + 7 * filter_size, tap.x, filter_size, u7); }
}

fn store(at: u32, tap: u32, filter_size: u32, value: vec4f) {
  gradient[at] = value.x;
  if (tap + 1 < filter_size) { gradient[at + 1] = value.y; }
  if (tap + 2 < filter_size) { gradient[at + 2] = value.z; }
  if (tap + 3 < filter_size) { gradient[at + 3] = value.w; }
}
