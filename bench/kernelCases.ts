/** What bench/kernels.ts times: a table for each family of kernels. */
import * as ops from '../src/autograd/index.ts';
import { initialize, Module, zeros } from '../src/models/module.ts';
import * as norm from '../src/runtime/kernels/batchNorm.ts';
import * as conv from '../src/runtime/kernels/conv.ts';
import { stridedCopy } from '../src/runtime/kernels/copy.ts';
import { binary, ternary, unary } from '../src/runtime/kernels/elementwise.ts';
import { type MatmulOptions, matmul } from '../src/runtime/kernels/matmul.ts';
import * as pool from '../src/runtime/kernels/pool.ts';
import { random } from '../src/runtime/kernels/random.ts';
import { reduce, reduceProduct } from '../src/runtime/kernels/reduce.ts';
import { type Upfirdn, upfirdn2d } from '../src/runtime/kernels/resample.ts';
import { type Shape, sizeOf } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { Adam, type Optimizer, Ranger, Sgd } from '../src/train/optimizers.ts';
import { type Case, MAP, MAP_SIZE } from './case.ts';
import { fused } from './fusedCases.ts';

/** Convolutions with padding ⌊k / 2⌋: images, channels in and out, height and width, kernel, stride, groups. */
const CONVOLUTIONS: readonly (readonly [number, number, number, number, number, number, number])[] = [
  [4, 64, 64, 64, 3, 1, 1],
  [4, 32, 32, 32, 3, 1, 1],
  [8, 16, 16, 32, 3, 1, 1],
  [8, 64, 64, 8, 3, 1, 1],
  [8, 128, 128, 4, 3, 1, 1],
  [8, 64, 128, 16, 3, 2, 1],
  [8, 3, 16, 64, 7, 2, 1],
  [8, 64, 128, 32, 1, 1, 1],
  [8, 64, 128, 32, 1, 2, 1],
  [8, 64, 64, 32, 3, 1, 8],
  [8, 64, 64, 32, 3, 1, 64],
];

const convolutions = CONVOLUTIONS.flatMap(([n, c, o, size, k, stride, groups]): Case[] => {
  const pad = Math.floor(k / 2);
  const geometry = { stride: [stride, stride], padding: [pad, pad], groups } as const;
  const out = Math.floor((size + 2 * pad - k) / stride) + 1;
  const [x, w, y] = [
    [n, c, size, size],
    [o, c / groups, k, k],
    [n, o, out, out],
  ];
  const flop = 2 * sizeOf(y) * (c / groups) * k * k;
  const shape = `N${n} ${c}→${o} ${size}² k${k} s${stride}${groups > 1 ? ` g${groups}` : ''}`;
  return [
    { name: `conv2d ${shape}`, flop, operands: [x, w], run: ([x, w]) => conv.conv2d(x, w, geometry) },
    {
      name: `conv2d input gradient ${shape}`,
      flop,
      operands: [y, w],
      run: ([y, w]) => conv.convTranspose2d(y, w, geometry, [size, size]),
    },
    {
      name: `conv2d weight gradient ${shape}`,
      flop,
      operands: [x, y],
      run: ([x, y]) => conv.conv2dWeightGradient(x, y, geometry, [k, k]),
    },
  ];
});

/** StyleGAN2's convolutions that double the size: images, channels in and out, height and width. */
const transposed = [
  [8, 64, 32, 16],
  [8, 64, 64, 32],
].map(([n, c, o, size]): Case => {
  const geometry = { stride: [2, 2], padding: [0, 0], groups: 1 } as const;
  return {
    name: `transposed conv2d N${n} ${c}→${o} ${size}² k3 s2`,
    flop: 2 * n * size * size * c * o * 9,
    operands: [
      [n, c, size, size],
      [c, o, 3, 3],
    ],
    run: ([x, w]) => conv.convTranspose2d(x, w, geometry, [2 * size + 1, 2 * size + 1]),
  };
});

/** Products [M, K] · [K, N] of so many matrices. */
const PRODUCTS: readonly (readonly [batch: number, m: number, k: number, n: number, options?: MatmulOptions])[] = [
  [1, 1024, 1024, 1024],
  [1, 512, 512, 512],
  [1, 512, 512, 512, { transposeA: true }],
  [1, 512, 512, 512, { transposeB: true }],
  [1, 64, 128, 128],
  [1, 8, 2048, 512],
  [1, 32, 16384, 32],
  [16, 128, 128, 128],
  [64, 64, 64, 64, { transposeB: true }],
];

const products = PRODUCTS.map(([batch, m, k, n, options = {}]): Case => {
  const { transposeA, transposeB } = options;
  const stacked = (rows: number, columns: number) => (batch > 1 ? [batch, rows, columns] : [rows, columns]);
  const factors = `${m}×${k}${transposeA ? ' ᵀ' : ''} · ${k}×${n}${transposeB ? ' ᵀ' : ''}`;
  return {
    name: `matmul ${batch > 1 ? `${batch} of ` : ''}${factors}`,
    flop: 2 * batch * m * k * n,
    operands: [transposeA ? stacked(k, m) : stacked(m, k), transposeB ? stacked(n, k) : stacked(k, n)],
    run: ([a, b]) => matmul(a, b, options),
  };
});

/** Filters of 4×4 taps: what it does, up, down, padding before and behind, of a map as large as it is. */
const FILTERS: readonly (readonly [string, number, number, number, number])[] = [
  ['blur', 1, 1, 2, 1],
  ['double', 2, 1, 2, 1],
  ['halve', 1, 2, 1, 1],
];

const filters = FILTERS.map(([name, up, down, before, behind]): Case => {
  const options: Upfirdn = {
    up: [up, up],
    down: [down, down],
    pad: [before, behind, before, behind],
    flip: false,
    gain: 1,
  };
  // Of the taps of a filter that doubles, only every fourth meets a pixel.
  const flop = (2 * 16 * MAP_SIZE) / down ** 2;
  return { name: `upfirdn2d ${name}`, flop, operands: [MAP, [4, 4]], run: ([x, f]) => upfirdn2d(x, f, options) };
});

const reductions: Case[] = [
  { name: 'reduce over pixels', flop: MAP_SIZE, operands: [MAP], run: ([x]) => reduce(x, [2, 3]) },
  { name: 'reduce over channels', flop: MAP_SIZE, operands: [MAP], run: ([x]) => reduce(x, [1]) },
  { name: 'reduce over images and pixels', flop: MAP_SIZE, operands: [MAP], run: ([x]) => reduce(x, [0, 2, 3]) },
  { name: 'reduce over all', flop: MAP_SIZE, operands: [MAP], run: ([x]) => reduce(x, [0, 1, 2, 3]) },
  { name: 'reduce maximum over pixels', flop: MAP_SIZE, operands: [MAP], run: ([x]) => reduce(x, [2, 3], 'max') },
  {
    name: 'reduce x · y over pixels',
    flop: 2 * MAP_SIZE,
    operands: [MAP, MAP],
    run: ([x, y]) => reduceProduct(x, y, [2, 3]),
  },
  { name: 'reduce 512 rows of 64', flop: 512 * 64, operands: [[512, 64]], run: ([x]) => reduce(x, [1]) },
];

const epsilon = 1e-5;
/** Operands: a gradient, a map, weight, bias; then mean and variance, and the gradient's sums. */
const batchNorm: Case[] = [
  {
    name: 'batch norm statistics',
    flop: 3 * MAP_SIZE,
    operands: [MAP],
    run: ([x]) => Object.values(norm.batchStatistics(x)),
  },
  {
    name: 'batch norm forward',
    flop: 2 * MAP_SIZE,
    operands: [MAP, [64], [64]],
    prepare: ([x]) => Object.values(norm.batchStatistics(x)),
    run: ([x, weight, bias, mean, variance]) => norm.normalize(x, { mean, variance, weight, bias, epsilon }),
  },
  {
    name: 'batch norm weight and bias gradients',
    flop: 4 * MAP_SIZE,
    operands: [MAP, MAP],
    prepare: ([, x]) => Object.values(norm.batchStatistics(x)),
    run: ([g, x, mean, variance]) => Object.values(norm.normSums(g, x, { mean, variance, epsilon })),
  },
  {
    name: 'batch norm input gradient',
    flop: 6 * MAP_SIZE,
    operands: [MAP, MAP, [64]],
    prepare: ([g, x]) => {
      const { mean, variance } = norm.batchStatistics(x);
      const { bias, weight } = norm.normSums(g, x, { mean, variance, epsilon });
      return [mean, variance, bias, weight];
    },
    run: ([g, x, weight, mean, variance, ...sums]) =>
      norm.normInputGradient(g, x, { mean, variance, weight, epsilon }, { bias: sums[0], weight: sums[1] }),
  },
];

const windows = { kernel: [2, 2], stride: [2, 2], padding: [0, 0], ceilMode: false } as const;
const HALF_MAP: Shape = [8, 64, 32, 32];
const pooling: Case[] = [
  ...([1, 7, 32] as const).map(
    (size): Case => ({
      name: `adaptive average pool to ${size}²`,
      flop: MAP_SIZE,
      operands: [MAP],
      run: ([x]) => ops.adaptiveAvgPool2d(x, [size, size]),
    }),
  ),
  { name: 'max pool 2×2', flop: MAP_SIZE, operands: [MAP], run: ([x]) => Object.values(pool.maxPool(x, windows)) },
  {
    name: 'max pool 2×2 gather',
    flop: 0,
    operands: [MAP],
    prepare: ([x]) => [pool.maxPool(x, windows).positions],
    run: ([x, positions]) => pool.gatherPlanes(x, positions),
  },
  {
    name: 'max pool 2×2 scatter',
    flop: MAP_SIZE / 4,
    operands: [HALF_MAP, MAP],
    prepare: ([, x]) => [pool.maxPool(x, windows).positions],
    run: ([g, , positions]) => pool.scatterPlanes(g, positions, MAP, windows),
    bytes: 4 * (MAP_SIZE + 2 * (MAP_SIZE / 4)),
  },
  { name: 'bilinear to half the size', flop: 8 * (MAP_SIZE / 4), operands: [MAP], run: ([x]) => half(x) },
];

function half(x: Tensor): Tensor {
  return ops.interpolate(x, [x.shape[2] / 2, x.shape[3] / 2], 'bilinear');
}

const CHANNEL: Shape = [8, 64, 1, 1];
const elementwise: Case[] = [
  { name: 'unary x²', flop: MAP_SIZE, operands: [MAP], run: ([x]) => unary(x, 'x * x') },
  { name: 'binary x + y', flop: MAP_SIZE, operands: [MAP, MAP], run: ([x, y]) => binary(x, y, 'x + y') },
  { name: 'binary x · s', flop: MAP_SIZE, operands: [MAP, CHANNEL], run: ([x, s]) => binary(x, s, 'x * y') },
  {
    name: 'ternary x · s + t',
    flop: 2 * MAP_SIZE,
    operands: [MAP, CHANNEL, CHANNEL],
    run: ([x, s, t]) => ternary(x, s, t, 'x * y + z'),
  },
  {
    name: 'strided copy NCHW to NHWC',
    flop: 0,
    operands: [MAP],
    run: ([x]) => {
      const [n, c, h, w] = x.shape;
      const y = x.device.empty([n, h, w, c]);
      const walk = { start: 0, strides: [h * w * c, 1, w * c, c] };
      stridedCopy(x, { start: 0, strides: [c * h * w, h * w, w, 1] }, y, walk, x.shape);
      return y;
    },
  },
  {
    name: 'random normal',
    flop: 0,
    operands: [[1]],
    prepare: ([{ device }]) => [device.tensor([1], [1], 'u32')],
    run: ([, step]) => random(step.device, MAP, 'normal', { seed: 1, stream: 'bench', step }),
  },
];

class Weights extends Module {
  readonly weight = this.parameter('weight', [1024, 1024], zeros);
}

/** Rules: the arithmetic and the words, read or written, of one parameter, beside the gradient and its copy. */
const RULES: readonly (readonly [string, (module: Module) => Optimizer, flop: number, words: number])[] = [
  ['Adam', module => new Adam(module), 13, 6],
  ['Ranger', module => new Ranger(module), 15, 8],
  ['SGD with momentum', module => new Sgd(module, { momentum: 0.9 }), 6, 4],
];

const optimizers = RULES.map(([name, make, flop, words]): Case => {
  let optimizer: Optimizer;
  return {
    name: `optimiser ${name}`,
    flop: flop * 2 ** 20,
    operands: [[1024, 1024]],
    prepare: ([{ device }]) => {
      const module = new Weights();
      initialize(module, device);
      optimizer = make(module);
      return [device.tensor([1e-3], [1]), device.tensor([0], [1], 'u32')];
    },
    run: ([gradient, rate, gate]) => {
      optimizer.collect([gradient]);
      optimizer.step(rate, gate);
      return [];
    },
    bytes: 4 * (words + 3) * 2 ** 20,
  };
});

export const cases: readonly Case[] = [
  ...convolutions,
  ...transposed,
  ...products,
  ...filters,
  ...reductions,
  ...batchNorm,
  ...pooling,
  ...elementwise,
  ...fused,
  ...optimizers,
];
