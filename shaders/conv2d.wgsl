// y[n, o, i, j] = sum over c, a, b of x[n, g(o) * CG + c, i * stride_y + a - pad_y, j * stride_x + b - pad_x] * w[o, c, a, b]
// Cross-correlation with zero padding; g(o) is the group of output channel o, CG the channels of a group.
//
// 0: x  [N, C, H, W]     1: w  [O, CG, KH, KW]     2: y  [N, O, OH, OW]
// A register tile is 8 output channels x 4 neighbouring pixels of a row. A workgroup computes WORKGROUP such pixel quads (counted
// through all rows and samples) of one block of 8 channels (workgroup.y, blocks do not cross groups): the weights are then the same
// for the whole workgroup, and only the pixels differ from lane to lane. Width 3 at stride 1 loads 6 pixels for 3 taps.

struct Params {
  quads: u32,
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
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
/// 1 where the kernel is 3 wide and the horizontal stride 1.
override WIDTH3: u32 = 0;

fn store(at: u32, column: u32, value: vec4f) {
  output[at] = value.x;
  if (column + 1 < params.out_width) { output[at + 1] = value.y; }
  if (column + 2 < params.out_width) { output[at + 2] = value.z; }
  if (column + 3 < params.out_width) { output[at + 3] = value.w; }
}

/// 1 for the columns inside the image, 0 for padding.
fn inside(columns: vec4i) -> vec4f {
  return select(vec4f(0), vec4f(1), (columns >= vec4i(0)) & (columns < vec4i(params.width)));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let quads_x = (params.out_width + 3) / 4;
  let quad = min(workgroup.x * WORKGROUP + local, params.quads - 1);
  let column = quad % quads_x * 4;
  let row = quad / quads_x % params.out_height;
  let sample = quad / (quads_x * params.out_height);

  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + 7) / 8;
  let group = workgroup.y / blocks;
  let first = group * group_outputs + workgroup.y % blocks * 8;
  let last = (group + 1) * group_outputs - 1;
  let taps = params.kernel_height * params.kernel_width;
  let filter_size = group_channels * taps;
  let w0 = min(first + 0, last) * filter_size;
  let w1 = min(first + 1, last) * filter_size;
  let w2 = min(first + 2, last) * filter_size;
  let w3 = min(first + 3, last) * filter_size;
  let w4 = min(first + 4, last) * filter_size;
  let w5 = min(first + 5, last) * filter_size;
  let w6 = min(first + 6, last) * filter_size;
  let w7 = min(first + 7, last) * filter_size;

  let plane = params.height * params.width;
  let image = i32(sample * params.channels + group * group_channels) * plane;
  let top = i32(row) * params.stride_y - params.pad_y;
  let left = i32(column) * params.stride_x - params.pad_x;
  let columns = left + vec4i(0, 1, 2, 3) * params.stride_x;
  let edge = vec4i(params.width - 1);

  var y0 = vec4f(0);
  var y1 = vec4f(0);
  var y2 = vec4f(0);
  var y3 = vec4f(0);
  var y4 = vec4f(0);
  var y5 = vec4f(0);
  var y6 = vec4f(0);
  var y7 = vec4f(0);

  for (var a = 0u; a < params.kernel_height; a++) {
    let y = top + i32(a);
    let valid = select(0.0, 1.0, y >= 0 && y < params.height);
    let line = image + clamp(y, 0, params.height - 1) * params.width;
    if (WIDTH3 == 1) {
      let c0 = clamp(columns, vec4i(0), edge);
      let c1 = clamp(columns + 4, vec4i(0), edge);
      let mask0 = inside(columns) * valid;
      let mask1 = inside(columns + 4) * valid;
      for (var c = 0u; c < group_channels; c++) {
        let origin = line + i32(c) * plane;
        let p = vec4f(input[origin + c0.x], input[origin + c0.y], input[origin + c0.z], input[origin + c0.w]) * mask0;
        let q = vec2f(input[origin + c1.x], input[origin + c1.y]) * mask1.xy;
        let p1 = vec4f(p.yzw, q.x);
        let p2 = vec4f(p.zw, q);
        let k = c * taps + a * 3;
        y0 += p * weight[w0 + k] + p1 * weight[w0 + k + 1] + p2 * weight[w0 + k + 2];
        y1 += p * weight[w1 + k] + p1 * weight[w1 + k + 1] + p2 * weight[w1 + k + 2];
        y2 += p * weight[w2 + k] + p1 * weight[w2 + k + 1] + p2 * weight[w2 + k + 2];
        y3 += p * weight[w3 + k] + p1 * weight[w3 + k + 1] + p2 * weight[w3 + k + 2];
        y4 += p * weight[w4 + k] + p1 * weight[w4 + k + 1] + p2 * weight[w4 + k + 2];
        y5 += p * weight[w5 + k] + p1 * weight[w5 + k + 1] + p2 * weight[w5 + k + 2];
        y6 += p * weight[w6 + k] + p1 * weight[w6 + k + 1] + p2 * weight[w6 + k + 2];
        y7 += p * weight[w7 + k] + p1 * weight[w7 + k + 1] + p2 * weight[w7 + k + 2];
      }
    } else {
      for (var b = 0u; b < params.kernel_width; b++) {
        let x = columns + i32(b);
        let c0 = clamp(x, vec4i(0), edge);
        let mask = inside(x) * valid;
        for (var c = 0u; c < group_channels; c++) {
          let origin = line + i32(c) * plane;
          let p = vec4f(input[origin + c0.x], input[origin + c0.y], input[origin + c0.z], input[origin + c0.w]) * mask;
          let k = c * taps + a * params.kernel_width + b;
          y0 += p * weight[w0 + k];
          y1 += p * weight[w1 + k];
          y2 += p * weight[w2 + k];
          y3 += p * weight[w3 + k];
          y4 += p * weight[w4 + k];
          y5 += p * weight[w5 + k];
          y6 += p * weight[w6 + k];
          y7 += p * weight[w7 + k];
        }
      }
    }
  }

  if (workgroup.x * WORKGROUP + local >= params.quads) {
    return;
  }
  let out_plane = params.out_height * params.out_width;
  let at = ((sample * params.out_channels + first) * params.out_height + row) * params.out_width + column;
  store(at, column, y0);
  if (first + 1 <= last) { store(at + 1 * out_plane, column, y1); }
  if (first + 2 <= last) { store(at + 2 * out_plane, column, y2); }
  if (first + 3 <= last) { store(at + 3 * out_plane, column, y3); }
  if (first + 4 <= last) { store(at + 4 * out_plane, column, y4); }
  if (first + 5 <= last) { store(at + 5 * out_plane, column, y5); }
  if (first + 6 <= last) { store(at + 6 * out_plane, column, y6); }
  if (first + 7 <= last) { store(at + 7 * out_plane, column, y7); }
}
