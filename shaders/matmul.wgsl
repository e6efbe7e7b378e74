// C[z, m, n] = sum over k of A[z, m, k] * B[z, k, n], for each matrix z of a batch
//
// 0: A  M x K of each matrix     1: B  K x N of each matrix     2: C  [batch, splits, M, N]
// A and B are addressed through strides, so that transposed and repeated operands cost no copy. A lane computes ROWS
// rows x 4 * VECTORS neighbouring columns, in registers, reading straight from storage. A workgroup computes ROWS rows
// (A is the same for all its lanes) x 4 * VECTORS * WORKGROUP columns, over one split of k. The workgroups of a matrix
// are counted along its rows, through workgroup.x and y; workgroup.z counts matrices x splits. The splits are added by
// a second kernel in a fixed order.
//
//: let ROWS = 8
//: let VECTORS = 4
//: let WORKGROUP = 8
// 1 where B's columns are neighbours in memory and N is a multiple of 4: B and C are then read and written as vectors.
//: let ALIGNED = 0
// The size of a subgroup, whose lanes load the numbers of A together, each a part, and hand them round: a CPU driver
// loads the lanes' values one by one even where they are the same. 0 does without.
//: let SUBGROUP = 0
// 1 where the operands are stored as f16, and where the result is; sums are always f32.
//: let HALF = 0
//: let HALF_RESULT = 0

//: if SUBGROUP
enable subgroups;
//: end
//: if HALF
enable f16;
//: end

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

//: if HALF
alias Number = f16;
//: else
alias Number = f32;
//: end
//: if HALF_RESULT
alias Result = f16;
//: else
alias Result = f32;
//: end
//: if ALIGNED
alias Columns = vec4<Number>;
alias Stored = vec4<Result>;
//: else
alias Columns = Number;
alias Stored = Result;
//: end

@group(0) @binding(0) var<storage, read> a_data: array<Number>;
@group(0) @binding(1) var<storage, read> b_data: array<Columns>;
@group(0) @binding(2) var<storage, read_write> c_data: array<Stored>;
@group(0) @binding(3) var<uniform> params: Params;

fn store(matrix: u32, row: u32, column: u32, value: vec4f) {
  if (row >= params.rows || column >= params.columns) {
    return;
  }
  let at = (matrix * params.rows + row) * params.columns + column;
//: if ALIGNED
  c_data[at / 4] = Stored(value);
//: else
  for (var j = 0u; j < min(4u, params.columns - column); j++) {
    c_data[at + j] = Stored(value[j]);
  }
//: end
}

@compute @workgroup_size($WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
//: if SUBGROUP
  @builtin(subgroup_invocation_id) lane: u32,
//: end
) {
  let matrix = workgroup.z / params.splits;
  let split = workgroup.z % params.splits;
  let index = workgroup.y * grid.x + workgroup.x;
  let across = (params.columns + $(4 * VECTORS * WORKGROUP - 1)) / $(4 * VECTORS * WORKGROUP);
  let row = index / across * $ROWS;
  let column = (index % across * $WORKGROUP + local) * $(4 * VECTORS);
//: if SUBGROUP
//: let SHARED = (ROWS + SUBGROUP - 1) / SUBGROUP
//: for i in 0..SHARED
  let a$i = matrix * params.a_batch + min(row + $(i * SUBGROUP) + lane, params.rows - 1) * params.a_row;
//: end
//: else
//: for r in 0..ROWS
  let a$r = matrix * params.a_batch + min(row + $r, params.rows - 1) * params.a_row;
//: end
//: end
//: for r in 0..ROWS
//: for v in 0..VECTORS
  var c$(r)_$v = vec4f(0);
//: end
//: end
//: for v in 0..VECTORS
//: if ALIGNED
  let b$v = (matrix * params.b_batch + min(column + $(4 * v), params.columns - 4)) / 4;
//: else
  let columns$v = min(column + $(4 * v) + vec4u(0, 1, 2, 3), vec4u(params.columns - 1));
  let b$v = matrix * params.b_batch + columns$v * params.b_column;
//: end
//: end

  let start = split * params.split_length;
  let end = min(start + params.split_length, params.inner);
  for (var k = start; k < end; k++) {
//: for v in 0..VECTORS
//: if ALIGNED
    let b_row$v = vec4f(b_data[b$v + k * (params.b_inner / 4)]);
//: else
    let from$v = b$v + k * params.b_inner;
    let b_row$v = vec4f(vec4<Number>(b_data[from$v.x], b_data[from$v.y], b_data[from$v.z], b_data[from$v.w]));
//: end
//: end
    let from_a = k * params.a_inner;
//: if SUBGROUP
//: for i in 0..SHARED
    let shared$i = f32(a_data[a$i + from_a]);
//: end
//: for r in 0..ROWS
    let a_row$r = vec4f(subgroupBroadcast(shared$(r / SUBGROUP), $(r % SUBGROUP)u));
//: end
//: else
//: for r in 0..ROWS
    let a_row$r = vec4f(f32(a_data[a$r + from_a]));
//: end
//: end
    // All loads stand before the arithmetic: mixed with it, lavapipe's compiler makes code that takes twice as long.
//: for r in 0..ROWS
//: for v in 0..VECTORS
    c$(r)_$v = fma(a_row$r, b_row$v, c$(r)_$v);
//: end
//: end
  }

//: for r in 0..ROWS
//: for v in 0..VECTORS
  store(workgroup.z, row + $r, column + $(4 * v), c$(r)_$v);
//: end
//: end
}
