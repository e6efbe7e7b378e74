// h[r, i] = g[l] / rows * (x[r, i] * xy / (xx + epsilon) - y[r, i]) / sqrt((xx + epsilon) (yy + epsilon))
// with the row's sums (xy, xx, yy): the gradient of cosine_distance.wgsl in x. For that in y, x and y change places.
//
// 0: g  [layers]     1: m  [layers, rows, splits, 4]  (see cosine_moments.wgsl)
// 2: x  [rows, length]     3: y  [rows, length]     4: h  [rows, length]
// A workgroup computes WORKGROUP * 4 consecutive ELEMENTs of a row: vec4f where four divides the length, else f32.

struct Params {
  length: u32,
  splits: u32,
  layer: u32,
  rows: u32,
  /// 1 where x is the second of the pair that the moments are of.
  swapped: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read> moments: array<vec4f>;
@group(0) @binding(2) var<storage, read> x_data: array<ELEMENT>;
@group(0) @binding(3) var<storage, read> y_data: array<ELEMENT>;
@group(0) @binding(4) var<storage, read_write> output: array<ELEMENT>;
@group(0) @binding(5) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = workgroup.y;
  var m = vec4f(0);
  for (var s = 0u; s < params.splits; s++) {
    m += moments[(params.layer * params.rows + row) * params.splits + s];
  }
  let own = select(m.y, m.z, params.swapped == 1) + params.epsilon;
  let other = select(m.z, m.y, params.swapped == 1) + params.epsilon;
  let scale = gradient[params.layer] / (f32(params.rows) * sqrt(own * other));
  let slope = ELEMENT(scale * m.x / own);
  for (var j = 0u; j < 4; j++) {
    let i = (workgroup.x * 4 + j) * WORKGROUP + local;
    if (i < params.length) {
      let at = row * params.length + i;
      output[at] = slope * x_data[at] - ELEMENT(scale) * y_data[at];
    }
  }
}
