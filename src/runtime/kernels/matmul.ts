import source from '../../../shaders/matmul.wgsl';
import { isOversized, ranges, take } from '../parts.ts';
import type { Shape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { narrow, stridedCopy } from './copy.ts';
import { binary } from './elementwise.ts';
import { reduce } from './reduce.ts';

const MATMUL = { name: 'matmul', source };
const WORKGROUP = 8;

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
  if (a.parts || b.parts || isOversized(a, shape)) return matmulInSlices(a, b, { transposeA, transposeB }, shape);

  const { device } = a;
  const aligned = !transposeB && n % 4 === 0;
  const tile = { ROWS: Math.min(8, m), VECTORS: n > 64 ? 4 : 1, ALIGNED: aligned ? 1 : 0 };
  const groups = [Math.ceil(n / (4 * tile.VECTORS * WORKGROUP)), Math.ceil(m / tile.ROWS)];
  // Where the grid would be small and the sums long, several workgroups share a sum.
  const splits = Math.max(1, Math.min(Math.floor(k / 256), Math.floor(64 / (groups[0] * groups[1] * batch))));
  const output = device.empty(splits > 1 ? [batch, splits, m, n] : shape);
  const words = [m, n, k, splits, Math.ceil(k / splits)];
  words.push(batchA > 1 ? m * k : 0, ...(transposeA ? [1, m] : [k, 1]));
  words.push(batchB > 1 ? k * n : 0, ...(transposeB ? [1, k] : [n, 1]));
  const kernel = device.kernel(MATMUL, { constants: { WORKGROUP }, tile });
  device.dispatch(kernel, [a, b, output], words, [...groups, batch * splits]);
  return splits > 1 ? reduce(output, [1]).view(shape) : output;
}

function matrices({ shape, rank }: Tensor): [batch: number, rows: number, columns: number] {
  if (rank !== 2 && rank !== 3) throw new Error(`matmul takes matrices or batches of them, got rank ${rank}`);
  return rank === 2 ? [1, shape[0], shape[1]] : [shape[0], shape[1], shape[2]];
}

/** A product of which an operand or the result is over the binding limit: matrix by matrix, then in ranges of M, N or K. */
function matmulInSlices(
  a: Tensor,
  b: Tensor,
  { transposeA, transposeB }: Required<MatmulOptions>,
  shape: Shape,
): Tensor {
  const { device } = a;
  const limit = device.bindingLimit / 4;
  const [m, n] = shape.slice(-2);
  const options = { transposeA, transposeB };
  const output = device.empty(shape);
  if (shape.length > 2) {
    const matrix = (x: Tensor, z: number) => {
      const [rows, columns] = x.shape.slice(-2);
      return take(x, x.size === rows * columns ? 0 : z * rows * columns, [rows, columns]);
    };
    for (let z = 0; z < shape[0]; z++) {
      device.scope('matrix', () => device.copy(matmul(matrix(a, z), matrix(b, z), options), output, { to: z * m * n }));
    }
    return output;
  }
  const k = transposeA ? a.shape[0] : a.shape[1];
  if (n > limit || (b.parts && transposeB && k <= limit)) {
    for (const [from, to] of ranges(n, Math.max(b.size / n, 1), limit)) {
      device.scope('columns', () => {
        const block = matmul(a, narrow(b, transposeB ? 0 : 1, from, to), options);
        const into = { start: from, strides: [n, 1] };
        stridedCopy(block, { start: 0, strides: [to - from, 1] }, output, into, block.shape);
      });
    }
    return output;
  }
  if (output.parts || (a.parts && !transposeA && k <= limit)) {
    for (const [from, to] of ranges(m, Math.max(a.size / m, n), limit)) {
      device.scope('rows', () => {
        const block = matmul(narrow(a, transposeA ? 1 : 0, from, to), b, options);
        device.copy(block, output, { to: from * n });
      });
    }
    return output;
  }
  const product = ([from, to]: [number, number]) =>
    matmul(narrow(a, transposeA ? 0 : 1, from, to), narrow(b, transposeB ? 1 : 0, from, to), options);
  const [first, ...rest] = ranges(k, Math.max(a.size, b.size) / k, limit);
  return rest.reduce(
    (sum, range) => device.scope('range of the sum', () => binary(sum, product(range), 'x + y')),
    device.scope('range of the sum', () => product(first)),
  );
}
