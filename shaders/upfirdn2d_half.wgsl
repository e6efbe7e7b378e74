// y[p, i, j] = gain * sum_{a, b < 4} F[a, b] * x[p, 2 i + a - pad_y, 2 j + b - pad_x], x = 0 outside
// upfirdn2d (see upfirdn2d.wgsl) that filters with 4 x 4 taps and keeps every second pixel of both axes.
//
// 0: x  [planes, H, W]     1: filter  [4, 4]     2: y  [planes, OH, OW]
// A register tile is 4 x 2 pixels of y, for which an invocation loads 10 x 6 of x.
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

/// Six neighbours of a row of x.
struct Line {
  low: vec4f,
  high: vec2f,
}

fn load(plane: u32, row: i32, column: i32) -> Line {
  let at = (i32(plane) * params.height + clamp(row, 0, params.height - 1)) * params.width;
  let columns = column + vec4i(0, 1, 2, 3);
  let edge = vec4i(params.width - 1);
  let low = clamp(columns, vec4i(0), edge);
  let high = clamp(columns + 4, vec4i(0), edge);
  let valid = select(0.0, 1.0, row >= 0 && row < params.height);
  let inside_low = select(vec4f(0), vec4f(valid), (columns >= vec4i(0)) & (columns <= edge));
  let inside_high = select(vec4f(0), vec4f(valid), (columns >= vec4i(-4)) & (columns + 4 <= edge));
  return Line(
    vec4f(vec4<Number>(input[at + low.x], input[at + low.y], input[at + low.z], input[at + low.w])) * inside_low,
    vec2f(vec2<Number>(input[at + high.x], input[at + high.y])) * inside_high.xy,
  );
}

/// What a row of x adds to two neighbours of y by a row of the filter.
fn correlate(line: Line, f: vec4f) -> vec2f {
  return vec2f(dot(line.low, f), dot(vec4f(line.low.zw, line.high), f));
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
  let across = (params.out_width + 1) / 2;
  let down = (params.out_height + 3) / 4;
  let column = tile % across * 2;
  let row = tile / across % down * 4;
  let plane = tile / (across * down);
  let left = i32(column) * 2 - params.pad_x;
  let top = i32(row) * 2 - params.pad_y;

  let f0 = taps(0);
  let f1 = taps(1);
  let f2 = taps(2);
  let f3 = taps(3);
  // The window slides down by pairs of rows: a pair completes one row of y and begins the next.
  var begun = vec2f(0);
  for (var pair = 0; pair < 5; pair++) {
    let upper = load(plane, top + 2 * pair, left);
    let lower = load(plane, top + 2 * pair + 1, left);
    let complete = begun + correlate(upper, f2) + correlate(lower, f3);
    begun = correlate(upper, f0) + correlate(lower, f1);
    let i = row + u32(pair) - 1;
    if (pair > 0 && i < params.out_height) {
      let at = (plane * params.out_height + i) * params.out_width + column;
      output[at] = Number(complete.x);
      if (column + 1 < params.out_width) { output[at + 1] = Number(complete.y); }
    }
  }
}
