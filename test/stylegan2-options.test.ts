/** StyleGAN2's settings: the published configurations, and how they fit together with a size and a model. */
import { describe, expect, test } from 'vitest';
import { type Assignment, assignOptions } from '../src/train/options.ts';
import { augmentationOf, cutBatch, networkOf } from '../src/train/recipes/stylegan2/options.ts';
import { stylegan2 } from '../src/train/recipes/stylegan2.ts';
import type { Options } from '../src/train/training.ts';

function settings(given: Options): Options {
  const assignments = Object.entries(given).map(([key, value]): Assignment => ({ key, value, where: key }));
  return assignOptions('stylegan2', stylegan2, assignments);
}

describe('the configurations of NVlabs/stylegan2-ada-pytorch', () => {
  // batch, group, fmaps, lr, gamma, EMA kimg, ramp, mapping layers, kimg
  test.each([
    ['auto', 32, 32, 4, 0.5, 0.0025, 0.0064, 10, 0.05, 2, 25_000],
    ['auto', 64, 32, 4, 0.5, 0.0025, 0.0256, 10, 0.05, 2, 25_000],
    ['auto', 128, 32, 4, 0.5, 0.0025, 0.1024, 10, 0.05, 2, 25_000],
    ['auto', 256, 16, 4, 0.5, 0.0025, 0.8192, 5, 0.05, 2, 25_000],
    ['auto', 512, 8, 4, 1, 0.0025, 6.5536, 2.5, 0.05, 2, 25_000],
    ['auto', 1024, 4, 4, 1, 0.002, 52.4288, 1.25, 0.05, 2, 25_000],
    ['stylegan2', 1024, 32, 4, 1, 0.002, 10, 10, 0, 8, 25_000],
    ['paper256', 256, 64, 8, 0.5, 0.0025, 1, 20, 0, 8, 25_000],
    ['paper512', 512, 64, 8, 1, 0.0025, 0.5, 20, 0, 8, 25_000],
    ['paper1024', 1024, 32, 4, 1, 0.002, 2, 10, 0, 8, 25_000],
    ['cifar', 32, 64, 32, 1, 0.0025, 0.01, 500, 0.05, 2, 100_000],
  ])('%s at %i', (config, size, batch, group, fmaps, lr, gamma, emaKimg, emaRamp, layers, kimg) => {
    const options = settings({ config, size });
    expect(options).toMatchObject({ config, size, model: 'f', batch, mbstdGroup: group, fmaps, lr, emaKimg, emaRamp });
    expect(options.gamma).toBeCloseTo(gamma, 10);
    expect(options.mappingLayers).toBe(layers);
    expect(Number(options.steps) * batch).toBe(kimg * 1000);
    expect(options).toMatchObject({ r1Every: 16, pathLengthEvery: 4 });
    // Residual, with path length and mixing, but for CIFAR.
    const own = config === 'cifar' ? [0, 0, 'orig'] : [2, 0.9, 'resnet'];
    expect([options.pathLengthWeight, options.mixing, options.architecture]).toEqual(own);
    expect(options.checkpointing).toBe(size >= 256);
    const { channels, wDim, mappingLayers, ...network } = networkOf(options);
    expect({ wDim, mappingLayers }).toEqual({ wDim: 512, mappingLayers: layers });
    expect(network).toEqual({ size, architecture: options.architecture, mbstdGroup: group });
    for (let r = 4; r <= size; r *= 2) expect(channels[r]).toBe(Math.min((32768 * fmaps) / r, 512));
    // A micro-batch is what the reference gives one GPU.
    const gpus = { auto: 1, cifar: 2 }[config] ?? 8;
    expect(cutBatch(options)).toEqual({ microBatch: batch / gpus, rounds: gpus });
  });

  test('sizes where none is given', () => {
    const sizes = ['small', 'auto', 'stylegan2', 'paper256', 'paper512', 'paper1024', 'cifar'].map(
      config => settings({ config }).size,
    );
    expect(sizes).toEqual([32, 256, 1024, 256, 512, 1024, 32]);
  });

  test('what is given comes over them; micro-batches and steps follow the batch', () => {
    const options = settings({ config: 'paper256', batch: 16, gamma: 2, checkpointing: false });
    expect(options).toMatchObject({ batch: 16, microBatch: 8, gamma: 2, checkpointing: false, steps: 1_562_500 });
    expect(settings({ config: 'paper256', batch: 8 }).microBatch).toBe(null);
    expect(settings({ config: 'auto', size: 64, model: 'gpu64' })).toMatchObject({ fmaps: null, mappingLayers: null });
  });
});

describe('the configuration small, and models by name', () => {
  test('small32 is the default, as before there were configurations', () => {
    expect(settings({})).toEqual({ ...settings({ model: 'small32' }), config: 'small', size: 32 });
    expect(settings({ size: 64 }).model).toBe('small64');
    expect(settings({ model: 'demo64' })).toMatchObject({ size: 64, gamma: 1 });
    expect(settings({ size: 64, gamma: 0.5 })).toMatchObject({ model: 'small64', gamma: 0.5 });
    expect(settings({})).toMatchObject({ model: 'small32', gamma: 0.3 });
    expect(networkOf(settings({ model: 'f256' }))).toMatchObject({ size: 256, mappingLayers: 8 });
    expect(settings({ model: 'f256' }).checkpointing).toBe(true);
    expect(networkOf(settings({ model: 'f', size: 128 })).channels[128]).toBe(256);
  });

  test('what config.json says repeats a run, also one of before there were configurations', () => {
    const all: Options[] = [{}, { config: 'auto', size: 512 }, { config: 'cifar', batch: 32 }, { model: 'demo32' }];
    for (const given of all) {
      const options = settings(given);
      expect(settings(options)).toEqual(options);
    }
    const { data, model, steps, batch, lr, gamma, emaKimg, emaRamp, checkpointing } = settings({ model: 'small64' });
    const old = { data, model, steps, batch, lr, gamma, emaKimg, emaRamp, checkpointing };
    expect(settings(old)).toEqual(settings({ model: 'small64' }));
  });

  test('the published ones augment, small does not; a discriminator that is loaded is augmented sooner', () => {
    const own = { target: 0.6, batch: 8 };
    expect(augmentationOf(settings({}))).toEqual({ ...own, kimg: Number.POSITIVE_INFINITY });
    expect(augmentationOf(settings({ augment: 'ada' }))).toEqual({ ...own, kimg: 500 });
    expect(augmentationOf(settings({ config: 'auto', size: 512 }))).toEqual({ ...own, kimg: 500 });
    expect(augmentationOf(settings({ augment: 'ada', from: 'a.safetensors' }))).toEqual({ ...own, kimg: 100 });
    expect(() => augmentationOf(settings({ augment: 'bgc' }))).toThrow(
      /^augment: there is no 'bgc'; give ada or none$/,
    );
  });

  test('an average that is loaded needs no ramp', () => {
    expect(settings({ from: 'a.safetensors' }).emaRamp).toBe(0);
    expect(settings({ from: 'a.safetensors', config: 'auto' }).emaRamp).toBe(0);
  });
});

test.each([
  [{ config: 'huge' }, /^config: there is no 'huge'; there are small, auto, stylegan2, paper256/],
  [{ config: 'constructor' }, /^config: there is no 'constructor'/],
  [{ size: 48 }, /^StyleGAN2: size 48 is no power of two from 8 to 1024$/],
  [{ size: 48, config: 'auto' }, /^StyleGAN2: size 48 is no power of two/],
  [{ size: 2048, config: 'auto' }, /^StyleGAN2: size 2048 is no power of two from 8 to 1024$/],
  [{ size: 128 }, /^size: the configuration small has no network for 128 pixels; give --config auto$/],
  [{ size: 64, model: 'small32' }, /^size: the model small32 makes images of 32 pixels, not 64$/],
  [{ model: 'huge' }, /^model: there is no 'huge'; there are f, micro16/],
  [{ augmentKimg: 0 }, /^augmentKimg: 0 is not possible; give a number over 0$/],
  [{ microBatch: 0 }, /^microBatch: 0 is not possible; give a whole number from 1/],
  [{ r1Every: 0.5 }, /^r1Every: 0\.5 is not possible; give a whole number from 0 to/],
  [{ pathLengthEvery: -4 }, /^pathLengthEvery: -4 is not possible; give a whole number from 0 to/],
  [{ mbstdGroup: 1.5 }, /^mbstdGroup: 1\.5 is not possible; give a whole number from 1 to/],
  [{ mappingLayers: 0 }, /^mappingLayers: 0 is not possible; give a whole number from 1 to 64$/],
  [{ convClamp: 0 }, /^convClamp: 0 is not possible; give a number over 0$/],
  [{ fmaps: -1 }, /^fmaps: -1 is not possible; give a number over 0$/],
  [{ gamma: -10 }, /^gamma: -10 is not possible; give 0 or more$/],
  [{ pathLengthWeight: -2 }, /^pathLengthWeight: -2 is not possible; give 0 or more$/],
  [{ mixing: -0.9 }, /^mixing: -0\.9 is not possible; give 0 or more$/],
  [{ emaKimg: -1 }, /^emaKimg: -1 is not possible; give 0 or more$/],
  [{ emaRamp: -1 }, /^emaRamp: -1 is not possible; give 0 or more$/],
])('%o is refused in one line', (given, message) => {
  expect(() => settings(given as Options)).toThrow(message);
});

test('what may be left open or switched off is no mistake', () => {
  const off = { gamma: 0, r1Every: 0, pathLengthWeight: 0, pathLengthEvery: 0, mixing: 0, emaKimg: 0, emaRamp: 0 };
  expect(settings({ ...off, convClamp: null })).toMatchObject({ ...off, convClamp: null });
});

test.each([
  [{ batch: 6 }, /^--batch 6: the discriminator compares groups of 4; give a multiple$/],
  [{ batch: 16, microBatch: 6 }, /^--batch 16: cannot be cut into micro-batches of 6; give a multiple$/],
  [{ batch: 12, microBatch: 6 }, /^microBatch 6: the discriminator compares groups of 4; give a multiple$/],
])('%o: batches that cannot be cut', (given, message) => {
  expect(() => cutBatch(settings(given))).toThrow(message);
});

test('batches smaller than a group are one group', () => {
  for (const batch of [1, 2, 3]) expect(cutBatch(settings({ batch }))).toEqual({ microBatch: batch, rounds: 1 });
});

test('any fmaps gives whole numbers of channels, as NVlabs divide', () => {
  const { channels } = networkOf(settings({ config: 'auto', size: 64, fmaps: 0.3 }));
  expect(channels).toEqual({ 4: 512, 8: 512, 16: 512, 32: 307, 64: 153 });
});

test('a model of its own channels takes none by fmaps', () => {
  expect(() => networkOf(settings({ fmaps: 0.5 }))).toThrow(
    /^fmaps: the model small32 has its own; give --set model=f$/,
  );
});
