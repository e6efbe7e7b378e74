/** What bench/kernels.ts times of kernels that are several operations in one pass: gates, losses, activations. */
import { activationGradient } from '../src/runtime/kernels/activation.ts';
import { normFixedGradient } from '../src/runtime/kernels/batchNorm.ts';
import { channelGate } from '../src/runtime/kernels/channelGate.ts';
import { cosineDistance, cosineGradient, cosineMoments } from '../src/runtime/kernels/cosine.ts';
import { maxMean, maxMeanGradient } from '../src/runtime/kernels/maxMean.ts';
import { perceptualDistance, perceptualGradient } from '../src/runtime/kernels/perceptual.ts';
import { demodulation, styledActivation, styledGradient } from '../src/runtime/kernels/styled.ts';
import type { Shape } from '../src/runtime/shape.ts';
import { type Case, MAP, MAP_SIZE } from './case.ts';

const STYLING = { slope: 0.2, gain: Math.SQRT2 };

export const fused: readonly Case[] = [
  {
    name: 'maximum and mean over pixels',
    flop: 2 * MAP_SIZE,
    operands: [MAP],
    run: ([x]) => Object.values(maxMean(x, 'pixels')),
  },
  {
    name: 'maximum and mean over channels',
    flop: 2 * MAP_SIZE,
    operands: [MAP],
    run: ([x]) => Object.values(maxMean(x, 'channels')),
  },
  {
    name: 'maximum and mean over pixels, gradient',
    flop: MAP_SIZE,
    operands: [[2, 8, 64], MAP],
    prepare: ([, x]) => [maxMean(x, 'pixels').positions],
    run: ([g, , positions]) => maxMeanGradient(g, positions, MAP, 'pixels', { scale: 1 / 4096 }),
    bytes: 4 * MAP_SIZE,
  },
  {
    name: 'channel gate',
    flop: 2 * 2 * 2 * 8 * 512 * 32,
    operands: [
      [2, 8, 512],
      [32, 512],
      [512, 32],
    ],
    run: ([pooled, w1, w2]) => channelGate(pooled, { w1, w2 }),
  },
  {
    name: 'cosine distance of 5 layers',
    flop: 5 * 6 * 8 * 65536,
    operands: Array<Shape>(10).fill([8, 65536]),
    run: layers => cosineDistance(cosineMoments(layers.slice(0, 5), layers.slice(5)), 1e-8),
  },
  {
    name: 'cosine distance, gradient of a layer',
    flop: 4 * 8 * 65536,
    operands: [[1], [8, 65536], [8, 65536]],
    prepare: ([, x, y]) => [cosineMoments([x], [y])],
    run: ([g, x, y, moments]) => cosineGradient(g, moments, x, y, { layer: 0, swapped: false, epsilon: 1e-8 }),
  },
  {
    name: 'perceptual distance',
    flop: 9 * MAP_SIZE,
    operands: [MAP, MAP, [64]],
    run: ([x, y, w]) => perceptualDistance([x], [y], [w]),
  },
  {
    name: 'perceptual distance, gradient',
    flop: 14 * MAP_SIZE,
    operands: [[8], MAP, MAP, [64]],
    run: ([g, x, y, w]) => perceptualGradient(g, x, y, w),
  },
  {
    name: 'styled activation',
    flop: 6 * MAP_SIZE,
    operands: [MAP, [8, 64], [64], [8, 1, 64, 64], [1]],
    run: ([x, demodulation, bias, noise, strength]) =>
      styledActivation(x, { demodulation, bias, noise, strength, ...STYLING }),
  },
  {
    name: 'styled activation, gradient',
    flop: 8 * MAP_SIZE,
    operands: [MAP, MAP, MAP, [8, 64], [8, 1, 64, 64]],
    run: ([g, y, x, demodulation, noise]) => {
      const { input, demodulation: sums } = styledGradient(g, y, x, { demodulation, noise, ...STYLING });
      return [input, sums];
    },
  },
  {
    name: 'activation gradient with its sums',
    flop: 3 * MAP_SIZE,
    operands: [MAP, MAP],
    run: ([g, y]) => Object.values(activationGradient(g, y, STYLING)),
  },
  {
    name: 'batch norm gradient, given statistics and ReLU',
    flop: 2 * MAP_SIZE,
    operands: [MAP, MAP, [64], [64]],
    run: ([g, y, variance, weight]) => normFixedGradient(g, y, { variance, weight, epsilon: 1e-5, slope: 0 }),
  },
  {
    name: 'demodulation',
    flop: 3 * 8 * 512 * 512,
    operands: [
      [8, 512],
      [512, 512],
    ],
    run: ([styles, energy]) => demodulation(styles, energy, 1e-8),
  },
];
