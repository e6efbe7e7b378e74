import operandsSource from '../../../shaders/gemm_matmul.wgsl';
import source from '../../../shaders/matmul.wgsl';
import { grid } from '../device.ts';
import { gemmShaders, gemmVariants, tileSize } from '../gemm.ts';
import { isOversized, ranges, take } from '../parts.ts';
import { matmulReference } from '../reference.ts';
import type { Shape } from '../shape.ts';
import type { Tile } from '../template.ts';
import type { Tensor } from '../tensor.ts';
import { type Family, loadingLanes, rounded, splitsFor, type Variant } from '../variants.ts';
import { cast } from './cast.ts';
import { narrow, stridedCopy } from './copy.ts';
import { binary } from './elementwise.ts';
import { reduce } from './reduce.ts';

const DIRECT = { name: 'matmul', source };
const GEMM = gemmShaders('matmul', operandsSource);

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/**
 * C = A B for matrices, or for each matrix of a batch: A [M, K] or [Z, M, K], B [K, N] or [Z, K, N]; a transposed
 * operand is given as [K, M] or [N, K]. One of the two may lack the batch axis, or have length 1 there, and is then
 * used for every matrix.
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
  if (a.parts || b.parts || isOversized(a, shape)) {
    if (a.dtype === 'f16')
      throw new Error(`matmul: ${a} and ${b} are over the binding limit, where f16 is not supported`);
    return matmulInSlices(a, b, { transposeA, transposeB }, shape);
  }

  const product = { batch, batchA, batchB, m, n, k, transposeA, transposeB, half: isHalf('matmul', a, b) };
  return launch(a, b, product, a.device.choices.of(MATMUL, product)).view(shape);
}

/** Sizes of a product; a batch of length 1 is used for every matrix. */
export interface Product extends Required<MatmulOptions> {
  readonly batch: number;
  readonly batchA: number;
  readonly batchB: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Whether the matrices are f16; sums are f32. */
  readonly half: boolean;
}

/**
 * direct: ROWS x 4 VECTORS a lane, in lines of WORKGROUP lanes, read straight from storage, which the CPU drivers are
 * fastest with. gemm: tiles in workgroup memory.
 */
export const MATMUL: Family<Product> = {
  name: 'matmul',
  shaders: [DIRECT, ...Object.values(GEMM)],
  operands: ({ batchA, batchB, m, n, k, transposeA, transposeB }) => [
    transposeA ? [batchA, k, m] : [batchA, m, k],
    transposeB ? [batchB, n, k] : [batchB, k, n],
  ],
  dtype: ({ half }) => (half ? 'f16' : 'f32'),
  run: ([a, b], product, variant) => launch(a, b, product, variant),
  reference: matmulReference,
  flop: ({ batch, m, n, k }) => 2 * batch * m * n * k,
  shapeClass: ({ batch, m, n, k, transposeA, transposeB, half }) =>
    `${transposeA ? 'T' : 'N'}${transposeB ? 'T' : 'N'}${half ? ' f16' : ''} ${[batch, m, n, k].map(rounded).join('x')}`,
  variants(product, device) {
    const { batch, m, n, k } = product;
    const workgroups = ([rows, columns]: readonly [number, number]) =>
      batch * Math.ceil(m / rows) * Math.ceil(n / columns);
    const splits = (tile: Tile, size: readonly [number, number]): Tile[] => {
      const wanted = splitsFor(k, workgroups(size), device);
      return [wanted, 1, 4 * wanted]
        .filter((count, i, all) => all.indexOf(count) === i)
        .map(SPLITS => ({ ...tile, SPLITS }));
    };
    const lanes = loadingLanes(device);
    const subgroups = SUBGROUP_TILES.filter(({ WORKGROUP }) => lanes > 0 && WORKGROUP % lanes === 0).map(tile => ({
      ...tile,
      SUBGROUP: lanes,
    }));
    const direct = [...subgroups, ...DIRECT_TILES]
      .filter(({ ROWS, VECTORS }) => ROWS < 2 * m && (VECTORS === 1 || 4 * VECTORS < 2 * n))
      .flatMap(tile => splits(tile, [tile.ROWS, 4 * tile.VECTORS * tile.WORKGROUP]))
      .map(tile => ({ kernel: 'direct', tile }));
    const gemm = gemmVariants({ count: batch, rows: m, columns: n, inner: k, half: product.half }, device);
    return device.isCpu ? [...direct, ...gemm] : [...gemm, ...direct];
  },
};

/** Tiles whose numbers of A a subgroup loads together: up to 1.8 times as fast on lavapipe. */
const SUBGROUP_TILES = [
  { ROWS: 16, VECTORS: 4, WORKGROUP: 8 },
  { ROWS: 8, VECTORS: 4, WORKGROUP: 8 },
  { ROWS: 16, VECTORS: 2, WORKGROUP: 8 },
  { ROWS: 8, VECTORS: 2, WORKGROUP: 8 },
  { ROWS: 8, VECTORS: 1, WORKGROUP: 8 },
] as const;

const DIRECT_TILES: readonly Tile[] = [
  { ROWS: 8, VECTORS: 4, WORKGROUP: 8 },
  { ROWS: 8, VECTORS: 2, WORKGROUP: 8 },
  { ROWS: 8, VECTORS: 1, WORKGROUP: 8 },
  { ROWS: 16, VECTORS: 2, WORKGROUP: 8 },
  { ROWS: 4, VECTORS: 4, WORKGROUP: 8 },
  { ROWS: 4, VECTORS: 1, WORKGROUP: 32 },
  { ROWS: 1, VECTORS: 4, WORKGROUP: 8 },
  { ROWS: 1, VECTORS: 1, WORKGROUP: 8 },
];

function launch(a: Tensor, b: Tensor, product: Product, { kernel, tile: { SPLITS, ...tile } }: Variant): Tensor {
  const { batch, batchA, batchB, m, n, k, transposeA, transposeB, half } = product;
  const { device } = a;
  const length = 4 * Math.ceil(k / SPLITS / 4);
  const splits = Math.ceil(k / length);
  const resultType = half && splits === 1 ? 'f16' : 'f32';
  const numbers = { HALF: Number(half), HALF_RESULT: Number(resultType === 'f16') };
  const output = device.empty([batch, splits, m, n], resultType);
  const words = [m, n, k, splits, length];
  words.push(batchA > 1 ? m * k : 0, ...(transposeA ? [1, m] : [k, 1]));
  words.push(batchB > 1 ? k * n : 0, ...(transposeB ? [1, k] : [n, 1]));
  const flop = MATMUL.flop(product);
  if (kernel === 'direct') {
    const { ROWS, VECTORS, WORKGROUP } = tile;
    const aligned = !transposeB && n % 4 === 0;
    const compiled = device.kernel(DIRECT, { tile: { ...tile, ...numbers, ALIGNED: Number(aligned) } });
    const blocks = Math.ceil(n / (4 * VECTORS * WORKGROUP)) * Math.ceil(m / ROWS);
    const groups = [...grid(blocks, 1), batch * splits];
    device.dispatch(compiled, [a, b, output], words, groups, flop);
  } else {
    const operands = {
      A_ALONG_K: Number(!transposeA),
      B_ALONG_K: Number(transposeB),
      VECTOR_A: Number((transposeA ? m : k) % 4 === 0),
      VECTOR_B: Number((transposeB ? k : n) % 4 === 0),
      VECTOR_C: Number(n % 4 === 0),
    };
    const compiled = device.kernel(kernel === 'matrix' ? GEMM.matrix : GEMM.gemm, {
      tile: { ...tile, ...numbers, ...operands },
    });
    const [tileRows, tileColumns] = tileSize(tile);
    const groups = [Math.ceil(n / tileColumns), Math.ceil(m / tileRows), batch * splits];
    device.dispatch(compiled, [a, b, output], words, groups, flop);
  }
  return splits > 1 ? withType(reduce(output, [1]), half) : output;
}

/** Whether both operands are f16. @throws where only one is */
export function isHalf(name: string, a: Tensor, b: Tensor): boolean {
  if (a.dtype !== b.dtype) throw new Error(`${name}: ${a} is ${a.dtype}, ${b} is ${b.dtype}; cast() one of them`);
  return a.dtype === 'f16';
}

/** A sum of splits in the type of its operands. */
export function withType(sum: Tensor, half: boolean): Tensor {
  return half ? cast(sum, 'f16') : sum;
}

function matrices({ shape, rank }: Tensor): [batch: number, rows: number, columns: number] {
  if (rank !== 2 && rank !== 3) throw new Error(`matmul takes matrices or batches of them, got rank ${rank}`);
  return rank === 2 ? [1, shape[0], shape[1]] : [shape[0], shape[1], shape[2]];
}

/**
 * A product of which an operand or the result is over the binding limit: matrix by matrix, then in ranges of M, N or K.
 */
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
