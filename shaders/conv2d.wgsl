// y[n, o, i, j] = sum over c, a, b
//                 of x[n, g(o) * CG + c, i * stride_y + a - pad_y, j * stride_x + b - pad_x] * w[o, c, a, b]
// Cross-correlation with zero padding; g(o) is the group of output channel o, CG the channels of a group.
//
// 0: x  [N, C, H, W]     1: w  [O, CG, KH, KW]     2: y  [N, O, OH, OW]
// The steps from one output channel, input channel and tap of w to the next are parameters: with others, w is read as
// the weight [CG, O, KH, KW] of the transposed convolution, its taps from the last to the first.
//
// A register tile is 4 output channels x 2 rows x 4 columns of pixels (y0..y3 the upper row, z0..z3 the lower one). A
// workgroup computes WORKGROUP such patches (counted through all samples, along workgroup.x and z) of one block of 4
// channels (workgroup.y, blocks do not cross groups): the weights are then the same for the whole workgroup, and only
// the pixels differ from lane to lane. Width 3 at stride 1 loads 6 pixels for 3 taps. Products are added up by blocks
// of channels, so that the rounding errors of long sums stay small.

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
  stride_x: i32,
  pad_y: i32,
  pad_x: i32,
  weight_group: u32,
  weight_output: u32,
  weight_channel: u32,
  weight_start: u32,
  weight_tap: u32, // modulo 2^32: the taps may go backwards
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
/// 1 where the kernel is 3 wide and the horizontal stride 1.
override WIDTH3: u32 = 0;

const BLOCK = 16u;

fn store(row: u32, column: u32, plane: u32, value: vec4f) {
  if (row >= params.out_height) {
    return;
  }
  let at = (plane * params.out_height + row) * params.out_width + column;
  output[at] = value.x;
  if (column + 1 < params.out_width) { output[at + 1] = value.y; }
  if (column + 2 < params.out_width) { output[at + 2] = value.z; }
  if (column + 3 < params.out_width) { output[at + 3] = value.w; }
}

/// 1 for the columns inside the image, 0 for padding.
fn inside(columns: vec4i) -> vec4f {
  return select(vec4f(0), vec4f(1), (columns >= vec4i(0)) & (columns < vec4i(params.width)));
}

fn gather(line: i32, columns: vec4i) -> vec4f {
  return vec4f(input[line + columns.x], input[line + columns.y], input[line + columns.z], input[line + columns.w]);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (workgroup.z * grid.x + workgroup.x) * WORKGROUP + local;
  let across = (params.out_width + 3) / 4;
  let down = (params.out_height + 1) / 2;
  let patch_index = min(index, params.patches - 1);
  let column = patch_index % across * 4;
  let row = patch_index / across % down * 2;
  let sample = patch_index / (across * down);

  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + 3) / 4;
  let group = workgroup.y / blocks;
  let first = workgroup.y % blocks * 4;
  let last = group_outputs - 1;
  let filters = group * params.weight_group + params.weight_start;
  let w0 = filters + min(first + 0, last) * params.weight_output;
  let w1 = filters + min(first + 1, last) * params.weight_output;
  let w2 = filters + min(first + 2, last) * params.weight_output;
  let w3 = filters + min(first + 3, last) * params.weight_output;
  let next = params.weight_tap;

  let plane = params.height * params.width;
  let image = i32(sample * params.channels + group * group_channels) * plane;
  let top = i32(row) * params.stride_y - params.pad_y;
  let left = i32(column) * params.stride_x - params.pad_x;
  let columns = left + vec4i(0, 1, 2, 3) * params.stride_x;
  let edge = vec4i(params.width - 1);

  var y0 = vec4f(0);
  var z0 = vec4f(0);
  var y1 = vec4f(0);
  var z1 = vec4f(0);
  var y2 = vec4f(0);
  var z2 = vec4f(0);
  var y3 = vec4f(0);
  var z3 = vec4f(0);

  for (var a = 0u; a < params.kernel_height; a++) {
    let rows = top + i32(a) + vec2i(0, params.stride_y);
    let valid = select(vec2f(0), vec2f(1), (rows >= vec2i(0)) & (rows < vec2i(params.height)));
    let lines = image + clamp(rows, vec2i(0), vec2i(params.height - 1)) * params.width;
    if (WIDTH3 == 1) {
      let c0 = clamp(columns, vec4i(0), edge);
      let c1 = clamp(columns + 4, vec4i(0), edge);
      let mask0 = inside(columns);
      let mask1 = inside(columns + 4).xy;
      for (var start = 0u; start < group_channels; start += BLOCK) {
        var s0 = vec4f(0);
        var t0 = vec4f(0);
        var s1 = vec4f(0);
        var t1 = vec4f(0);
        var s2 = vec4f(0);
        var t2 = vec4f(0);
        var s3 = vec4f(0);
        var t3 = vec4f(0);
        for (var c = start; c < min(start + BLOCK, group_channels); c++) {
          let upper = lines.x + i32(c) * plane;
          let lower = lines.y + i32(c) * plane;
          let p = gather(upper, c0) * (mask0 * valid.x);
          let q = gather(lower, c0) * (mask0 * valid.y);
          let p_right = vec2f(input[upper + c1.x], input[upper + c1.y]) * (mask1 * valid.x);
          let q_right = vec2f(input[lower + c1.x], input[lower + c1.y]) * (mask1 * valid.y);
          let p1 = vec4f(p.yzw, p_right.x);
          let p2 = vec4f(p.zw, p_right);
          let q1 = vec4f(q.yzw, q_right.x);
          let q2 = vec4f(q.zw, q_right);
          let k = c * params.weight_channel + a * 3 * next;
          let u0 = weight[w0 + k];
          let v0 = weight[w0 + k + next];
          let r0 = weight[w0 + k + 2 * next];
          s0 = fma(p2, vec4f(r0), fma(p1, vec4f(v0), fma(p, vec4f(u0), s0)));
          t0 = fma(q2, vec4f(r0), fma(q1, vec4f(v0), fma(q, vec4f(u0), t0)));
          let u1 = weight[w1 + k];
          let v1 = weight[w1 + k + next];
          let r1 = weight[w1 + k + 2 * next];
          s1 = fma(p2, vec4f(r1), fma(p1, vec4f(v1), fma(p, vec4f(u1), s1)));
          t1 = fma(q2, vec4f(r1), fma(q1, vec4f(v1), fma(q, vec4f(u1), t1)));
          let u2 = weight[w2 + k];
          let v2 = weight[w2 + k + next];
          let r2 = weight[w2 + k + 2 * next];
          s2 = fma(p2, vec4f(r2), fma(p1, vec4f(v2), fma(p, vec4f(u2), s2)));
          t2 = fma(q2, vec4f(r2), fma(q1, vec4f(v2), fma(q, vec4f(u2), t2)));
          let u3 = weight[w3 + k];
          let v3 = weight[w3 + k + next];
          let r3 = weight[w3 + k + 2 * next];
          s3 = fma(p2, vec4f(r3), fma(p1, vec4f(v3), fma(p, vec4f(u3), s3)));
          t3 = fma(q2, vec4f(r3), fma(q1, vec4f(v3), fma(q, vec4f(u3), t3)));
        }
        y0 += s0;
        z0 += t0;
        y1 += s1;
        z1 += t1;
        y2 += s2;
        z2 += t2;
        y3 += s3;
        z3 += t3;
      }
    } else {
      for (var b = 0u; b < params.kernel_width; b++) {
        let x = columns + i32(b);
        let c0 = clamp(x, vec4i(0), edge);
        let mask = inside(x);
        for (var start = 0u; start < group_channels; start += BLOCK) {
          var s0 = vec4f(0);
          var t0 = vec4f(0);
          var s1 = vec4f(0);
          var t1 = vec4f(0);
          var s2 = vec4f(0);
          var t2 = vec4f(0);
          var s3 = vec4f(0);
          var t3 = vec4f(0);
          for (var c = start; c < min(start + BLOCK, group_channels); c++) {
            let p = gather(lines.x + i32(c) * plane, c0) * (mask * valid.x);
            let q = gather(lines.y + i32(c) * plane, c0) * (mask * valid.y);
            let k = c * params.weight_channel + (a * params.kernel_width + b) * next;
            let u0 = weight[w0 + k];
            s0 = fma(p, vec4f(u0), s0);
            t0 = fma(q, vec4f(u0), t0);
            let u1 = weight[w1 + k];
            s1 = fma(p, vec4f(u1), s1);
            t1 = fma(q, vec4f(u1), t1);
            let u2 = weight[w2 + k];
            s2 = fma(p, vec4f(u2), s2);
            t2 = fma(q, vec4f(u2), t2);
            let u3 = weight[w3 + k];
            s3 = fma(p, vec4f(u3), s3);
            t3 = fma(q, vec4f(u3), t3);
          }
          y0 += s0;
          z0 += t0;
          y1 += s1;
          z1 += t1;
          y2 += s2;
          z2 += t2;
          y3 += s3;
          z3 += t3;
        }
      }
    }
  }

  if (index >= params.patches) {
    return;
  }
  let out_plane = sample * params.out_channels + group * group_outputs + first;
  store(row, column, out_plane, y0);
  store(row + 1, column, out_plane, z0);
  if (first + 1 <= last) {
    store(row, column, out_plane + 1, y1);
    store(row + 1, column, out_plane + 1, z1);
  }
  if (first + 2 <= last) {
    store(row, column, out_plane + 2, y2);
    store(row + 1, column, out_plane + 2, z2);
  }
  if (first + 3 <= last) {
    store(row, column, out_plane + 3, y3);
    store(row + 1, column, out_plane + 3, z3);
  }
}
