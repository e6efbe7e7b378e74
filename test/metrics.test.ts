import { describe, expect, test } from 'vitest';
import { narrow } from '../src/autograd/index.ts';
import { fillValues } from '../src/cli/goldens/format.ts';
import { RecognitionNetwork } from '../src/models/arcface.ts';
import { LpipsLike } from '../src/models/lpips.ts';
import { initialize } from '../src/models/module.ts';
import { philox4x32 } from '../src/runtime/philox.ts';
import { imageMetrics, meanAndDeviation, readMetrics } from '../src/train/metrics/pairs.ts';
import { pairSimilarities, similarityGap, verificationAccuracy } from '../src/train/metrics/recognition.ts';
import { labelMap, meanIoU } from '../src/train/metrics/segmentation.ts';
import { useDevice } from './device.ts';

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
    const rows = { rows: 3, values: [1, 0, 0.6, 0.8, 0, 1] };
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
