import { beforeAll, describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { v } from '../src/cli/goldens/format.ts';
import type { Device } from '../src/runtime/device.ts';
import { type Shape, sizeOf } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { useDevice } from './device.ts';

/** The values of an input, by their index; directions of differentiation reach at most `STEP` to both sides. */
type Values = (i: number, seed: number, size: number) => number;
const STEP = 0.01;

const anywhere: Values = (i, seed) => v(i, seed);
const positive: Values = (i, seed) => 1.5 + v(i, seed);
/** At least 0.2 from 0, where piecewise linear functions have their kink. */
const awayFromZero: Values = (i, seed) => Math.sign(v(i, seed)) * (0.2 + 0.8 * Math.abs(v(i, seed)));
const small: Values = (i, seed) => 0.1 * v(i, seed);
/** Values 0.05 apart in a shuffled order, so that no maximum changes. */
const apart: Values = (i, _, size) => 0.05 * (((i * 37) % size) - size / 2);

interface Case {
  readonly inputs: readonly (readonly [shape: Shape, values?: Values])[];
  run(...inputs: Tensor[]): Tensor;
}

const unary = (run: (x: Tensor) => Tensor, values: Values = anywhere): Case => ({ inputs: [[[3, 7], values]], run });
const binary = (run: (x: Tensor, y: Tensor) => Tensor, values: Values = anywhere): Case[] => [
  {
    inputs: [
      [[3, 4], values],
      [[3, 4], values],
    ],
    run,
  },
  {
    inputs: [
      [[2, 3, 4], values],
      [[3, 1], values],
    ],
    run,
  },
  {
    inputs: [
      [[1, 4], values],
      [[2, 3, 1], values],
    ],
    run,
  },
];
const image = (run: (x: Tensor) => Tensor, shape: Shape = [2, 2, 7, 6], values: Values = anywhere): Case => ({
  inputs: [[shape, values]],
  run,
});
const convolved = (x: Shape, w: Shape, run: (x: Tensor, w: Tensor, b: Tensor) => Tensor, bias: number): Case => ({
  inputs: [[x], [w], [[bias]]],
  run,
});
const filter = (x: Tensor) => x.device.tensor([1, 2, -1, 3, 1, 0.5], [2, 3]);
const labels = (x: Tensor) => x.device.tensor([0, 2, 1, 1, 2, 0], [2, 3], 'u32');
const bn = (x: Tensor, w: Tensor, b: Tensor) =>
  ops.batchNorm(x, w, b, x.device.tensor([0.1, -0.2], [2]), x.device.tensor([0.8, 1.5], [2]));

/** Two maps: turned, stretched and shifted; mirrored and enlarged, so that pixels beyond the margins are met. */
const affineMap = ({ device }: Tensor) => ({
  maps: device.tensor([0.8, -0.7, 1.2, 0.5, 0.9, -0.4, -1.9, 0.3, 0.1, -0.2, 2.1, 2], [2, 2, 3]),
  margins: device.tensor([5, 3, 0, 4], [4], 'u32'),
  filter: device.tensor([0.1, 0.2, -0.3, 0.1, 0.5, 0.8, 0.3, -0.1, -0.2, 0.3, 0.1, -0.1], [12]),
});

/** Every differentiable op that src/autograd/index.ts exports. */
const cases: Record<string, Case[]> = {
  add: [...binary(ops.add), unary(x => ops.add(x, 3))],
  sub: [...binary(ops.sub), unary(x => ops.sub(x, 3))],
  mul: [...binary(ops.mul), unary(x => ops.mul(x, 3)), unary(x => ops.mul(x, x))],
  div: [...binary(ops.div, positive), unary(x => ops.div(x, 3))],
  neg: [unary(ops.neg)],
  affine: [unary(x => ops.affine(x, 2, -1))],
  multiplyAdd: [{ inputs: [[[2, 3, 4]], [[3, 1]], [[4]]], run: ops.multiplyAdd }],
  exp: [unary(ops.exp)],
  log: [unary(ops.log, positive)],
  reciprocal: [unary(ops.reciprocal, positive)],
  sqrt: [unary(ops.sqrt, positive)],
  rsqrt: [unary(ops.rsqrt, positive)],
  square: [unary(ops.square)],
  abs: [unary(ops.abs, awayFromZero)],
  sigmoid: [unary(ops.sigmoid)],
  tanh: [unary(ops.tanh)],
  softplus: [unary(ops.softplus)],
  pow: [
    ...[-2, -1.5, -1, -0.5, 0, 0.5, 1, 2, 2.5, 3].map(a => unary(x => ops.pow(x, a), positive)),
    ...[3, 4, 5].map(a => unary(x => ops.pow(x, a), awayFromZero)),
  ],
  clamp: [unary(x => ops.clamp(x, { min: -0.1, max: 0.1 }), awayFromZero), unary(x => ops.clamp(x, { min: -2 }))],
  leakyRelu: [unary(x => ops.leakyRelu(x, { slope: 0.2, gain: 1.4 }), awayFromZero)],
  relu: [unary(ops.relu, awayFromZero)],
  biasedLeakyRelu: [
    {
      inputs: [
        [[2, 3, 5], awayFromZero],
        [[1, 3, 1], small],
      ],
      run: (x, b) => ops.biasedLeakyRelu(x, b),
    },
    {
      inputs: [
        [[2, 3, 5, 1], awayFromZero],
        [[1, 3, 1, 1], small],
      ],
      run: (x, b) => ops.biasedLeakyRelu(x, b),
    },
  ],
  leakyMask: [
    { inputs: [[[3, 7], awayFromZero]], run: x => ops.leakyMask(x, ops.stopGradient(x), { slope: 0.3, gain: 2 }) },
  ],
  styledConv2d: [
    {
      inputs: [
        [[2, 3, 4, 5], small],
        [[4, 3, 3, 3], small],
        [[2, 3], positive],
        [[2, 4], positive],
        [[4], awayFromZero],
        [[2, 1, 4, 5], small],
      ],
      run: (x, w, styles, demodulation, bias, map) => {
        const strength = x.device.tensor([0.7], [1]);
        return ops.styledConv2d(x, w, { styles, demodulation, bias, noise: { map, strength } });
      },
    },
  ],
  styledActivation: [
    {
      inputs: [
        [[2, 3, 3, 5], awayFromZero],
        [[2, 3], positive],
        [[3], small],
        [[2, 1, 3, 5], small],
        [[1], small],
      ],
      run: (x, demodulation, bias, map, strength) =>
        ops.styledActivation(x, { demodulation, bias, noise: { map, strength } }),
    },
    {
      inputs: [
        [[2, 3, 2, 2], awayFromZero],
        [[2, 3], positive],
        [[3], small],
        [[1], small],
      ],
      run: (x, demodulation, bias, strength) => {
        const map = x.device.tensor([0.1, -0.2, 0.3, 0.2], [1, 1, 2, 2]);
        return ops.styledActivation(x, { demodulation, bias, noise: { map, strength } });
      },
    },
    {
      // More than one split a plane.
      inputs: [
        [[1, 2, 129, 132], awayFromZero],
        [[1, 2], positive],
        [[2], small],
      ],
      run: (x, demodulation, bias) => ops.styledActivation(x, { demodulation, bias }),
    },
  ],
  demodulation: [
    { inputs: [[[3, 5]], [[4, 5], positive]], run: (s, q) => ops.demodulation(s, q, 0.1) },
    { inputs: [[[3, 5]]], run: s => ops.demodulation(s, s.device.tensor([1, 2, 3, 4, 5], [1, 5]), 0.1) },
  ],
  prelu: [
    { inputs: [[[2, 3, 5], awayFromZero], [[1, 3, 1]]], run: ops.prelu },
    { inputs: [[[2, 3, 2, 4], awayFromZero], [[1, 3, 1, 1]]], run: ops.prelu },
    { inputs: [[[3, 2, 83, 81], awayFromZero], [[1, 2, 1, 1]]], run: ops.prelu },
  ],
  checkpoint: [
    unary(x => ops.checkpoint(y => ops.mul(ops.sigmoid(y), y), x)),
    {
      inputs: [[[3, 5]], [[5, 5]]],
      run: (x, w) => {
        const layer = (h: Tensor) => ops.checkpoint(h => ops.tanh(ops.matmul(h, w)), h); // w by closure
        return ops.checkpoint(h => ops.mul(layer(layer(h)), x), layer(x));
      },
    },
  ],
  matmul: [
    { inputs: [[[3, 5]], [[5, 4]]], run: (a, b) => ops.matmul(a, b) },
    { inputs: [[[5, 3]], [[4, 5]]], run: (a, b) => ops.matmul(a, b, { transposeA: true, transposeB: true }) },
    { inputs: [[[2, 3, 5]], [[2, 4, 5]]], run: (a, b) => ops.matmul(a, b, { transposeB: true }) },
    { inputs: [[[2, 5, 3]], [[5, 4]]], run: (a, b) => ops.matmul(a, b, { transposeA: true }) },
    { inputs: [[[3, 5]], [[2, 5, 4]]], run: (a, b) => ops.matmul(a, b) },
  ],
  linear: [{ inputs: [[[3, 5]], [[4, 5]], [[4]]], run: ops.linear }],
  conv2d: [
    convolved([2, 3, 5, 6], [4, 3, 3, 3], (x, w, b) => ops.conv2d(x, w, b, { padding: 1 }), 4),
    convolved(
      [1, 4, 6, 5],
      [2, 2, 3, 2],
      (x, w, b) => ops.conv2d(x, w, b, { stride: 2, padding: [1, 0], groups: 2 }),
      2,
    ),
    convolved([2, 2, 1, 1], [3, 2, 3, 3], (x, w, b) => ops.conv2d(x, w, b, { padding: 1 }), 3),
    {
      inputs: [
        [[2, 3, 5, 4], small],
        [[5, 3, 3, 3], small],
        [[5], awayFromZero],
      ],
      run: (x, w, b) => ops.conv2d(x, w, b, { padding: 1, activation: { slope: 0.2, gain: 1.4 } }),
    },
  ],
  conv2dPerSample: [
    {
      inputs: [[[2, 3, 5, 4]], [[2, 4, 3, 3, 3]]],
      run: (x, w) => ops.conv2dPerSample(x, w, { padding: 1, stride: 2 }),
    },
  ],
  convTranspose2d: [
    convolved([2, 3, 4, 3], [3, 2, 3, 3], (x, w, b) => ops.convTranspose2d(x, w, b, { stride: 2 }), 2),
    convolved(
      [1, 4, 3, 4],
      [4, 1, 3, 3],
      (x, w, b) => ops.convTranspose2d(x, w, b, { stride: 2, padding: 1, outputPadding: 1, groups: 2 }),
      2,
    ),
    convolved([1, 2, 4, 4], [2, 3, 3, 3], (x, w, b) => ops.convTranspose2d(x, w, b, { padding: 1 }), 3),
  ],
  upfirdn2d: [
    image(x => ops.upfirdn2d(x, filter(x), { pad: [1, 1] })),
    image(x => ops.upfirdn2d(x, filter(x), { up: 2, pad: [2, 1], gain: 4 })),
    image(x => ops.upfirdn2d(x, filter(x), { down: [2, 1], pad: [1, -1, 0, 2], flip: true })),
  ],
  affineSample: [image(x => ops.affineSample(x, affineMap(x)), [2, 3, 5, 6])],
  interpolate: (['bilinear', 'bilinear-corners', 'bilinear-antialias', 'nearest'] as const).flatMap(mode => [
    image(x => ops.interpolate(x, [4, 9], mode)),
    image(x => ops.interpolate(x, [11, 3], mode)),
  ]),
  adaptiveAvgPool2d: [image(x => ops.adaptiveAvgPool2d(x, [3, 4])), image(x => ops.adaptiveAvgPool2d(x, [1, 13]))],
  avgPool2d: [
    image(x => ops.avgPool2d(x, 2)),
    image(x => ops.avgPool2d(x, 2), [1, 2, 4, 6]),
    image(x => ops.avgPool2d(x, 3, { stride: 1 })),
    image(x => ops.avgPool2d(x, 3, { stride: 1, padding: 1 })),
    image(x => ops.avgPool2d(x, 3, { stride: 2, padding: 1, countIncludePad: false })),
  ],
  separableFilter: [image(x => ops.separableFilter(x, [0.25, 0.5, 0.25]))],
  subsample: [image(x => ops.subsample(x, 2)), image(x => ops.subsample(x, 3))],
  maxPool2d: [
    image(x => ops.maxPool2d(x, { kernel: 2 }), [1, 2, 6, 4], apart),
    image(x => ops.maxPool2d(x, { kernel: [2, 3] }), [2, 2, 5, 7], apart),
    image(x => ops.maxPool2d(x, { kernel: 3, stride: 2, padding: 1, ceilMode: true }), [1, 1, 6, 7], apart),
  ],
  batchNorm: [
    { inputs: [[[3, 2, 4]], [[2]], [[2]]], run: bn },
    { inputs: [[[3, 2, 3]]], run: x => bn(x, x.device.tensor([1, 2], [2]), x.device.tensor([3, -1], [2])) },
    {
      inputs: [
        [[3, 2, 4], awayFromZero],
        [[2], positive],
        [[2], small],
        [[2], small],
      ],
      run: (x, w, b, offset) =>
        ops.batchNorm(x, w, b, x.device.tensor([0, 0], [2]), x.device.tensor([0.8, 1.5], [2]), { offset, slope: 0.3 }),
    },
    {
      inputs: [[[2, 1, 3, 3], awayFromZero]],
      run: x => {
        const [zero, one] = [0, 1].map(value => x.device.tensor([value], [1]));
        return ops.batchNorm(x, one, zero, zero, one, { slope: 0 });
      },
    },
  ],
  batchNormTraining: [
    { inputs: [[[3, 2, 4]], [[2]], [[2]]], run: (x, w, b) => ops.batchNormTraining(x, w, b).output },
    { inputs: [[[6, 3]], [[3]], [[3]]], run: (x, w, b) => ops.batchNormTraining(x, w, b).output },
    // More than one split a channel.
    { inputs: [[[3, 2, 83, 81]], [[2]], [[2]]], run: (x, w, b) => ops.batchNormTraining(x, w, b).output },
  ],
  sum: [
    image(x => ops.sum(x)),
    image(x => ops.sum(x, { axes: [0, 2] })),
    image(x => ops.sum(x, { axes: [1], keepDims: true })),
  ],
  sumProduct: [
    { inputs: [[[2, 3, 4]], [[2, 3, 4]]], run: (x, y) => ops.sumProduct(x, y, { axes: [0, 2] }) },
    { inputs: [[[3, 7]], [[3, 7]]], run: (x, y) => ops.sumProduct(x, y) },
    image(x => ops.sumProduct(x, x, { axes: [-1], keepDims: true })),
  ],
  sumProductTo: [{ inputs: [[[2, 3, 4]], [[2, 3, 4]]], run: (x, y) => ops.sumProductTo(x, y, [3, 1]) }],
  mean: [image(x => ops.mean(x)), image(x => ops.mean(ops.square(x), { axes: [-1, -2] }))],
  sumTo: [image(x => ops.sumTo(x, [2, 1, 6]))],
  variance: [image(x => ops.variance(x, { axes: [0, 2], correction: 1 })), image(x => ops.variance(x))],
  logSumExp: [unary(x => ops.logSumExp(x, 1))],
  logSoftmax: [unary(x => ops.logSoftmax(x, 1))],
  softmax: [unary(x => ops.softmax(x, 0))],
  crossEntropy: [
    { inputs: [[[2, 3, 3]]], run: x => ops.crossEntropy(x, labels(x)) },
    { inputs: [[[2, 3, 3]]], run: x => ops.crossEntropy(x, labels(x), x.device.tensor([1, 2, 0.5], [3])) },
  ],
  l2Norm: [image(x => ops.l2Norm(x, [1, 2]))],
  l2Normalize: [unary(x => ops.l2Normalize(x, 1))],
  cosineSimilarity: [{ inputs: [[[3, 7]], [[3, 7]]], run: (a, b) => ops.cosineSimilarity(a, b, 1) }],
  channelGate: [
    { inputs: [[[2, 4, 3, 3]], [[3, 4]], [[4, 3]]], run: (x, w1, w2) => ops.channelGate(x, { w1, w2 }) },
    {
      inputs: [[[2, 3, 2, 5], apart], [[2, 3]], [[3, 2]], [[2], positive], [[3]], [[2, 3, 2, 5]]],
      run: (x, w1, w2, b1, b2, shortcut) => ops.channelGate(x, { w1, w2, b1, b2, shortcut, withMax: true }),
    },
    // More hidden units than the kernels have room for.
    { inputs: [[[1, 2, 2, 2]], [[257, 2]], [[2, 257], small]], run: (x, w1, w2) => ops.channelGate(x, { w1, w2 }) },
  ],
  maxMean: [
    image(x => ops.maxMean(x, 'pixels'), [2, 3, 5, 5], apart),
    image(x => ops.maxMean(x, 'channels'), [2, 3, 3, 5], apart),
    image(x => ops.maxMean(ops.square(x), 'pixels'), [1, 2, 33, 40], apart),
  ],
  cosineDistance: [
    { inputs: [[[3, 7]], [[3, 7]]], run: (x, y) => ops.cosineDistance([x], [y]) },
    {
      inputs: [[[2, 3, 4]], [[2, 3, 4]], [[2, 5]], [[2, 5]]],
      run: (x0, y0, x1, y1) => ops.cosineDistance([x0, x1], [y0, y1]),
    },
    // The second of a pair is computed from the first.
    { inputs: [[[2, 6]]], run: x => ops.cosineDistance([x], [ops.square(x)]) },
    { inputs: [[[1, 17000]]], run: x => ops.cosineDistance([x], [ops.exp(x)]) },
  ],
  unitChannels: [image(x => ops.unitChannels(x), [2, 3, 4, 3], awayFromZero)],
  perceptualDistance: [
    {
      inputs: [
        [[2, 3, 3, 5], awayFromZero],
        [[2, 3, 3, 5], awayFromZero],
        [[3], positive],
      ],
      run: (x, y, w) => ops.perceptualDistance([x], [y], [w]),
    },
    {
      inputs: [
        [[2, 3, 2, 2], awayFromZero],
        [[2, 5, 2, 1], awayFromZero],
      ],
      run: (x, y) =>
        ops.perceptualDistance(
          [x, y],
          [ops.exp(x), y.device.tensor(directions([y.size], 3)[0], y.shape)],
          [x.device.tensor([1, 2, 0.5], [3]), x.device.tensor([3, 1, 2, 0.5, 1], [5])],
        ),
    },
    {
      inputs: [[[1, 2, 33, 33], positive]],
      run: x => ops.perceptualDistance([x], [ops.exp(x)], [x.device.tensor([1, 2], [2])]),
    },
  ],
  meanSquaredError: [{ inputs: [[[3, 7]], [[3, 7]]], run: ops.meanSquaredError }],
  reshape: [image(x => ops.reshape(x, [7, -1]))],
  permute: [image(x => ops.permute(x, [2, 0, 3, 1]))],
  perChannel: [{ inputs: [[[3]], [[2, 3, 4]]], run: (v, x) => ops.mul(ops.perChannel(v, x), x) }],
  overPixels: [{ inputs: [[[2, 3]], [[2, 3, 2, 2]]], run: (v, x) => ops.mul(ops.overPixels(v), x) }],
  transpose: [unary(ops.transpose)],
  expand: [{ inputs: [[[3, 1]]], run: x => ops.expand(x, [2, 3, 4]) }],
  slice: [image(x => ops.slice(x, { begin: [0, 1, 1, 0], end: [2, 2, 7, 5], step: [1, 1, 3, 2] }))],
  narrow: [image(x => ops.narrow(x, 2, 1, 4))],
  pad: [
    image(x =>
      ops.pad(x, [
        [0, 0],
        [1, 0],
        [2, -1],
        [-1, 3],
      ]),
    ),
  ],
  flip: [image(x => ops.flip(x, [2, 3]))],
  concat: [{ inputs: [[[2, 3, 2]], [[2, 1, 2]], [[2, 2, 2]]], run: (...all) => ops.concat(all, 1) }],
  stack: [{ inputs: [[[2, 3]], [[2, 3]]], run: (...all) => ops.stack(all, 1) }],
  split: [unary(x => ops.mul(...(ops.split(x, [3, 1, 3], 1).filter((_, i) => i !== 1) as [Tensor, Tensor])))],
};

/** What is exported but is no differentiable op. */
const others = [
  'apply',
  'cast', // rounds: see half.test.ts
  'castLike',
  'grad',
  'isTracked',
  'noGrad',
  'stopGradient',
  'variable',
  'constantMax',
  'greater',
];

test('every op that is exported is checked', () => {
  expect([...Object.keys(cases), ...others].sort()).toEqual(Object.keys(ops).sort());
});

type Vectors = Float32Array[];

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};
const norm = (vectors: Vectors): number => Math.sqrt(vectors.reduce((sum, x) => sum + dot(x, x), 0));
/** Fixed directions, one vector for each of some tensors. */
const directions = (sizes: readonly number[], seed: number): Vectors =>
  sizes.map((size, k) => Float32Array.from({ length: size }, (_, i) => v(i, seed + k)));
const project = (vectors: Vectors, onto: Vectors): number => vectors.reduce((sum, x, k) => sum + dot(x, onto[k]), 0);

/** The sum of tensors' elements in fixed directions. */
function weighted(device: Device, tensors: readonly Tensor[], seed: number): Tensor {
  return directions(
    tensors.map(t => t.size),
    seed,
  )
    .map((c, k) => ops.sum(ops.mul(tensors[k], device.tensor(c, tensors[k].shape))))
    .reduce((a, b) => ops.add(a, b));
}

/**
 * Output, gradients of its projection, and gradients of theirs, at inputs of these values; and the first gradients as
 * they are where they are not differentiated again, for which an op may have other kernels.
 */
async function evaluate(device: Device, { inputs, run }: Case, values: Vectors) {
  const reads = device.scope('gradient check', () => {
    const x = values.map((each, k) => ops.variable(device.tensor(each, inputs[k][0])));
    const y = run(...x);
    const first = ops.grad(weighted(device, [y], 50), x, { createGraph: true, unused: 'zero' });
    const second = ops.grad(weighted(device, first, 70), x, { unused: 'zero' });
    const alone = ops.grad(weighted(device, [y], 50), x, { unused: 'zero' });
    return [[y], first, second, alone].map(tensors => Promise.all(tensors.map(t => t.read())));
  });
  const [output, first, second, alone] = await Promise.all(reads);
  return { output, first, second, alone };
}

/** The output where no gradient is wanted, and each input's gradient where all others are constants. */
async function evaluateFrozen(device: Device, { inputs, run }: Case, values: Vectors) {
  const reads = device.scope('frozen inputs', () => {
    const constants = values.map((each, k) => device.tensor(each, inputs[k][0]));
    const first = constants.map((constant, k) => {
      const x = ops.variable(constant);
      const y = run(...constants.with(k, x));
      return ops.grad(weighted(device, [y], 50), [x], { unused: 'zero' })[0];
    });
    return [[run(...constants)], first].map(tensors => Promise.all(tensors.map(t => t.read())));
  });
  const [output, first] = await Promise.all(reads);
  return { output, first };
}

/**
 * Central differences along one direction d, of the output and of the gradient: projections are summed in float64, so
 * that the error is that of the elements, about 1e-7 / STEP, and of the truncation, about STEP².
 */
async function check(device: Device, each: Case): Promise<void> {
  const values = each.inputs.map(([shape, fill = anywhere], k) =>
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => fill(i, k + 1, sizeOf(shape))),
  );
  const d = directions(
    values.map(x => x.length),
    90,
  );
  const moved = (step: number) => values.map((x, k) => x.map((value, i) => value + step * d[k][i]));
  const [at, above, below] = [
    await evaluate(device, each, values),
    await evaluate(device, each, moved(STEP)),
    await evaluate(device, each, moved(-STEP)),
  ];
  const compare = (order: 'output' | 'first', gradient: Vectors, seed: number, label: string) => {
    const slope = above[order].map((x, k) => x.map((value, i) => (value - below[order][k][i]) / (2 * STEP)));
    const onto = directions(
      slope.map(x => x.length),
      seed,
    );
    const scale = Math.max(norm(slope), 0.01 * norm(at[order]), 1e-3) * Math.max(1, 0.3 * norm(onto));
    const difference = Math.abs(project(slope, onto) - project(gradient, d));
    expect(difference / scale, label).toBeLessThan(1e-3);
  };
  const expectEqual = (got: Vectors, want: Vectors, label: string) => {
    const difference = got.map((x, k) => x.map((value, i) => value - want[k][i]));
    expect(norm(difference) / Math.max(norm(want), 1e-3), label).toBeLessThan(1e-5);
  };
  expectEqual(at.alone, at.first, 'first derivative alone');
  const frozen = await evaluateFrozen(device, each, values);
  expectEqual(frozen.output, at.output, 'output without gradients');
  expectEqual(frozen.first, at.first, 'first derivatives with all other inputs frozen');
  compare('output', at.first, 50, 'first derivative');
  compare('first', at.second, 70, 'second derivative');
}

for (const limits of ['adapter', 'default'] as const) {
  describe(`derivatives by central differences, ${limits} limits`, () => {
    const gpu = useDevice({ limits });
    test.each(Object.entries(cases))('%s', async (_, list) => {
      for (const each of list) await check(gpu.device, each);
    });

    test('an error of 1 % in a derivative is noticed', async () => {
      const wrong = (order: 1 | 2) =>
        unary(x => ops.mul(ops.add(ops.mul(x, 0.99), ops.mul(ops.stopGradient(x), 0.01)), order === 1 ? 1 : x));
      await expect(check(gpu.device, wrong(1))).rejects.toThrow('first derivative');
      await expect(check(gpu.device, wrong(2))).rejects.toThrow('derivative');
    });
  });
}

describe('derivatives of convolutions and products, through tiles in workgroup memory', () => {
  const gpu = useDevice();
  beforeAll(() => gpu.device.choices.prefer('gemm'));
  test.each(['matmul', 'conv2d', 'convTranspose2d'])('%s', async name => {
    for (const each of cases[name]) await check(gpu.device, each);
  });
});
