import { describe, expect, test, vi } from 'vitest';
import { applyEffects, discardEffects } from '../src/autograd/effects.ts';
import * as ops from '../src/autograd/index.ts';
import { initialize, Module, ones, release, zeros } from '../src/models/module.ts';
import { configF, presets, resolutions } from '../src/models/stylegan2/config.ts';
import { Discriminator } from '../src/models/stylegan2/discriminator.ts';
import { Generator, type Noise } from '../src/models/stylegan2/generator.ts';
import { crossoverMask, LatentAverage, mixStyles, repeatLatent, truncate } from '../src/models/stylegan2/latents.ts';
import { Mapping } from '../src/models/stylegan2/mapping.ts';
import { nvlabsDiscriminator } from '../src/models/stylegan2/names.ts';
import { random } from '../src/runtime/kernels/random.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { dLogistic, gNonSaturating, pathLengthPenalty } from '../src/train/adversarial.ts';
import { copyState, emaRate, updateEma } from '../src/train/ema.ts';
import { useDevice } from './device.ts';

describe('sizes', () => {
  test.each([
    [32, 21_523_475, 21_507_073, 21_523_475, 21_507_073],
    [64, 27_032_600, 26_488_833, 23_819_544, 23_407_361],
    [128, 29_328_669, 28_389_121, 24_525_213, 23_882_369],
    [256, 30_034_338, 28_864_129, 24_767_458, 24_001_089],
    [512, 30_276_583, 28_982_849, 24_860_935, 24_030_753],
    [1024, 30_370_060, 29_012_513, 24_900_764, 24_038_161],
  ])('configuration F at %i pixels has the published numbers of parameters', (size, g, d, halfG, halfD) => {
    const [full, half] = [configF(size), configF(size, 16384)];
    // Up to 32 pixels all tables are 512 channels wide, so that the half-width one differs above.
    expect(new Generator(full).parameterCount).toBe(g);
    expect(new Discriminator(full).parameterCount).toBe(d);
    expect(new Generator(half).parameterCount).toBe(halfG);
    expect(new Discriminator(half).parameterCount).toBe(halfD);
  });

  test.each([
    ['micro16', 14_902, 13_401],
    ['tiny32', 62_187, 54_889],
    ['small32', 279_107, 218_449],
    ['demo32', 362_675, 288_993],
    ['tiny64', 87_024, 74_409],
    ['small64', 285_008, 220_297],
    ['demo64', 377_928, 296_401],
    ['gpu64', 6_005_976, 4_727_617],
  ] as const)('%s', (name, g, d) => {
    expect(new Generator(presets[name]).parameterCount).toBe(g);
    expect(new Discriminator(presets[name]).parameterCount).toBe(d);
  });

  test.each([32, 64, 1024])('state dicts at %i pixels have 18 L - 9 and 7 L - 6 entries', size => {
    const levels = Math.log2(size);
    expect(new Generator(configF(size)).state().size).toBe(18 * levels - 9);
    expect(new Discriminator(configF(size)).state().size).toBe(7 * levels - 6);
  });

  test('parameters of parts at 1024 pixels', () => {
    const state = [...new Generator(configF(1024)).parameters()];
    const count = (part: RegExp) => state.filter(([key]) => part.test(key)).reduce((n, [, { size }]) => n + size, 0);
    expect(count(/^style/)).toBe(2_101_248);
    expect(count(/^input/)).toBe(8_192);
    expect(count(/^conv/)).toBe(26_691_953);
    expect(count(/^to_rgb/)).toBe(1_568_667);
    expect(count(/modulation/)).toBe(4_662_144);
  });

  test.each([
    [64, 23_602_185, 1_320_975, 3_677_184],
    [128, 25_766_155, 1_453_074, 4_202_496],
    [256, 26_405_773, 1_519_125, 4_465_152],
  ])('parameters of parts at %i pixels', (size, convs, toRgb, affines) => {
    const state = [...new Generator(configF(size)).parameters()];
    const count = (part: RegExp) => state.filter(([key]) => part.test(key)).reduce((n, [, { size }]) => n + size, 0);
    expect([count(/^conv/), count(/^to_rgb/), count(/modulation/)]).toEqual([convs, toRgb, affines]);
  });

  test.each([
    [64, 19_929_088],
    [128, 21_829_376],
    [256, 22_304_384],
    [1024, 22_452_768],
  ])('the discriminator at %i pixels: trunk, last convolution, dense layers', (size, trunk) => {
    const state = [...new Discriminator(configF(size)).parameters()];
    const count = (part: string) =>
      state.filter(([key]) => key.startsWith(part)).reduce((n, [, { size }]) => n + size, 0);
    expect(['convs', 'final_conv', 'final_linear'].map(count)).toEqual([trunk, 2_364_416, 4_195_329]);
  });

  test.each([
    [64, 4608, 2560],
    [256, 5760, 2944],
    [1024, 6048, 3040],
  ])('styles at %i pixels', (size, convs, toRgb) => {
    const state = [...new Generator(configF(size)).parameters()].filter(([key]) => key.endsWith('modulation.bias'));
    const count = (part: string) =>
      state.filter(([key]) => key.startsWith(part)).reduce((n, [, { size }]) => n + size, 0);
    expect([count('conv'), count('to_rgb')]).toEqual([convs, toRgb]);
  });

  test('a size or a table that cannot be built is refused', () => {
    expect(() => resolutions({ ...presets.tiny32, size: 24 })).toThrow(/size 24 is no power of two from 8 to 1024/);
    expect(() => resolutions({ ...presets.tiny32, size: 64 })).toThrow(/no number of channels .* resolution 64/);
    expect(() => new Generator({ ...presets.tiny32, size: 4 })).toThrow(/size 4/);
  });

  test('every tensor of an NVlabs discriminator has its place, and every place a tensor', () => {
    const network = new Discriminator(presets.tiny32);
    const blocks = [32, 16, 8].flatMap(r =>
      ['conv0.weight', 'conv0.bias', 'conv1.weight', 'conv1.bias', 'conv1.resample_filter', 'skip.weight'].map(
        part => `b${r}.${part}`,
      ),
    );
    const filters = [32, 16, 8].map(r => `b${r}.skip.resample_filter`);
    const ends = ['b32.fromrgb', 'b4.conv', 'b4.fc', 'b4.out'].flatMap(layer => [`${layer}.weight`, `${layer}.bias`]);
    const { key } = nvlabsDiscriminator(network);
    expect([...blocks, ...filters, ...ends].map(key).sort()).toEqual([...network.state().keys()].sort());
    const unused = ['b32.resample_filter', 'b32.conv0.resample_filter', 'b32.fromrgb.resample_filter'];
    expect([...unused, 'b4.conv.resample_filter'].map(key)).toEqual([undefined, undefined, undefined, undefined]);
    expect(key('b16.conv1.weight')).toBe('convs.2.conv2.1.weight');
  });
});

const gpu = useDevice();

/** Normal numbers of a shape, different for every name. */
function normal(name: string, shape: readonly number[]): Tensor {
  const step = gpu.device.tensor([0], [1], 'u32');
  return random(gpu.device, shape, 'normal', { seed: 1, stream: name, step });
}

/** A generator with noise that is seen: the strengths start at 0. */
function generator(config = presets.micro16): Generator {
  const network = new Generator(config);
  initialize(network, gpu.device, { seed: 3 });
  for (const [key, { value }] of network.parameters()) {
    if (key.endsWith('noise.weight')) gpu.device.write(value, [0.5]);
  }
  return network;
}

async function read(body: () => Tensor[]): Promise<Float32Array[]> {
  return Promise.all(gpu.device.scope('test', () => body().map(tensor => tensor.read())));
}

function distance(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i])), 0);
}

describe('generator', () => {
  test.each([
    [8, { 4: 6, 8: 5 }],
    [64, presets.tiny64.channels],
  ])('images of %i pixels', async (size, channels) => {
    const network = generator({ size, channels, wDim: 12, mappingLayers: 1 });
    const [image] = await read(() => [network.forward(network.mapping.forward(normal('z', [3, 12])))]);
    expect(image.length).toBe(3 * 3 * size * size);
    const deviation = Math.hypot(...image) / Math.sqrt(image.length);
    expect(deviation).toBeGreaterThan(0.1);
    expect(deviation).toBeLessThan(10);
    release(network);
  });

  test('W, W+ and style mixing agree where they mean the same', async () => {
    const network = generator();
    const n = network.latents;
    const [w, plus, first, second, mixed, joined, other] = await read(() => {
      const [a, b] = ['a', 'b'].map(name => network.mapping.forward(normal(name, [2, 32])));
      const mask = (crossover: number) => gpu.device.tensor(crossoverMask(n, crossover), [n, 1]);
      const rows = ops.concat([repeatLatent(a, 2), repeatLatent(b, n - 2)], 1);
      return [
        network.forward(a),
        network.forward(repeatLatent(a, n)),
        network.forward(mixStyles(a, b, mask(n))),
        network.forward(mixStyles(a, b, mask(0))),
        network.forward(mixStyles(a, b, mask(2))),
        network.forward(rows),
        network.forward(b),
      ];
    });
    expect(plus).toEqual(w);
    expect(first).toEqual(w);
    expect(second).toEqual(other);
    expect(mixed).toEqual(joined);
    expect(distance(mixed, w)).toBeGreaterThan(0.01);
    release(network);
  });

  test('a sample does not depend on its batch', async () => {
    const network = generator();
    const [batch, ...single] = await read(() => {
      const ws = normal('ws', [3, network.latents, 32]);
      return [network.forward(ws), ...[0, 1, 2].map(i => network.forward(ops.narrow(ws, 0, i, i + 1)))];
    });
    single.forEach((image, i) => {
      expect(distance(image, batch.slice(i * image.length, (i + 1) * image.length))).toBeLessThan(1e-5);
    });
    release(network);
  });

  test('noise: stored, none, fresh, given', async () => {
    const network = generator();
    const render = (noise?: Noise) => network.forward(normal('w', [2, 32]), { noise });
    const stored = [...network.state()].filter(([key]) => key.startsWith('noises.')).map(([, { value }]) => value);
    const fresh = (step: number, stream = 'G'): Noise => {
      return { fresh: { seed: 5, stream, step: gpu.device.tensor([step], [1], 'u32') } };
    };
    const [byDefault, kept, given, none, silent, one, same, next, otherStream] = await read(() => [
      render(),
      render('stored'),
      render(stored),
      render('none'),
      render(stored.map(map => ops.mul(map, 0))),
      render(fresh(1)),
      render(fresh(1)),
      render(fresh(2)),
      render(fresh(1, 'H')),
    ]);
    expect(kept).toEqual(byDefault);
    expect(given).toEqual(byDefault);
    expect(distance(none, silent)).toBeLessThan(1e-5);
    expect(same).toEqual(one);
    const all = [kept, none, one, next, otherStream];
    for (const [i, a] of all.entries()) {
      for (const b of all.slice(i + 1)) expect(distance(a, b)).toBeGreaterThan(0.01);
    }
    expect(() => render(stored.slice(1))).toThrow(/4 noise maps are given, 5 layers want one/);
    release(network);
  });

  test('fresh noise differs between the samples of a batch', async () => {
    const network = generator();
    const [images] = await read(() => {
      const w = ops.expand(normal('w', [1, 32]), [2, 32]);
      const step = gpu.device.tensor([0], [1], 'u32');
      return [network.forward(w, { noise: { fresh: { seed: 0, stream: 'G', step } } })];
    });
    expect(distance(images.slice(0, images.length / 2), images.slice(images.length / 2))).toBeGreaterThan(0.01);
    release(network);
  });

  test('latents of another model are refused', () => {
    const network = generator();
    gpu.device.scope('test', () => {
      expect(() => network.forward(normal('w', [2, 31]))).toThrow(/neither \[B, 32\] nor \[B, 6, 32\]/);
      expect(() => network.forward(normal('w', [2, 5, 32]))).toThrow(/neither/);
    });
    release(network);
  });

  test('images of several latents are the same without gradients', async () => {
    const network = generator();
    const [want, got] = await read(() => {
      const w = normal('w', [3, 32]);
      return [network.forward(ops.variable(w)), ops.noGrad(() => network.forward(w))];
    });
    expect(distance(got, want)).toBeLessThan(1e-4);
    release(network);
  });

  test('a frozen generator costs no gradient of a weight', async () => {
    const network = generator();
    /** The kernels that the gradients in the latents dispatch. */
    const kernels = () => {
      const dispatch = vi.spyOn(gpu.device, 'dispatch');
      gpu.device.scope('test', () => {
        const ws = ops.variable(normal('ws', [2, network.latents, 32]));
        const loss = ops.mean(ops.square(network.forward(ws)));
        ops.grad(loss, [ws]);
        const trained = [...network.parameters().values()].filter(({ trainable }) => trainable);
        ops.grad(
          loss,
          trained.map(({ value }) => value),
          { unused: 'none' },
        );
      });
      const names = dispatch.mock.calls.map(([kernel]) => kernel.name);
      dispatch.mockRestore();
      return names;
    };
    expect(kernels()).toContain('conv2d_weight_gradient');
    network.freeze();
    const frozen = kernels();
    expect(frozen).toContain('conv2d');
    expect(frozen).not.toContain('conv2d_weight_gradient');
    release(network);
  });
});

test('w at the start has a mean of 0.48 and a deviation of 1', async () => {
  const mapping = new Mapping(512, 8);
  initialize(mapping, gpu.device, { seed: 2 });
  const [w] = await read(() => [mapping.forward(normal('z', [64, 512]))]);
  const mean = w.reduce((a, b) => a + b, 0) / w.length;
  expect(mean).toBeGreaterThan(0.38);
  expect(mean).toBeLessThan(0.58);
  const deviation = Math.sqrt(w.reduce((a, b) => a + (b - mean) ** 2, 0) / w.length);
  expect(deviation).toBeGreaterThan(0.85);
  expect(deviation).toBeLessThan(1.15);
  release(mapping);
});

describe('truncation and the average latent', () => {
  test('w̄ + ψ (w - w̄), for the first rows only with a cutoff', async () => {
    const [w, all, none, some, uncut] = await read(() => {
      const latents = normal('w', [2, 6, 4]);
      const average = gpu.device.tensor([1, 2, 3, 4], [4]);
      return [
        latents,
        truncate(latents, average, { psi: 0.25 }),
        truncate(latents, average, { psi: 1 }),
        truncate(latents, average, { psi: 0.25, cutoff: 2 }),
        truncate(latents, average, { psi: 0.25, cutoff: 0 }),
      ];
    });
    expect(none).toEqual(w);
    expect(uncut).toEqual(w);
    w.forEach((value, i) => {
      const truncated = 0.25 * value + 0.75 * ((i % 4) + 1);
      expect(all[i]).toBeCloseTo(truncated, 5);
      expect(some[i]).toBeCloseTo(i % 24 < 8 ? truncated : value, 5);
    });
  });

  test('a cutoff of a W latent is refused', () => {
    const average = gpu.device.tensor([1, 2], [2]);
    expect(() => truncate(normal('w', [3, 2]), average, { psi: 0.5, cutoff: 1 })).toThrow(/cutoff is for W\+/);
  });

  test('the average follows the batch once the step is known to be finite', async () => {
    const average = new LatentAverage(3);
    initialize(average, gpu.device);
    discardEffects();
    const step = (gate: number) =>
      gpu.device.scope('step', () => {
        average.track(gpu.device.tensor([1, 2, 3, 5, 6, 7], [2, 3]));
        applyEffects(gpu.device.tensor([gate], [1], 'u32'));
      });
    step(1);
    expect([...(await average.value.value.read())]).toEqual([0, 0, 0]);
    step(0);
    const got = await average.value.value.read();
    [0.015, 0.02, 0.025].forEach((value, i) => {
      expect(got[i]).toBeCloseTo(value, 6);
    });
    release(average);
  });
});

describe('discriminator', () => {
  test('images of another size and batches without groups are refused', () => {
    const network = new Discriminator(presets.micro16);
    initialize(network, gpu.device);
    gpu.device.scope('test', () => {
      expect(() => network.forward(normal('x', [2, 3, 32, 32]))).toThrow(/is not \[N, 3, 16, 16\]/);
      expect(() => network.forward(normal('x', [6, 3, 16, 16]))).toThrow(/batch of 6 .* multiple of 4/);
    });
    release(network);
  });

  test.each([1, 2, 3])('a batch of %i is one group', async batch => {
    const network = new Discriminator(presets.micro16);
    initialize(network, gpu.device);
    const [logits] = await read(() => [network.forward(normal('x', [batch, 3, 16, 16]))]);
    expect(logits.length).toBe(batch);
    expect(logits.every(Number.isFinite)).toBe(true);
    release(network);
  });
});

describe('losses', () => {
  test('logistic and non-saturating', async () => {
    const [real, fake] = [
      [-2, 0, 3],
      [-1, 0.5, 200],
    ];
    const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
    const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
    const [d, g] = await read(() => {
      const logits = gpu.device.tensor(fake, [3, 1]);
      return [dLogistic(gpu.device.tensor(real, [3, 1]), logits), gNonSaturating(logits)];
    });
    expect(d[0]).toBeCloseTo(mean(real.map(x => softplus(-x))) + mean(fake.map(softplus)), 4);
    expect(g[0]).toBeCloseTo(mean(fake.map(x => softplus(-x))), 5);
  });

  test('the running mean of path lengths moves once the step is known to be finite', async () => {
    const network = generator();
    const average = gpu.device.keep(gpu.device.tensor([0.5], [1]));
    discardEffects();
    const run = (gate: number) =>
      read(() => {
        const ws = repeatLatent(network.mapping.forward(normal('z', [2, 32])), network.latents);
        const noise = normal('y', [2, 3, 16, 16]);
        const { mean } = pathLengthPenalty(latents => network.forward(latents), ws, noise, average);
        applyEffects(gpu.device.tensor([gate], [1], 'u32'));
        return [mean, average];
      });
    const [, held] = await run(1);
    expect(held[0]).toBe(0.5);
    const [mean, moved] = await run(0);
    expect(moved[0]).not.toBe(0.5);
    expect(moved[0]).toBeCloseTo(mean[0], 6);
    gpu.device.discard(average);
    release(network);
  });
});

describe('exponential moving average of weights', () => {
  class Pair extends Module {
    readonly weight = this.parameter('weight', [3], ones);
    readonly stored = this.buffer('stored', [2], zeros);
  }

  test('parameters move by the rate, buffers are copied, a step that is not finite moves nothing', async () => {
    const [average, source] = [new Pair(), new Pair()];
    initialize(average, gpu.device);
    initialize(source, gpu.device);
    gpu.device.write(source.weight.value, [3, 5, 9]);
    gpu.device.write(source.stored.value, [7, 8]);
    const update = (gate: number) =>
      gpu.device.scope('step', () => {
        updateEma(average, source, gpu.device.tensor([0.25], [1]), gpu.device.tensor([gate], [1], 'u32'));
      });
    update(1);
    expect([...(await average.weight.value.read())]).toEqual([1, 1, 1]);
    update(0);
    expect([...(await average.weight.value.read())]).toEqual([1.5, 2, 3]);
    expect([...(await average.stored.value.read())]).toEqual([7, 8]);
    copyState(average, source);
    expect([...(await average.weight.value.read())]).toEqual([3, 5, 9]);
    release(average);
    release(source);
  });

  test('the rate of a step', () => {
    expect(emaRate(0, { batch: 32, halfLife: 10 })).toBeCloseTo(1 - 0.997784, 6);
    expect(emaRate(0, { batch: 32, halfLife: 10, rampUp: 0.05 })).toBe(1);
    expect(emaRate(1000, { batch: 32, halfLife: 10, rampUp: 0.05 })).toBeCloseTo(1 - 0.5 ** (32 / 50), 12);
    expect(emaRate(1e6, { batch: 32, halfLife: 10, rampUp: 0.05 })).toBeCloseTo(1 - 0.5 ** (32 / 10000), 12);
  });
});
