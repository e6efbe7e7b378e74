// C[z, m, n] = sum over k of A[z, m, k] * B[z, k, n], for each matrix z of a batch: the operands of gemm.wgsl
//
// 0: A  M x K of each matrix     1: B  K x N of each matrix     2: C  [batch, splits, M, N]
// A and B are addressed through strides, so that transposed and repeated operands cost no copy. A load is of four
// neighbours in memory: along k for A, along the columns for B, or the other way round where they are transposed; one
// vector where their number is a multiple of 4. workgroup.z counts matrices x splits of k, which a second kernel adds
// in a fixed order.
//
//: let A_ALONG_K = 1
//: let B_ALONG_K = 0
// 1 where the neighbours of A, or B, start at multiples of 4; and where N is a multiple of 4.
//: let VECTOR_A = 0
//: let VECTOR_B = 0
//: let VECTOR_C = 0
// 1 where the operands are stored as f16, and where the result is; sums are always f32.
//: let HALF = 0
//: let HALF_RESULT = 0

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
//: if VECTOR_A
alias A = vec4<Number>;
//: else
alias A = Number;
//: end
//: if VECTOR_B
alias B = vec4<Number>;
//: else
alias B = Number;
//: end
//: if VECTOR_C
alias C = vec4<Result>;
//: else
alias C = Result;
//: end

@group(0) @binding(0) var<storage, read> a_data: array<A>;
@group(0) @binding(1) var<storage, read> b_data: array<B>;
@group(0) @binding(2) var<storage, read_write> c_data: array<C>;
@group(0) @binding(3) var<uniform> params: Params;

fn inner_range(z: u32) -> vec2u {
  let start = z % params.splits * params.split_length;
  return vec2u(start, min(start + params.split_length, params.inner));
}

fn load_a(z: u32, row: u32, k: u32, end: u32) -> vec4f {
  if (row >= params.rows || k >= end) {
    return vec4f(0);
  }
  let at = z / params.splits * params.a_batch + row * params.a_row + k * params.a_inner;
//: if A_ALONG_K
  let left = end - k;
//: else
  let left = params.rows - row;
//: end
//: if VECTOR_A
  let value = vec4f(a_data[at / 4]);
//: else
  let value = vec4f(vec4<Number>(a_data[at], a_data[at + 1], a_data[at + 2], a_data[at + 3]));
//: end
  return select(vec4f(0), value, vec4u(0, 1, 2, 3) < vec4u(left));
}

fn load_b(z: u32, k: u32, column: u32, end: u32) -> vec4f {
  if (column >= params.columns || k >= end) {
    return vec4f(0);
  }
  let at = z / params.splits * params.b_batch + k * params.b_inner + column * params.b_column;
//: if B_ALONG_K
  let left = end - k;
//: else
  let left = params.columns - column;
//: end
//: if VECTOR_B
  let value = vec4f(b_data[at / 4]);
//: else
  let value = vec4f(vec4<Number>(b_data[at], b_data[at + 1], b_data[at + 2], b_data[at + 3]));
//: end
  return select(vec4f(0), value, vec4u(0, 1, 2, 3) < vec4u(left));
}

fn store_c(z: u32, row: u32, column: u32, value: vec4f) {
  if (row >= params.rows || column >= params.columns) {
    return;
  }
  let at = (z * params.rows + row) * params.columns + column;
//: if VECTOR_C
  c_data[at / 4] = C(value);
//: else
  for (var j = 0u; j < min(4u, params.columns - column); j++) {
    c_data[at + j] = C(value[j]);
  }
//: end
}
