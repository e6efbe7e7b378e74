import source from '../../../shaders/matmul.wgsl';
import type { Tensor } from '../tensor.ts';
import { stridedCopy } from './copy.ts';
import { binary } from './elementwise.ts';
import { reduce } from './reduce.ts';

const MATMUL = { name: 'matmul', source };
const ROWS = 8;
const COLUMNS = 4;

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/**
 * C = A B for matrices, or for each matrix of a batch: A [M, K] or [Z, M, K], B [K, N] or [Z, K, N]; a transposed operand is
 * given as [K, M] or [N, K]. One of the two may lack the batch axis, or have length 1 there, and is then used for every matrix.
 */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false }: MatmulOptions = {}): Tensor {
  const [batchA, rowsA, columnsA] = matrices(a);
  const [batchB, rowsB, columnsB] = matrices(b);
  const [m, k] = transposeA ? [columnsA, rowsA] : [rowsA, columnsA];
  const [inner, n] = transposeB ? [columnsB, rowsB] : [rowsB, columnsB];
  const batch = Math.max(batchA, batchB);
  if (k !== inner || (batchA !== batch && batchA !== 1) || (batchB !== batch && batchB !== 1)) {
    throw new Error(
      `matmul: ${a}${transposeA ? ' transposed' : ''} and ${b}${transposeB ? ' transposed' : ''} do not fit`,
    );
  }
  const shape = a.rank === 2 && b.rank === 2 ? [m, n] : [batch, m, n];
  if (a.parts || b.parts) return matmulParts(a, b, { transposeA, transposeB }, m, n);

  const { device } = a;
  const workgroup = n > 64 * COLUMNS ? 64 : 32;
  const groups = [Math.ceil(n / (COLUMNS * workgroup)), Math.ceil(m / ROWS)];
  // Where the grid would be small and the sums long, several workgroups share a sum.
  const splits = Math.max(1, Math.min(Math.floor(k / 256), Math.floor(64 / (groups[0] * groups[1] * batch))));
  const output = device.empty(splits > 1 ? [batch, splits, m, n] : shape);
  const words = [m, n, k, splits, Math.ceil(k / splits)];
  words.push(batchA > 1 ? m * k : 0, ...(transposeA ? [1, m] : [k, 1]));
  words.push(batchB > 1 ? k * n : 0, ...(transposeB ? [1, k] : [n, 1]));
  const kernel = device.kernel(MATMUL, { constants: { WORKGROUP: workgroup } });
  device.dispatch(kernel, [a, b, output], words, [...groups, batch * splits]);
  return splits > 1 ? reduce(output, [1]).view(shape) : output;
}

function matrices({ shape, rank }: Tensor): [batch: number, rows: number, columns: number] {
  if (rank !== 2 && rank !== 3) throw new Error(`matmul takes matrices or batches of them, got rank ${rank}`);
  return rank === 2 ? [1, shape[0], shape[1]] : [shape[0], shape[1], shape[2]];
}

/** One matrix operand in parts of rows: a weight over the binding limit. */
function matmulParts(
  a: Tensor,
  b: Tensor,
  { transposeA, transposeB }: Required<MatmulOptions>,
  m: number,
  n: number,
): Tensor {
  const { device } = a;
  if (a.rank !== 2 || b.rank !== 2)
    throw new Error(`matmul: ${a.parts ? a : b} is over the binding limit; no batch then`);
  const output = device.empty([m, n]);
  if (output.parts) return outerInParts(a, b, { transposeA, transposeB }, output);
  if (a.parts) {
    // C^T = B^T A^T, so that the operand in parts is the second one.
    return transpose(matmulParts(b, a, { transposeA: !transposeB, transposeB: !transposeA }, n, m));
  }
  let at = 0;
  let sum: Tensor | undefined;
  for (const part of b.parts!) {
    const rows = part.shape[0];
    if (transposeB) {
      // The parts are ranges of columns of C.
      const block = matmul(a, part, { transposeA, transposeB });
      stridedCopy(block, { start: 0, strides: [rows, 1] }, output, { start: at, strides: [n, 1] }, [m, rows]);
    } else {
      // The parts are ranges of the sum.
      const columns = device.empty(transposeA ? [rows, m] : [m, rows]);
      const width = a.shape[1];
      const start = transposeA ? at * width : at;
      stridedCopy(
        a,
        { start, strides: [width, 1] },
        columns,
        { start: 0, strides: [columns.shape[1], 1] },
        columns.shape,
      );
      const product = matmul(columns, part, { transposeA });
      sum = sum ? binary(sum, product, 'x + y') : product;
    }
    at += rows;
  }
  return sum ?? output;
}

/** An output in parts: each part of its rows is a product of a range of A's rows. */
function outerInParts(
  a: Tensor,
  b: Tensor,
  { transposeA, transposeB }: Required<MatmulOptions>,
  output: Tensor,
): Tensor {
  const { device } = a;
  if (a.parts) throw new Error(`matmul: both ${a} and the result are over the binding limit`);
  const k = transposeA ? a.shape[0] : a.shape[1];
  const width = a.shape[1];
  let row = 0;
  for (const part of output.parts!) {
    const rows = part.shape[0];
    const range = device.empty(transposeA ? [k, rows] : [rows, k]);
    const start = transposeA ? row : row * width;
    stridedCopy(a, { start, strides: [width, 1] }, range, { start: 0, strides: [range.shape[1], 1] }, range.shape);
    device.copy(matmul(range, b, { transposeA, transposeB }), part);
    row += rows;
  }
  return output;
}

function transpose(x: Tensor): Tensor {
  const [m, n] = x.shape;
  const y = x.device.empty([n, m]);
  stridedCopy(x, { start: 0, strides: [1, n] }, y, { start: 0, strides: [m, 1] }, [n, m]);
  return y;
}
