// y[p, i, j] = gain * sum_{a, b < 4} F[a, b] * v(i + a - pad_y, j + b - pad_x)
// v(m, n) = x[p, m / 2, n / 2] where m and n are even and the point lies in x, else 0
// upfirdn2d (see upfirdn2d.wgsl) that doubles both axes and filters with 4 x 4 taps: 2 x 2 of them meet a sample.
//
// 0: x  [planes, H, W]     1: filter  [4, 4]     2: y  [planes, OH, OW]
// The rows i - pad_y = 2 s - 1 and 2 s of y are made of the rows s and s + 1 of x, and so are its columns. A register
// tile is 4 x 4 pixels of y, for which an invocation loads 3 x 3 of x; the first row and column of the tiles may lie
// before y.
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
  out_height: i32,
  out_width: i32,
  pad_y: i32,
  pad_x: i32,
  tiles_y: u32,
  tiles_x: u32,
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

/// Three neighbours of a row of x.
fn load(plane: i32, row: i32, column: i32) -> vec3f {
  let at = (plane * params.height + clamp(row, 0, params.height - 1)) * params.width;
  let columns = column + vec3i(0, 1, 2);
  let c = clamp(columns, vec3i(0), vec3i(params.width - 1));
  let valid = select(0.0, 1.0, row >= 0 && row < params.height);
  let inside = select(vec3f(0), vec3f(valid), (columns >= vec3i(0)) & (columns < vec3i(params.width)));
  return vec3f(vec3<Number>(input[at + c.x], input[at + c.y], input[at + c.z])) * inside;
}

/// What a row of x adds to four neighbours of y by a row of the filter.
fn spread(x: vec3f, f: vec4f) -> vec4f {
  let odd = f.y * x.xy + f.w * x.yz;
  let even = f.x * x.xy + f.z * x.yz;
  return vec4f(odd.x, even.x, odd.y, even.y);
}

fn store(plane: i32, i: i32, j: i32, value: vec4f) {
  if (i < 0 || i >= params.out_height) {
    return;
  }
  let at = (plane * params.out_height + i) * params.out_width + j;
  if (j >= 0 && j < params.out_width) { output[at] = Number(value.x); }
  if (j + 1 < params.out_width) { output[at + 1] = Number(value.y); }
  if (j + 2 < params.out_width) { output[at + 2] = Number(value.z); }
  if (j + 3 < params.out_width) { output[at + 3] = Number(value.w); }
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
  let plane = i32(tile / (params.tiles_x * params.tiles_y));
  // The first s of each axis is that of pixel 0; shifts round down where pad makes it negative.
  let row = ((1 - params.pad_y) >> 1) + i32(tile / params.tiles_x % params.tiles_y) * 2;
  let column = ((1 - params.pad_x) >> 1) + i32(tile % params.tiles_x) * 2;
  let x0 = load(plane, row, column);
  let x1 = load(plane, row + 1, column);
  let x2 = load(plane, row + 2, column);
  let f0 = taps(0);
  let f1 = taps(1);
  let f2 = taps(2);
  let f3 = taps(3);
  let i = 2 * row - 1 + params.pad_y;
  let j = 2 * column - 1 + params.pad_x;
  store(plane, i, j, spread(x0, f1) + spread(x1, f3));
  store(plane, i + 1, j, spread(x0, f0) + spread(x1, f2));
  store(plane, i + 2, j, spread(x1, f1) + spread(x2, f3));
  store(plane, i + 3, j, spread(x1, f0) + spread(x2, f2));
}
