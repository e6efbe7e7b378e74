// y[p, i, j] = gain * sum_{a, b < 4} F[a, b] * x[p, i + a - pad_y, j + b - pad_x], x = 0 outside
// upfirdn2d (see upfirdn2d.wgsl) without resampling and with 4 x 4 taps: the blur beside every resampling convolution.
//
// 0: x  [planes, H, W]     1: filter  [4, 4]     2: y  [planes, OH, OW]
// A register tile is 4 x 4 pixels of y, for which an invocation loads 7 x 7 of x.
//
// 1 where x and y are stored as f16; filter and sums are f32.
//: let HALF = 0

//: if HALF
enable f16;
alias Number = f16;
//: else
alias Number = f32;
//: end

struct Params {
  tiles: u32,
  height: i32,
  width: i32,
  out_height: u32,
  out_width: u32,
  pad_y: i32,
  pad_x: i32,
  flip: u32,
  gain: f32,
}

@group(0) @binding(0) var<storage, read> input: array<Number>;
@group(0) @binding(1) var<storage, read> filter_taps: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<Number>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

/// Row a of the filter as it is correlated with the image.
fn taps(a: u32) -> vec4f {
  let row = select(3 - a, a, params.flip == 1) * 4;
  let f = vec4f(filter_taps[row], filter_taps[row + 1], filter_taps[row + 2], filter_taps[row + 3]) * params.gain;
  return select(f.wzyx, f, params.flip == 1);
}

/// Seven neighbours of a row of x, and how one filter row maps them to four pixels.
struct Line {
  low: vec4f,
  high: vec3f,
}

fn correlate(line: Line, f: vec4f) -> vec4f {
  return f.x * line.low + f.y * vec4f(line.low.yzw, line.high.x) + f.z * vec4f(line.low.zw, line.high.xy)
    + f.w * vec4f(line.low.w, line.high);
}

fn store(row: u32, column: u32, plane: u32, value: vec4f) {
  if (row >= params.out_height) {
    return;
  }
  let at = (plane * params.out_height + row) * params.out_width + column;
  output[at] = Number(value.x);
  if (column + 1 < params.out_width) { output[at + 1] = Number(value.y); }
  if (column + 2 < params.out_width) { output[at + 2] = Number(value.z); }
  if (column + 3 < params.out_width) { output[at + 3] = Number(value.w); }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let tile = (workgroup.y * groups.x + workgroup.x) * WORKGROUP + local;
  if (tile >= params.tiles) {
    return;
  }
  let across = (params.out_width + 3) / 4;
  let down = (params.out_height + 3) / 4;
  let column = tile % across * 4;
  let row = tile / across % down * 4;
  let plane = tile / (across * down);

  let columns = i32(column) - params.pad_x + vec4i(0, 1, 2, 3);
  let edge = vec4i(params.width - 1);
  let c_low = clamp(columns, vec4i(0), edge);
  let c_high = clamp(columns + 4, vec4i(0), edge);
  let inside_low = select(vec4f(0), vec4f(1), (columns >= vec4i(0)) & (columns <= edge));
  let inside_high = select(vec4f(0), vec4f(1), (columns >= vec4i(-4)) & (columns + 4 <= edge));

  let f0 = taps(0);
  let f1 = taps(1);
  let f2 = taps(2);
  let f3 = taps(3);
  // The window slides down: y0 to y3 are the four rows that still gather, the first complete after its fourth line.
  var y0 = vec4f(0);
  var y1 = vec4f(0);
  var y2 = vec4f(0);
  var y3 = vec4f(0);
  for (var r = 0; r < 7; r++) {
    let y = i32(row) - params.pad_y + r;
    let valid = select(0.0, 1.0, y >= 0 && y < params.height);
    let at = (i32(plane) * params.height + clamp(y, 0, params.height - 1)) * params.width;
    let low = vec4f(vec4<Number>(input[at + c_low.x], input[at + c_low.y], input[at + c_low.z], input[at + c_low.w]));
    let high = vec3f(vec3<Number>(input[at + c_high.x], input[at + c_high.y], input[at + c_high.z]));
    let line = Line(low * inside_low * valid, high * inside_high.xyz * valid);
    y0 += correlate(line, f3);
    y1 += correlate(line, f2);
    y2 += correlate(line, f1);
    y3 += correlate(line, f0);
    if (r >= 3) {
      store(row + u32(r - 3), column, plane, y0);
    }
    y0 = y1;
    y1 = y2;
    y2 = y3;
    y3 = vec4f(0);
  }
}
