// C[z, m, n] = sum over k of A[z, m, k] * B[z, k, n], for each matrix z of a batch
//
// 0: A          1: B          2: C  [batch, splits, M, N]
// A and B are addressed through strides, so that transposed and repeated operands cost no copy. A register tile is 8
// rows x 4 neighbouring columns. A workgroup computes 8 rows (workgroup.y: A is the same for all its lanes) x 4 *
// WORKGROUP columns, over one split of k; workgroup.z counts matrices x splits. The splits are added by a second kernel
// in a fixed order.

struct Params {
  rows: u32,
  columns: u32,
  inner: u32,
  splits: u32,
  split_length: u32,
  a_batch: u32,
  a_row: u32,
  a_inner: u32,
  b_batch: u32,
  b_inner: u32,
  b_column: u32,
}

@group(0) @binding(0) var<storage, read> a_data: array<f32>;
@group(0) @binding(1) var<storage, read> b_data: array<f32>;
@group(0) @binding(2) var<storage, read_write> c_data: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 32;

fn store(row: u32, column: u32, at: u32, value: vec4f) {
  if (row >= params.rows) {
    return;
  }
  for (var j = 0u; j < 4 && column + j < params.columns; j++) {
    c_data[at + j] = value[j];
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let matrix = workgroup.z / params.splits;
  let split = workgroup.z % params.splits;
  let row = workgroup.y * 8;
  let column = (workgroup.x * WORKGROUP + local) * 4;
  let a0 = matrix * params.a_batch + min(row + 0, params.rows - 1) * params.a_row;
  let a1 = matrix * params.a_batch + min(row + 1, params.rows - 1) * params.a_row;
  let a2 = matrix * params.a_batch + min(row + 2, params.rows - 1) * params.a_row;
  let a3 = matrix * params.a_batch + min(row + 3, params.rows - 1) * params.a_row;
  let a4 = matrix * params.a_batch + min(row + 4, params.rows - 1) * params.a_row;
  let a5 = matrix * params.a_batch + min(row + 5, params.rows - 1) * params.a_row;
  let a6 = matrix * params.a_batch + min(row + 6, params.rows - 1) * params.a_row;
  let a7 = matrix * params.a_batch + min(row + 7, params.rows - 1) * params.a_row;
  let b_columns = min(column + vec4u(0, 1, 2, 3), vec4u(params.columns - 1)) * params.b_column;
  let b_base = matrix * params.b_batch + b_columns;
  var c0 = vec4f(0);
  var c1 = vec4f(0);
  var c2 = vec4f(0);
  var c3 = vec4f(0);
  var c4 = vec4f(0);
  var c5 = vec4f(0);
  var c6 = vec4f(0);
  var c7 = vec4f(0);
  let start = split * params.split_length;
  let end = min(start + params.split_length, params.inner);
  for (var k = start; k < end; k++) {
    let from_b = b_base + k * params.b_inner;
    let b = vec4f(b_data[from_b.x], b_data[from_b.y], b_data[from_b.z], b_data[from_b.w]);
    let from_a = k * params.a_inner;
    c0 += a_data[a0 + from_a] * b;
    c1 += a_data[a1 + from_a] * b;
    c2 += a_data[a2 + from_a] * b;
    c3 += a_data[a3 + from_a] * b;
    c4 += a_data[a4 + from_a] * b;
    c5 += a_data[a5 + from_a] * b;
    c6 += a_data[a6 + from_a] * b;
    c7 += a_data[a7 + from_a] * b;
  }
  let at = (workgroup.z * params.rows + row) * params.columns + column;
  store(row + 0, column, at + 0 * params.columns, c0);
  store(row + 1, column, at + 1 * params.columns, c1);
  store(row + 2, column, at + 2 * params.columns, c2);
  store(row + 3, column, at + 3 * params.columns, c3);
  store(row + 4, column, at + 4 * params.columns, c4);
  store(row + 5, column, at + 5 * params.columns, c5);
  store(row + 6, column, at + 6 * params.columns, c6);
  store(row + 7, column, at + 7 * params.columns, c7);
}
