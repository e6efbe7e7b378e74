import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { fillValues, v } from '../src/cli/goldens/format.ts';
import { openFolder } from '../src/io/files.ts';
import { Inception } from '../src/models/inception.ts';
import { initialize, release } from '../src/models/module.ts';
import { presets } from '../src/models/stylegan2/config.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { random } from '../src/runtime/kernels/random.ts';
import { Programs } from '../src/runtime/program.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { type Features, frechetDistance, Gaussian } from '../src/train/metrics/frechet.ts';
import { generatorMetrics, samples } from '../src/train/metrics/generator.ts';
import { kernelDistance } from '../src/train/metrics/kernelDistance.ts';
import { metricsOf } from '../src/train/metrics/metricsOf.ts';
import { type FeatureNetwork, inceptionNetwork, perceptualNetwork, quantized } from '../src/train/metrics/networks.ts';
import { EPSILON, pathLength, stylePaths, trimmedMean } from '../src/train/metrics/pathLength.ts';
import { precisionRecall } from '../src/train/metrics/precisionRecall.ts';
import { products } from '../src/train/metrics/products.ts';
import type { Reference } from '../src/train/metrics/reference.ts';
import type { Compute } from '../src/train/training.ts';
import { useDevice } from './device.ts';

const features = (...rows: number[][]): Features => ({ rows: rows.length, values: rows.flat() });
const cloud = (rows: number, dimensions: number, seed: number): Features => ({
  rows,
  values: Float64Array.from({ length: rows * dimensions }, (_, i) => v(i, seed) * (1 + (i % dimensions))),
});

const gpu = useDevice();

/** Programs of their own for each test. */
function computing(): Compute {
  const programs = new Programs(gpu.device);
  return (name, body) => programs.compute(name, body);
}

describe('Fréchet distance', () => {
  const distance = (a: Features, b: Features) => frechetDistance(new Gaussian(a), new Gaussian(b));

  test('the covariance is divided by N - 1, over several blocks of rows', () => {
    const { rows, values } = cloud(150, 3, 1);
    const { mean, covariance } = new Gaussian({ rows, values });
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 3; j++) {
        let [first, second, both] = [0, 0, 0];
        for (let n = 0; n < rows; n++) {
          first += values[3 * n + i] / rows;
          second += values[3 * n + j] / rows;
        }
        for (let n = 0; n < rows; n++) both += (values[3 * n + i] - first) * (values[3 * n + j] - second);
        expect(covariance.get(i, j)).toBeCloseTo(both / (rows - 1), 12);
        expect(mean[i]).toBeCloseTo(first, 12);
      }
    }
  });

  test('Gaussians with diagonal covariances', () => {
    // Means (0, 0) and (3, 4); variances (2, 8) / 3 and (18, 8) / 3 of four points each.
    const a = features([1, 0], [-1, 0], [0, 2], [0, -2]);
    const b = features([6, 4], [0, 4], [3, 6], [3, 2]);
    expect(distance(a, a)).toBeCloseTo(0, 10);
    const roots = (Math.sqrt(18 / 3) - Math.sqrt(2 / 3)) ** 2;
    expect(distance(a, b)).toBeCloseTo(25 + roots, 10);
  });

  test('Gaussians whose covariances do not commute', () => {
    const a = features([1, 0], [-1, 0], [0, 2], [0, -2]);
    const b = features([2, 2], [-2, -2], [1, -1], [-1, 1]);
    // For 2 × 2 matrices tr √M = √(tr M + 2 √det M), with M = Σ₁ Σ₂; Σ₁ = diag(2, 8) / 3, Σ₂ = [[10, 6], [6, 10]] / 3.
    const trace = (2 * 10 + 8 * 10) / 9;
    const determinant = (16 / 9) * ((100 - 36) / 9);
    const expected = 10 / 3 + 20 / 3 - 2 * Math.sqrt(trace + 2 * Math.sqrt(determinant));
    expect(distance(a, b)).toBeCloseTo(expected, 10);
    expect(distance(b, a)).toBeCloseTo(expected, 10);
  });

  test('fewer samples than dimensions, and a shifted cloud', () => {
    const a = cloud(20, 32, 1);
    // Σ has a null space, where √ turns rounding errors of 1e-16 into 1e-8 of its trace, which is near 4000.
    expect(distance(a, a)).toBeCloseTo(0, 3);
    const shifted = { rows: 20, values: Array.from(a.values, value => value + 0.5) };
    expect(distance(a, shifted)).toBeCloseTo(32 * 0.25, 3);
  });
});

describe('kernel distance', () => {
  test('by hand, and around 0 for two samples of one distribution', async () => {
    const of = products(gpu.device, 1)(computing());
    // Within: (0·1 + 1)³ = 1 and (1·2 + 1)³ = 27; across: the mean of 1, 1, 8, 27.
    expect(await kernelDistance(of, features([0], [1]), features([1], [2]))).toBeCloseTo(1 + 27 - 2 * 9.25, 6);
    const [a, b] = [cloud(200, 4, 1), cloud(200, 4, 2)];
    const far = { rows: 200, values: Array.from(b.values, value => value + 2) };
    const four = products(gpu.device, 4)(computing());
    expect(Math.abs(await kernelDistance(four, a, b))).toBeLessThan(0.02 * (await kernelDistance(four, a, far)));
    await expect(kernelDistance(of, features([0]), features([1], [2]))).rejects.toThrow('two rows of either set');
  });

  test('its mean over all samples of two distributions is their distance: it has no bias, however small the samples', async () => {
    const of = products(gpu.device, 1)(computing());
    // x is 0 or 1, y is 1 or 2. E k(x, x') = 11 / 4, E k(y, y') = 187 / 4, E k(x, y) = 37 / 4.
    let sum = 0;
    for (let i = 0; i < 16; i++) {
      const bit = (k: number) => (i >> k) & 1;
      sum += await kernelDistance(of, features([bit(0)], [bit(1)]), features([1 + bit(2)], [1 + bit(3)]));
    }
    expect(sum / 16).toBeCloseTo((11 + 187 - 2 * 37) / 4, 5);
  });

  test('of sets of different sizes it takes subsets, by the seed', async () => {
    const of = products(gpu.device, 2)(computing());
    const [a, b] = [cloud(24, 2, 1), cloud(20, 2, 2)];
    const [one, again, other] = [
      await kernelDistance(of, a, b, { seed: 1 }),
      await kernelDistance(of, a, b, { seed: 1 }),
      await kernelDistance(of, a, b, { seed: 2 }),
    ];
    expect(again).toBe(one);
    expect(other).not.toBe(one);
    const whole = await kernelDistance(of, { rows: 20, values: Array.from(a.values).slice(0, 40) }, b);
    expect(Math.abs(one - other)).toBeLessThan(Math.abs(one - whole));
  });
});

describe('precision and recall', () => {
  test('of points by hand: balls reach to the third neighbour', async () => {
    const of = products(gpu.device, 2)(computing());
    // Each corner's third neighbour is 1.41 away; of the row's ends 3, of its inner points 2.
    const square = features([0, 0], [1, 0], [0, 1], [1, 1]);
    const row = features([2, 0], [3, 0], [4, 0], [5, 0]);
    // (2, 0) is within 1.41 of (1, 0); (1, 0) and (0, 0) within 3 of (2, 0), and so are (0, 1) and (1, 1): 2.24, 1.41.
    expect(await precisionRecall(of, square, row)).toEqual({ precision: 1 / 4, recall: 1 });
    expect(await precisionRecall(of, row, square)).toEqual({ precision: 1, recall: 1 / 4 });
    expect(await precisionRecall(of, square, square)).toEqual({ precision: 1, recall: 1 });
    const far = { rows: 4, values: Array.from(row.values, value => value + 9) };
    expect(await precisionRecall(of, square, far)).toEqual({ precision: 0, recall: 0 });
    await expect(precisionRecall(of, features([0, 0], [1, 1], [2, 2]), row)).rejects.toThrow('need 4 points');
  });

  test('of more points than a tile has, as by all distances in f64', async () => {
    const of = products(gpu.device, 2)(computing());
    const [real, generated] = [cloud(1100, 2, 3), { ...cloud(60, 2, 4) }];
    const shifted = { rows: 60, values: Float64Array.from(generated.values, value => 1.2 * value) };
    const squared = (a: Features, i: number, b: Features, j: number) =>
      (a.values[2 * i] - b.values[2 * j]) ** 2 + (a.values[2 * i + 1] - b.values[2 * j + 1]) ** 2;
    const indices = ({ rows }: Features) => Array.from({ length: rows }, (_, i) => i);
    const radius = (set: Features, i: number) =>
      indices(set)
        .map(j => squared(set, i, set, j))
        .sort((a, b) => a - b)[3];
    const share = (points: Features, set: Features) => {
      const radii = indices(set).map(i => radius(set, i));
      const inside = indices(points).filter(i => radii.some((r, j) => squared(points, i, set, j) <= r));
      return inside.length / points.rows;
    };
    const { precision, recall } = await precisionRecall(of, real, shifted);
    expect(precision).toBe(share(shifted, real));
    expect(recall).toBeCloseTo(share(real, shifted), 2);
    expect(precision).toBeLessThan(1);
    expect(recall).toBeGreaterThan(0.1);
  });
});

describe('path length', () => {
  test('the mean between the 1st and the 99th percentile', () => {
    expect(trimmedMean([3])).toBe(3);
    expect(trimmedMean([5, 1, 3])).toBe(3);
    const values = Array.from({ length: 301 }, (_, i) => i);
    expect(trimmedMean([...values, 1e6, -1e6])).toBeCloseTo(150, 6);
  });

  test('of images that are linear in the path it is the squared speed, whatever the size of the last batch', async () => {
    const { device } = gpu;
    const [batch, count] = [4, 10];
    const speed = (step: Tensor) => random(device, [batch, 3, 2, 2], 'normal', { seed: 1, stream: 'speed', step });
    const measure = pathLength({
      device,
      batch,
      count,
      ends: step => [ops.affine(speed(step), 0, 0), ops.affine(speed(step), EPSILON, 0)],
      distance: (a, b) => ops.sum(ops.square(ops.sub(a, b)), { axes: [1, 2, 3] }),
    });
    const lengths: number[] = [];
    for (const first of [0, 4, 8]) {
      const read = device.scope('speeds', () => speed(device.tensor([first], [1], 'u32')).read());
      const values = await read;
      for (let n = 0; n < batch && first + n < count; n++) {
        lengths.push(values.subarray(12 * n, 12 * (n + 1)).reduce((sum, value) => sum + value ** 2, 0));
      }
    }
    const compute = computing();
    expect(await measure(compute)).toBeCloseTo(trimmedMean(lengths), 3);
    expect(await measure(compute)).toBeCloseTo(trimmedMean(lengths), 3);
  });

  test('the ends of a path have the same noise, and are a step apart', async () => {
    const { device } = gpu;
    const generator = new Generator(presets.micro16);
    initialize(generator, device, { seed: 1 });
    // So that another noise would show.
    for (const [key, { value }] of generator.state()) if (key.endsWith('noise.weight')) device.write(value, [1]);
    const reads = device.scope('ends', () => {
      const ends = stylePaths(generator, { seed: 1, batch: 2 });
      const read = (step: number) => ends(device.tensor([step], [1], 'u32')).map(end => end.read());
      return [...read(0), ...read(2)];
    });
    const [a, b, c] = await Promise.all(reads);
    const furthest = (x: Float32Array, y: Float32Array) =>
      x.reduce((most, value, i) => Math.max(most, Math.abs(value - y[i])), 0);
    expect(furthest(a, b)).toBeGreaterThan(1e-6);
    expect(furthest(a, b)).toBeLessThan(5e-3);
    expect(furthest(a, c)).toBeGreaterThan(0.1);
    release(generator);
  });
});

describe('an evaluation', () => {
  const folder = mkdtempSync(join(tmpdir(), 'metrics-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  test('images are taken as they are when they are saved', async () => {
    const { device } = gpu;
    const values = [-1.5, -1, -0.996, 0.0039, 0.004, 0.999, 2];
    const read = device.scope('bytes', () => quantized(device.tensor(values, [7])).read());
    const bytes = values.map(x => Math.floor(Math.min(255, Math.max(0, 127.5 * x + 128))));
    expect([...(await read)]).toEqual(bytes.map(byte => expect.closeTo(byte / 127.5 - 1, 6)));
  });

  /** A network whose features are the means of the channels. */
  const means: FeatureNetwork = {
    name: 'means',
    length: 3,
    batch: 4,
    count: 10,
    title: metric => `${metric}-test`,
    fingerprint: async () => '1',
    forward: images => ops.mean(images, { axes: [2, 3] }),
  };
  const REAL = 9;

  /** Nine images, of which a batch of four holds one that is damaged, and how often they were asked for. */
  function realImages(): Reference & { asked: number } {
    const batch = gpu.device.keep(gpu.device.empty([4, 3, 2, 2], 'f32', 'real'));
    const reference = {
      asked: 0,
      about: 'nine images',
      key: 'nine',
      count: REAL,
      batch: 4,
      async *batches() {
        reference.asked++;
        for (let first = 0; first < REAL + 1; first += 4) {
          gpu.device.write(batch, fillValues({ shape: [48], scale: 1, shift: 0, seed: first }));
          yield first === 4 ? 3 : Math.min(4, REAL + 1 - first);
        }
      },
      images: () => batch,
    };
    return reference;
  }
  const generate = (step: Tensor) => random(gpu.device, [4, 3, 2, 2], 'uniform', { seed: 5, stream: 'images', step });
  const options = (reference: Reference) => ({
    device: gpu.device,
    generate,
    batch: 4,
    count: 10,
    reference,
    network: means,
  });

  /** The features on the host. */
  function rows(images: readonly Float32Array[], counts: readonly number[]): Features {
    const values: number[] = [];
    images.forEach((image, k) => {
      for (let plane = 0; plane < 3 * counts[k]; plane++) {
        const bytes = image.subarray(4 * plane, 4 * (plane + 1)).map(x => Math.floor(127.5 * x + 128) / 127.5 - 1);
        values.push(bytes.reduce((a, b) => a + b, 0) / 4);
      }
    });
    return { rows: values.length / 3, values };
  }

  test('it compares all that was generated with all that could be decoded, which it looks at once', async () => {
    const { device } = gpu;
    const reference = realImages();
    const runs = await openFolder(folder, { create: true });
    const compute = computing();
    const measure = metricsOf(options(reference));
    const measured = await measure(compute, runs);
    const generated = await Promise.all(
      [0, 4, 8].map(first => device.scope('images', () => generate(device.tensor([first], [1], 'u32')).read())),
    );
    const real = [0, 4, 8].map(seed => fillValues({ shape: [48], scale: 1, shift: 0, seed }));
    const sets = [rows(real, [4, 3, 2]), rows(generated, [4, 4, 2])] as const;
    expect(Object.keys(measured)).toEqual(['FID-test', 'KID-test', 'precision-test', 'recall-test']);
    expect(measured['FID-test']).toBeCloseTo(frechetDistance(new Gaussian(sets[0]), new Gaussian(sets[1])), 5);
    const host = products(device, 3)(computing());
    expect(measured['KID-test']).toBeCloseTo(await kernelDistance(host, ...sets), 5);
    const { precision, recall } = await precisionRecall(host, ...sets);
    expect(measured).toMatchObject({ 'precision-test': precision, 'recall-test': recall });

    expect(await measure(compute, runs)).toEqual(measured);
    expect(reference.asked).toBe(1);
  });

  test('what is known of the real images is kept in the folder, and made anew where it is damaged', async () => {
    const runs = await openFolder(folder, { create: true });
    const again = async (network = means) => {
      const reference = realImages();
      await metricsOf({ ...options(reference), network, which: ['fid'] })(computing(), runs);
      return reference.asked;
    };
    const [file, ...others] = readdirSync(join(folder, 'metrics'));
    expect(others).toEqual([]);
    expect(await again()).toBe(0);
    writeFileSync(join(folder, 'metrics', file), 'cut off');
    expect(await again()).toBe(1);
    expect(await again()).toBe(0);
    expect(await again({ ...means, fingerprint: async () => '2' })).toBe(1);
    expect(readdirSync(join(folder, 'metrics'))).toHaveLength(2);
  });

  test('too few images: what is needed, before anything is computed', () => {
    const few = { ...realImages(), count: 3 };
    expect(() => metricsOf(options(few))).toThrow(
      'nine images: found 3, FID-test needs at least 4 for the covariance of the 3 features of means; ' +
        "give more, or leave 'fid' out of --metrics",
    );
    expect(() => metricsOf({ ...options(few), which: ['pr'] })).toThrow('precision and recall needs at least 4');
    expect(() => metricsOf({ ...options(realImages()), count: 1, which: ['kid'] })).toThrow(
      '1 generated images: found 1, KID-test needs at least 2;',
    );
  });

  test('where images cannot be decoded, it says so when that shows', async () => {
    const reference = { ...realImages(), batches: async function* () {} };
    await expect(metricsOf(options(reference))(computing())).rejects.toThrow(
      'what can be decoded of nine images: found 0, FID-test needs at least 4',
    );
  });
});

describe('networks', () => {
  /** Shapes of Inception's tensors; nothing is read of them before all are checked. */
  const shapes = () => {
    const state = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>();
    for (const [key, { shape }] of new Inception().state()) state.set(key, { shape, data: [] });
    return state.set('fc.weight', { shape: [1008, 2048], data: [] });
  };
  const load = (values: ReturnType<typeof shapes>) => inceptionNetwork(gpu.device, values, { source: 'some.file' });

  test('foreign files for Inception-v3: key, found and wanted', () => {
    expect(() => load(new Map())).toThrow(
      'some.file: no tensor "fc.weight"; wanted the weights of Inception-v3 as pytorch-fid has them',
    );
    expect(() => load(shapes().set('fc.weight', { shape: [10, 2048], data: [] }))).toThrow(
      `some.file: "fc.weight" has 10 rows, wanted 1008 or 1000 as pytorch-fid's and torchvision's`,
    );
    const missing = shapes();
    missing.delete('Mixed_6b.branch7x7_2.conv.weight');
    expect(() => load(missing)).toThrow('some.file: no tensor "Mixed_6b.branch7x7_2.conv.weight"');
    const wrong = shapes().set('Mixed_5b.branch1x1.bn.bias', { shape: [32], data: [] });
    expect(() => load(wrong)).toThrow('some.file: "Mixed_5b.branch1x1.bn.bias" is [32], the model wants [64]');
    const more = shapes().set('Mixed_9.conv.weight', { shape: [1], data: [] });
    expect(() => load(more)).toThrow('some.file: "Mixed_9.conv.weight" is unknown');
  });

  test('the shipped trunk says what it is, and resizes images of another size', async () => {
    const { device } = gpu;
    const network = await perceptualNetwork(device);
    expect([network.name, network.length, network.title('FID')]).toEqual(['perceptual-32', 64, 'FID-like(self)']);
    const reads = device.scope('features', () => {
      const small = device.tensor(fillValues({ shape: [1, 3, 32, 32], scale: 1, shift: 0, seed: 1 }), [1, 3, 32, 32]);
      const large = ops.interpolate(small, [64, 64], 'nearest');
      return [
        network.forward(large).read(),
        network.forward(ops.interpolate(large, [32, 32], 'bilinear-antialias')).read(),
      ];
    });
    const [got, want] = await Promise.all(reads);
    expect([...got]).toEqual([...want]);
    expect(got).toHaveLength(64);
  });

  test('a generator by all metrics: what it is compared with, and by what name', async () => {
    const { device } = gpu;
    const generator = new Generator(presets.micro16);
    generator.freeze().eval();
    initialize(generator, device, { seed: 1 });
    const given = { device, generator, data: 'faces', count: 66, seed: 1 };
    await expect(generatorMetrics({ ...given, metrics: 'fid,is' })).rejects.toThrow(
      "--metrics fid,is: there is no 'is'",
    );
    await expect(generatorMetrics({ ...given, count: 64 })).rejects.toThrow('needs at least 65');
    const { about, measure } = await generatorMetrics(given);
    expect(about).toBe(
      '66 samples (fresh noise, no truncation) against 66 procedural faces of people whom no training sees, ' +
        'by the 64 features of perceptual-32',
    );
    const measured = await measure(computing());
    const titles = ['FID-like(self)', 'KID-like(self)', 'precision-like(self)', 'recall-like(self)', 'PPL-like(self)'];
    expect(Object.keys(measured)).toEqual(titles);
    expect(measured['FID-like(self)']).toBeGreaterThan(10);
    expect(measured['KID-like(self)']).toBeGreaterThan(1);
    expect(measured['PPL-like(self)']).toBeGreaterThan(0);
    const images = device.scope('samples', () =>
      samples(generator, { seed: 1, stream: 'metrics', batch: 2 })(device.tensor([0], [1], 'u32')).read(),
    );
    expect(await images).toHaveLength(2 * 3 * 16 * 16);
    release(generator);
  });
});
