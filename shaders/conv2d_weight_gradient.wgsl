// u[o, c, a, b] = sum over n, i, j of v[n, o, i, j] * x[n, g(o) * CG + c, i * stride_y + a - pad_y, j * stride_x + b - pad_x]
// The gradient of conv2d to its weight, v being the gradient of its output; g(o) is the group of output channel o.
//
// 0: x  [N, C, H, W]     1: v  [N, O, OH, OW]     2: u  [splits, O, CG, KH, KW]
// A register tile is 8 output channels x 2 filter taps (c, a, b), WORKGROUP taps apart. A workgroup computes 8 channels (workgroup.y;
// blocks do not cross groups) x 2 * WORKGROUP taps, over the rows (n, i) of one split (workgroup.z): v is the same for the whole
// workgroup. The splits are added by a second kernel in a fixed order.

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

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + 7) / 8;
  let group = workgroup.y / blocks;
  let first = group * group_outputs + workgroup.y % blocks * 8;
  let last = (group + 1) * group_outputs - 1;

  let taps = params.kernel_height * params.kernel_width;
  let filter_size = group_channels * taps;
  let tap = workgroup.x * 2 * WORKGROUP + vec2u(local, local + WORKGROUP);
  let t = min(tap, vec2u(filter_size - 1));
  let plane = params.height * params.width;
  let channel = vec2i(group * group_channels + t / taps) * plane;
  let y_offset = vec2i(t / params.kernel_width % params.kernel_height) - params.pad_y;
  let x_offset = vec2i(t % params.kernel_width) - params.pad_x;

  let out_plane = params.out_height * params.out_width;
  let o0 = min(first + 0, last) * out_plane;
  let o1 = min(first + 1, last) * out_plane;
  let o2 = min(first + 2, last) * out_plane;
  let o3 = min(first + 3, last) * out_plane;
  let o4 = min(first + 4, last) * out_plane;
  let o5 = min(first + 5, last) * out_plane;
  let o6 = min(first + 6, last) * out_plane;
  let o7 = min(first + 7, last) * out_plane;
  var p_low = vec4f(0);
  var p_high = vec4f(0);
  var q_low = vec4f(0);
  var q_high = vec4f(0);

  let start = workgroup.z * params.rows_per_split;
  let end = min(start + params.rows_per_split, params.samples * params.out_height);
  for (var r = start; r < end; r++) {
    let sample = r / params.out_height;
    let i = r % params.out_height;
    let y = i32(i) * params.stride_y + y_offset;
    let row_inside = (y >= vec2i(0)) & (y < vec2i(params.height));
    let row = clamp(y, vec2i(0), vec2i(params.height - 1)) * params.width;
    let line = i32(sample * params.channels) * plane + channel + row;
    let origin = sample * params.out_channels * out_plane + i * params.out_width;
    for (var j = 0u; j < params.out_width; j++) {
      let x = i32(j) * params.stride_x + x_offset;
      let inside = row_inside & (x >= vec2i(0)) & (x < vec2i(params.width));
      let at = line + clamp(x, vec2i(0), vec2i(params.width - 1));
      let p = select(0.0, input[at.x], inside.x);
      let q = select(0.0, input[at.y], inside.y);
      let v = origin + j;
      let low = vec4f(cotangent[v + o0], cotangent[v + o1], cotangent[v + o2], cotangent[v + o3]);
      let high = vec4f(cotangent[v + o4], cotangent[v + o5], cotangent[v + o6], cotangent[v + o7]);
      p_low += p * low;
      p_high += p * high;
      q_low += q * low;
      q_high += q * high;
    }
  }

  let at = (workgroup.z * params.out_channels + first) * filter_size + tap;
  for (var o = 0u; o < 8 && first + o <= last; o++) {
    if (tap.x < filter_size) { gradient[at.x + o * filter_size] = select(p_high[o % 4], p_low[o % 4], o < 4); }
    if (tap.y < filter_size) { gradient[at.y + o * filter_size] = select(q_high[o % 4], q_low[o % 4], o < 4); }
  }
}
