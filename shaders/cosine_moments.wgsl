// m[r, s] = (sum of x[r, i] y[r, i], sum of x[r, i]^2, sum of y[r, i]^2, 0)  over i in split s of row r
//
// 0: x  [rows, length]     1: y  [rows, length]     2: m  [layers, rows, splits, 4], of which one layer is written
// A workgroup computes one split of one row. ELEMENT is vec4f where four divides the length, and all counts are of
// vectors then; else it is f32.

struct Params {
  length: u32,
  splits: u32,
  split_length: u32,
  /// Rows of the layers before this one.
  first: u32,
}

@group(0) @binding(0) var<storage, read> x_data: array<ELEMENT>;
@group(0) @binding(1) var<storage, read> y_data: array<ELEMENT>;
@group(0) @binding(2) var<storage, read_write> moments: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

var<workgroup> partial: array<vec4f, WORKGROUP>;

fn collect(v: ELEMENT) -> f32 {
  return COLLECT;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = workgroup.y;
  let start = workgroup.x * params.split_length;
  let end = min(start + params.split_length, params.length);
  var xy = ELEMENT(0.0);
  var xx = ELEMENT(0.0);
  var yy = ELEMENT(0.0);
  for (var i = row * params.length + start + local; i < row * params.length + end; i += WORKGROUP) {
    let x = x_data[i];
    let y = y_data[i];
    xy += x * y;
    xx += x * x;
    yy += y * y;
  }
  partial[local] = vec4f(collect(xy), collect(xx), collect(yy), 0.0);
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) {
      partial[local] += partial[local + half];
    }
  }
  if (local == 0) {
    moments[(params.first + row) * params.splits + workgroup.x] = partial[0];
  }
}
