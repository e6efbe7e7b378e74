// u[o, c, a, b] = sum over n, i, j
//                 of v[n, o, i, j] * x[n, g(o) * CG + c, i * stride + a - pad_y, j * stride + b - pad_x]
// The gradient of conv2d to a 3 x 3 weight, v being the gradient of its output; strides 1 and 2; g(o) is the group of
// output channel o.
//
// 0: x  [N, C, H, W]     1: v  [N, O, OH, OW]     2: u  [splits, O, CG, 3, 3]
// A lane is an input channel: its register tile is 8 output channels x 9 taps. It walks along the rows (n, i) of one
// split (workgroup.z) with a window of 3 x 3 pixels, which at stride 1 moves by one column of 3 loads for 72
// multiply-adds. A workgroup computes WORKGROUP input channels (workgroup.x) x 8 output channels (workgroup.y; blocks
// do not cross groups): v is the same for all its lanes. The splits are added by a second kernel in a fixed order.

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
  rows_per_split: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> cotangent: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 8;
override STRIDE: i32 = 1;

/// The three pixels of a column of the window; `lines` are their rows' first elements, `rows` 0 in the padding.
fn load(lines: vec3i, rows: vec3f, column: i32) -> vec3f {
  let at = lines + clamp(column, 0, params.width - 1);
  let inside = select(0.0, 1.0, column >= 0 && column < params.width);
  return vec3f(input[at.x], input[at.y], input[at.z]) * (rows * inside);
}

fn store(at: u32, left: vec3f, middle: vec3f, right: vec3f) {
  gradient[at] = left.x;
  gradient[at + 1] = middle.x;
  gradient[at + 2] = right.x;
  gradient[at + 3] = left.y;
  gradient[at + 4] = middle.y;
  gradient[at + 5] = right.y;
  gradient[at + 6] = left.z;
  gradient[at + 7] = middle.z;
  gradient[at + 8] = right.z;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + 7) / 8;
  let group = workgroup.y / blocks;
  let first = group * group_outputs + workgroup.y % blocks * 8;
  let last = (group + 1) * group_outputs - 1;
  let channel = workgroup.x * WORKGROUP + local;
  let plane = params.height * params.width;
  let image = i32(group * group_channels + min(channel, group_channels - 1)) * plane;
  let out_plane = params.out_height * params.out_width;
  let o0 = min(first + 0, last) * out_plane;
  let o1 = min(first + 1, last) * out_plane;
  let o2 = min(first + 2, last) * out_plane;
  let o3 = min(first + 3, last) * out_plane;
  let o4 = min(first + 4, last) * out_plane;
  let o5 = min(first + 5, last) * out_plane;
  let o6 = min(first + 6, last) * out_plane;
  let o7 = min(first + 7, last) * out_plane;

  // Of each output channel the taps of the left, the middle and the right column, from top to bottom.
  var l0 = vec3f(0);
  var m0 = vec3f(0);
  var r0 = vec3f(0);
  var l1 = vec3f(0);
  var m1 = vec3f(0);
  var r1 = vec3f(0);
  var l2 = vec3f(0);
  var m2 = vec3f(0);
  var r2 = vec3f(0);
  var l3 = vec3f(0);
  var m3 = vec3f(0);
  var r3 = vec3f(0);
  var l4 = vec3f(0);
  var m4 = vec3f(0);
  var r4 = vec3f(0);
  var l5 = vec3f(0);
  var m5 = vec3f(0);
  var r5 = vec3f(0);
  var l6 = vec3f(0);
  var m6 = vec3f(0);
  var r6 = vec3f(0);
  var l7 = vec3f(0);
  var m7 = vec3f(0);
  var r7 = vec3f(0);

  let start = workgroup.z * params.rows_per_split;
  let end = min(start + params.rows_per_split, params.samples * params.out_height);
  for (var r = start; r < end; r++) {
    let sample = r / params.out_height;
    let i = r % params.out_height;
    let y = i32(i) * STRIDE - params.pad_y + vec3i(0, 1, 2);
    let rows = select(vec3f(0), vec3f(1), (y >= vec3i(0)) & (y < vec3i(params.height)));
    let origin = i32(sample * params.channels) * plane + image;
    let lines = origin + clamp(y, vec3i(0), vec3i(params.height - 1)) * params.width;
    let v_line = sample * params.out_channels * out_plane + i * params.out_width;
    var left = load(lines, rows, -params.pad_x);
    var middle = load(lines, rows, 1 - params.pad_x);
    for (var j = 0; j < i32(params.out_width); j++) {
      let column = j * STRIDE - params.pad_x;
      if (STRIDE > 1) {
        middle = load(lines, rows, column + 1);
      }
      let right = load(lines, rows, column + 2);
      let v = v_line + u32(j);
      let v0 = vec3f(cotangent[v + o0]);
      l0 = fma(left, v0, l0);
      m0 = fma(middle, v0, m0);
      r0 = fma(right, v0, r0);
      let v1 = vec3f(cotangent[v + o1]);
      l1 = fma(left, v1, l1);
      m1 = fma(middle, v1, m1);
      r1 = fma(right, v1, r1);
      let v2 = vec3f(cotangent[v + o2]);
      l2 = fma(left, v2, l2);
      m2 = fma(middle, v2, m2);
      r2 = fma(right, v2, r2);
      let v3 = vec3f(cotangent[v + o3]);
      l3 = fma(left, v3, l3);
      m3 = fma(middle, v3, m3);
      r3 = fma(right, v3, r3);
      let v4 = vec3f(cotangent[v + o4]);
      l4 = fma(left, v4, l4);
      m4 = fma(middle, v4, m4);
      r4 = fma(right, v4, r4);
      let v5 = vec3f(cotangent[v + o5]);
      l5 = fma(left, v5, l5);
      m5 = fma(middle, v5, m5);
      r5 = fma(right, v5, r5);
      let v6 = vec3f(cotangent[v + o6]);
      l6 = fma(left, v6, l6);
      m6 = fma(middle, v6, m6);
      r6 = fma(right, v6, r6);
      let v7 = vec3f(cotangent[v + o7]);
      l7 = fma(left, v7, l7);
      m7 = fma(middle, v7, m7);
      r7 = fma(right, v7, r7);
      left = select(right, middle, STRIDE == 1);
      middle = right;
    }
  }

  if (channel >= group_channels) {
    return;
  }
  let filter_size = group_channels * 9;
  let at = (workgroup.z * params.out_channels + first) * filter_size + channel * 9;
  store(at, l0, m0, r0);
  if (first + 1 <= last) { store(at + 1 * filter_size, l1, m1, r1); }
  if (first + 2 <= last) { store(at + 2 * filter_size, l2, m2, r2); }
  if (first + 3 <= last) { store(at + 3 * filter_size, l3, m3, r3); }
  if (first + 4 <= last) { store(at + 4 * filter_size, l4, m4, r4); }
  if (first + 5 <= last) { store(at + 5 * filter_size, l5, m5, r5); }
  if (first + 6 <= last) { store(at + 6 * filter_size, l6, m6, r6); }
  if (first + 7 <= last) { store(at + 7 * filter_size, l7, m7, r7); }
}
