// d[l] = 1 - mean over rows r of xy / sqrt((xx + epsilon) (yy + epsilon)),  (xy, xx, yy) = sum over s of m[l, r, s]
//
// 0: m  [layers, rows, splits, 4]  (see cosine_moments.wgsl)     1: d  [layers]
// A workgroup computes one layer.

struct Params {
  rows: u32,
  splits: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> moments: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> distance_data: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

var<workgroup> partial: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  var sum = 0.0;
  for (var r = local; r < params.rows; r += WORKGROUP) {
    var m = vec4f(0);
    for (var s = 0u; s < params.splits; s++) {
      m += moments[(workgroup.x * params.rows + r) * params.splits + s];
    }
    sum += m.x / sqrt((m.y + params.epsilon) * (m.z + params.epsilon));
  }
  partial[local] = sum;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) {
      partial[local] += partial[local + half];
    }
  }
  if (local == 0) {
    distance_data[workgroup.x] = 1 - partial[0] / f32(params.rows);
  }
}
