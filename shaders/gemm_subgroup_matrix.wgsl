// C[z, m, n] = sum over k of A[z, m, k] * B[z, k, n] on subgroup matrices (tensor cores): f16 in, sums in f32
//
// As gemm.wgsl, with the same four functions of the file that is put before this one:
//   inner_range(z) -> vec2u                        the k from .x up to .y that workgroup z adds up
//   load_a(z, row, k, end) -> vec4f                four rows of one k, or with A_ALONG_K four k of one row
//   load_b(z, k, column, end) -> vec4f             four columns of one k, or with B_ALONG_K four k of one column
//   store_c(z, row, column, value: vec4f)          four columns of one row
//
// A workgroup computes a tile of TILE_M rows (workgroup.y) x TILE_N columns (workgroup.x) of matrix z (workgroup.z), a
// subgroup of it ROWS x COLUMNS matrices of M x N. Step by step the workgroup moves TILE_K columns of A and rows of B
// to workgroup memory; the subgroups multiply them by matrices of M x K and K x N, the sizes that the adapter offers.
//
//: let M = 16
//: let N = 16
//: let K = 16
//: let SUBGROUP = 32
//: let TILE_K = 32
//: let ROWS = 2
//: let COLUMNS = 4
//: let SUBGROUPS_Y = 2
//: let SUBGROUPS_X = 2
//: let TILE_M = M * ROWS * SUBGROUPS_Y
//: let TILE_N = N * COLUMNS * SUBGROUPS_X
//: let LANES = SUBGROUP * SUBGROUPS_X * SUBGROUPS_Y

var<workgroup> a_tile: array<f16, $(TILE_M * TILE_K)>;
var<workgroup> b_tile: array<f16, $(TILE_K * TILE_N)>;
/// One result matrix of each subgroup, on its way to store_c.
var<workgroup> c_tile: array<f32, $(M * N * SUBGROUPS_X * SUBGROUPS_Y)>;

@compute @workgroup_size($LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let z = workgroup.z;
  let row = workgroup.y * $TILE_M;
  let column = workgroup.x * $TILE_N;
  let range = inner_range(z);
  let end = range.y;
  let subgroup = local / $SUBGROUP;
  let lane = local % $SUBGROUP;
  let subgroup_row = subgroup / $SUBGROUPS_X * $(M * ROWS);
  let subgroup_column = subgroup % $SUBGROUPS_X * $(N * COLUMNS);

//: for r in 0..ROWS
//: for c in 0..COLUMNS
  var c$(r)_$c = subgroup_matrix_result<f32, $N, $M>();
//: end
//: end

  for (var start = range.x; start < end; start += $TILE_K) {
    for (var i = local; i < $(TILE_M * TILE_K / 4); i += $LANES) {
//: if A_ALONG_K
      let m = i / $(TILE_K / 4);
      let k = i % $(TILE_K / 4) * 4;
      let value = load_a(z, row + m, start + k, end);
      let at = m * $TILE_K + k;
      let step = 1u;
//: else
      let m = i % $(TILE_M / 4) * 4;
      let k = i / $(TILE_M / 4);
      let value = load_a(z, row + m, start + k, end);
      let at = m * $TILE_K + k;
      let step = $(TILE_K)u;
//: end
      a_tile[at] = f16(value.x);
      a_tile[at + step] = f16(value.y);
      a_tile[at + 2 * step] = f16(value.z);
      a_tile[at + 3 * step] = f16(value.w);
    }
    for (var i = local; i < $(TILE_K * TILE_N / 4); i += $LANES) {
//: if B_ALONG_K
      let n = i / $(TILE_K / 4);
      let k = i % $(TILE_K / 4) * 4;
      let value = load_b(z, start + k, column + n, end);
      let at = k * $TILE_N + n;
      let step = $(TILE_N)u;
//: else
      let n = i % $(TILE_N / 4) * 4;
      let k = i / $(TILE_N / 4);
      let value = load_b(z, start + k, column + n, end);
      let at = k * $TILE_N + n;
      let step = 1u;
//: end
      b_tile[at] = f16(value.x);
      b_tile[at + step] = f16(value.y);
      b_tile[at + 2 * step] = f16(value.z);
      b_tile[at + 3 * step] = f16(value.w);
    }
    workgroupBarrier();
    for (var k = 0u; k < $TILE_K; k += $K) {
//: for r in 0..ROWS
      let a$r = subgroupMatrixLoad<subgroup_matrix_left<f16, $K, $M>, row_major>(
        &a_tile, (subgroup_row + $(M * r)) * $TILE_K + k, $TILE_K);
//: end
//: for c in 0..COLUMNS
      let b$c = subgroupMatrixLoad<subgroup_matrix_right<f16, $N, $K>, row_major>(
        &b_tile, k * $TILE_N + subgroup_column + $(N * c), $TILE_N);
//: for r in 0..ROWS
      c$(r)_$c = subgroupMatrixMultiplyAccumulate(a$r, b$c, c$(r)_$c);
//: end
//: end
    }
    workgroupBarrier();
  }

//: for r in 0..ROWS
//: for c in 0..COLUMNS
  subgroupMatrixStore<row_major>(&c_tile, subgroup * $(M * N), c$(r)_$c, $N);
  workgroupBarrier();
  for (var i = lane; i < $(M * N / 4); i += $SUBGROUP) {
    let at = subgroup * $(M * N) + i * 4;
    let value = vec4f(c_tile[at], c_tile[at + 1], c_tile[at + 2], c_tile[at + 3]);
    let m = subgroup_row + $(M * r) + i / $(N / 4);
    store_c(z, row + m, column + subgroup_column + $(N * c) + i % $(N / 4) * 4, value);
  }
  workgroupBarrier();
//: end
//: end
}
