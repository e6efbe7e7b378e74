import { describe, expect, test } from 'vitest';
import { narrow } from '../src/autograd/index.ts';
import { fillValues, v } from '../src/cli/goldens/format.ts';
import { RecognitionNetwork } from '../src/models/arcface.ts';
import { LpipsLike } from '../src/models/lpips.ts';
import { initialize } from '../src/models/module.ts';
import { philox4x32 } from '../src/runtime/philox.ts';
import {
  type Features,
  frechetDistance,
  imageMetrics,
  kernelDistance,
  labelMap,
  meanAndDeviation,
  meanIoU,
  pairSimilarities,
  readMetrics,
  similarityGap,
  verificationAccuracy,
} from '../src/train/metrics.ts';
import { useDevice } from './device.ts';

const features = (...rows: number[][]): Features => ({ rows: rows.length, values: rows.flat() });

describe('metrics of image pairs', () => {
  const gpu = useDevice();
  const networks = () => {
    const perceptual = new LpipsLike();
    const identity = new RecognitionNetwork({
      inputSize: 24,
      channels: [16, 32, 64, 64],
      units: [1, 1, 1, 1],
      embedding: 32,
    });
    for (const network of [perceptual, identity]) {
      initialize(network, gpu.device, { seed: 1 });
      network.eval();
    }
    return { perceptual, identity };
  };

  test('an image against itself, each image by itself, and clamping', async () => {
    const { device } = gpu;
    const shape = [3, 3, 32, 32];
    const both = networks();
    const target = device.tensor(fillValues({ shape, scale: 1, shift: 0, seed: 1 }), shape);
    const same = await readMetrics(imageMetrics(target, target, both));
    expect([...same.l2, ...same.lpips]).toEqual(Array(6).fill(0));
    for (const value of [...same.msssim, ...same.id]) expect(value).toBeCloseTo(1, 5);

    const output = device.tensor(fillValues({ shape, scale: 2, shift: 0, seed: 2 }), shape);
    const metrics = await readMetrics(imageMetrics(output, target, both));
    const [got, want] = [await output.read(), await target.read()];
    for (let n = 0; n < 3; n++) {
      let l2 = 0;
      for (let i = 3072 * n; i < 3072 * (n + 1); i++) l2 += (Math.min(1, Math.max(-1, got[i])) - want[i]) ** 2 / 3072;
      expect(metrics.l2[n]).toBeCloseTo(l2, 5);
      const one = await readMetrics(imageMetrics(narrow(output, 0, n, n + 1), narrow(target, 0, n, n + 1), both));
      for (const key of ['l2', 'lpips', 'msssim', 'id'] as const) expect(one[key][0]).toBeCloseTo(metrics[key][n], 5);
      expect(metrics.id[n]).toBeLessThan(0.999);
      expect(metrics.lpips[n]).toBeGreaterThan(0.01);
    }
  });

  test('mean and deviation leave out what is not finite', () => {
    expect(meanAndDeviation([1, 2, Number.NaN, 3, Number.POSITIVE_INFINITY])).toEqual({ mean: 2, deviation: 1 });
    expect(meanAndDeviation([]).mean).toBeNaN();
  });
});

describe('distances of distributions', () => {
  const cloud = (rows: number, dimensions: number, seed: number): Features => ({
    rows,
    values: Float64Array.from({ length: rows * dimensions }, (_, i) => v(i, seed) * (1 + (i % dimensions))),
  });

  test('Fréchet distance of Gaussians with diagonal covariances', () => {
    // Means (0, 0) and (3, 4); variances (2, 8) / 3 and (18, 8) / 3 of four points each.
    const a = features([1, 0], [-1, 0], [0, 2], [0, -2]);
    const b = features([6, 4], [0, 4], [3, 6], [3, 2]);
    expect(frechetDistance(a, a)).toBeCloseTo(0, 10);
    const roots = (Math.sqrt(18 / 3) - Math.sqrt(2 / 3)) ** 2;
    expect(frechetDistance(a, b)).toBeCloseTo(25 + roots, 10);
  });

  test('Fréchet distance of Gaussians whose covariances do not commute', () => {
    const a = features([1, 0], [-1, 0], [0, 2], [0, -2]);
    const b = features([2, 2], [-2, -2], [1, -1], [-1, 1]);
    // For 2 × 2 matrices tr √M = √(tr M + 2 √det M), with M = Σ₁ Σ₂; Σ₁ = diag(2, 8) / 3, Σ₂ = [[10, 6], [6, 10]] / 3.
    const trace = (2 * 10 + 8 * 10) / 9;
    const determinant = (16 / 9) * ((100 - 36) / 9);
    const expected = 10 / 3 + 20 / 3 - 2 * Math.sqrt(trace + 2 * Math.sqrt(determinant));
    expect(frechetDistance(a, b)).toBeCloseTo(expected, 10);
    expect(frechetDistance(b, a)).toBeCloseTo(expected, 10);
  });

  test('Fréchet distance with fewer samples than dimensions, and of a shifted cloud', () => {
    const a = cloud(20, 32, 1);
    // Σ has a null space, where √ turns rounding errors of 1e-16 into 1e-8 of its trace, which is near 4000.
    expect(frechetDistance(a, a)).toBeCloseTo(0, 3);
    const shifted = { rows: 20, values: Array.from(a.values, value => value + 0.5) };
    expect(frechetDistance(a, shifted)).toBeCloseTo(32 * 0.25, 3);
  });

  test('kernel distance by hand, and around 0 for two samples of one distribution', () => {
    // Within: (0·1 + 1)³ = 1 and (1·2 + 1)³ = 27; across: the mean of 1, 1, 8, 27.
    expect(kernelDistance(features([0], [1]), features([1], [2]))).toBeCloseTo(1 + 27 - 2 * 9.25, 10);
    const [a, b] = [cloud(200, 4, 1), cloud(200, 4, 2)];
    const far = { rows: 200, values: Array.from(b.values, value => value + 2) };
    expect(Math.abs(kernelDistance(a, b))).toBeLessThan(0.02 * kernelDistance(a, far));
  });
});

describe('recognition and segmentation', () => {
  test('verification: separable pairs, one wrong in twenty, chance', () => {
    const similarities = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 0.9 : 0.1) + 0.001 * i);
    const same = similarities.map((_, i) => i % 2 === 0);
    expect(verificationAccuracy({ similarities, same })).toBe(1);
    expect(similarityGap({ similarities, same })).toBeCloseTo(0.8 - 0.001, 10);
    const wrong = similarities.map((value, i) => (i === 0 || i === 11 ? 1 - value : value));
    expect(verificationAccuracy({ similarities: wrong, same })).toBe(38 / 40);
    // All of one kind: everything below or above every threshold.
    expect(verificationAccuracy({ similarities, same: same.map(() => true) })).toBe(1);
    expect(verificationAccuracy({ similarities, same: same.map(() => false) })).toBe(1);
    const draws = Array.from({ length: 2000 }, (_, i) => philox4x32([i, 0, 0, 0], [1, 2]));
    const random = draws.map(([first]) => first / 2 ** 32);
    const coin = draws.map(([, second]) => second % 2 === 0);
    expect(Math.abs(verificationAccuracy({ similarities: random, same: coin }) - 0.5)).toBeLessThan(0.05);
  });

  test('similarities of chosen pairs of rows', () => {
    const rows = features([1, 0], [0.6, 0.8], [0, 1]);
    const pairs = pairSimilarities(rows, [
      [0, 1],
      [1, 2],
      [0, 2],
    ]);
    expect([...pairs]).toEqual([0.6, 0.8, 0]);
  });

  test('label maps and intersection over union', () => {
    // Two images of 1 × 2 pixels and 3 classes, [N, C, H, W].
    const logits = [1, 0, 2, 0, 3, 0, 0, 5, 0, 4, 1, 6];
    expect([...labelMap(logits, [2, 3, 1, 2])]).toEqual([2, 0, 2, 2]);
    const { mean, perClass } = meanIoU([0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0], 4);
    expect(perClass.slice(0, 3)).toEqual([1 / 3, 2 / 3, 1 / 2]);
    expect(perClass[3]).toBeNaN();
    expect(mean).toBeCloseTo(0.5, 10);
  });
});
