// C[z, m, n] = sum over k of A[z, m, k] * B[z, k, n], with tiles of A and B in workgroup memory
//
// The loop that matrix products and convolutions share (implicit GEMM): what A, B and C are says the file that is put
// before this one, with its bindings and four functions:
//   inner_range(z) -> vec2u                        the k from .x up to .y that workgroup z adds up
//   load_a(z, row, k, end) -> vec4f                four rows of one k, or with A_ALONG_K four k of one row
//   load_b(z, k, column, end) -> vec4f             four columns of one k, or with B_ALONG_K four k of one column
//   store_c(z, row, column, value: vec4f)          four columns of one row
// Loads give 0 outside the matrices and from `end` on; stores drop what is outside.
//
// A workgroup computes a tile of TILE_M rows (workgroup.y) x TILE_N columns (workgroup.x) of matrix z (workgroup.z).
// Step by step it moves TILE_K columns of A and rows of B to workgroup memory, the next ones on their way to registers
// meanwhile. A lane holds ROWS x COLUMNS of the result, as blocks of 4 x 4 that lie apart, so that neighbouring lanes
// read neighbouring vectors. With HALF the tiles are stored as f16; sums are always f32. The file before says HALF,
// A_ALONG_K and B_ALONG_K.
//
//: let TILE_M = 64
//: let TILE_N = 64
//: let TILE_K = 16
//: let ROWS = 4
//: let COLUMNS = 4
//: let LANES_X = TILE_N / COLUMNS
//: let LANES = LANES_X * TILE_M / ROWS
// Loads of a lane for each tile, of a vector each or of 4 x 4 numbers.
//: let A_COUNT = TILE_K * TILE_M / 4 / (1 + 3 * A_ALONG_K)
//: let B_COUNT = TILE_K * TILE_N / 4 / (1 + 3 * B_ALONG_K)
//: let A_LOADS = (A_COUNT + LANES - 1) / LANES
//: let B_LOADS = (B_COUNT + LANES - 1) / LANES

//: if HALF
alias Staged = vec4h;
//: else
alias Staged = vec4f;
//: end

// Row k of the tile of A holds its TILE_M numbers of one k, so that both tiles are read along the registers.
var<workgroup> a_tile: array<Staged, $(TILE_K * TILE_M / 4)>;
var<workgroup> b_tile: array<Staged, $(TILE_K * TILE_N / 4)>;

@compute @workgroup_size($LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let z = workgroup.z;
  let row = workgroup.y * $TILE_M;
  let column = workgroup.x * $TILE_N;
  let range = inner_range(z);
  let end = range.y;
  let x = local % $LANES_X;
  let y = local / $LANES_X;

//: for i in 0..A_LOADS
  let a_index$i = min(local + $(i * LANES), $(A_COUNT - 1));
//: if A_ALONG_K
  let a_k$i = a_index$i % $(TILE_K / 4) * 4;
  let a_row$i = a_index$i / $(TILE_K / 4) * 4;
//: for j in 0..4
  var a_next$(i)_$j = load_a(z, row + a_row$i + $j, range.x + a_k$i, end);
//: end
//: else
  let a_k$i = a_index$i / $(TILE_M / 4);
  let a_row$i = a_index$i % $(TILE_M / 4) * 4;
  var a_next$i = load_a(z, row + a_row$i, range.x + a_k$i, end);
//: end
//: end
//: for i in 0..B_LOADS
  let b_index$i = min(local + $(i * LANES), $(B_COUNT - 1));
//: if B_ALONG_K
  let b_k$i = b_index$i % $(TILE_K / 4) * 4;
  let b_column$i = b_index$i / $(TILE_K / 4) * 4;
//: for j in 0..4
  var b_next$(i)_$j = load_b(z, range.x + b_k$i, column + b_column$i + $j, end);
//: end
//: else
  let b_k$i = b_index$i / $(TILE_N / 4);
  let b_column$i = b_index$i % $(TILE_N / 4) * 4;
  var b_next$i = load_b(z, range.x + b_k$i, column + b_column$i, end);
//: end
//: end

//: for r in 0..ROWS
//: for c in 0..COLUMNS / 4
  var c$(r)_$c = vec4f(0);
//: end
//: end

  for (var start = range.x; start < end; start += $TILE_K) {
    let next = start + $TILE_K;
//: for i in 0..A_LOADS
    if (local < $(A_COUNT - i * LANES)) {
//: if A_ALONG_K
      let at = a_k$i * $(TILE_M / 4) + a_row$i / 4;
//: for j in 0..4
      let a$j = vec4f(a_next$(i)_0[$j], a_next$(i)_1[$j], a_next$(i)_2[$j], a_next$(i)_3[$j]);
      a_tile[at + $(j * TILE_M / 4)] = Staged(a$j);
//: end
//: else
      a_tile[a_index$i] = Staged(a_next$i);
//: end
    }
//: end
//: for i in 0..B_LOADS
    if (local < $(B_COUNT - i * LANES)) {
//: if B_ALONG_K
      let at = b_k$i * $(TILE_N / 4) + b_column$i / 4;
//: for j in 0..4
      let b$j = vec4f(b_next$(i)_0[$j], b_next$(i)_1[$j], b_next$(i)_2[$j], b_next$(i)_3[$j]);
      b_tile[at + $(j * TILE_N / 4)] = Staged(b$j);
//: end
//: else
      b_tile[b_index$i] = Staged(b_next$i);
//: end
    }
//: end
    workgroupBarrier();
    if (next < end) {
//: for i in 0..A_LOADS
//: if A_ALONG_K
//: for j in 0..4
      a_next$(i)_$j = load_a(z, row + a_row$i + $j, next + a_k$i, end);
//: end
//: else
      a_next$i = load_a(z, row + a_row$i, next + a_k$i, end);
//: end
//: end
//: for i in 0..B_LOADS
//: if B_ALONG_K
//: for j in 0..4
      b_next$(i)_$j = load_b(z, next + b_k$i, column + b_column$i + $j, end);
//: end
//: else
      b_next$i = load_b(z, next + b_k$i, column + b_column$i, end);
//: end
//: end
    }
    for (var k = 0u; k < $TILE_K; k++) {
//: for r in 0..ROWS / 4
      let a$r = vec4f(a_tile[k * $(TILE_M / 4) + y + $(r * TILE_M / ROWS)]);
//: end
//: for c in 0..COLUMNS / 4
      let b$c = vec4f(b_tile[k * $(TILE_N / 4) + x + $(c * LANES_X)]);
//: end
//: for r in 0..ROWS
//: for c in 0..COLUMNS / 4
      c$(r)_$c = fma(vec4f(a$(r / 4)[$(r % 4)]), b$c, c$(r)_$c);
//: end
//: end
    }
    workgroupBarrier();
  }

//: for r in 0..ROWS
//: for c in 0..COLUMNS / 4
  store_c(
    z,
    row + y * 4 + $(r / 4 * 4 * (TILE_M / ROWS) + r % 4),
    column + x * 4 + $(c * 4 * LANES_X),
    c$(r)_$c,
  );
//: end
//: end
}
