/** The generators, discriminators and parsing networks of weights/: `npm run gates` measures them on more images. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as measure from '../scripts/gateMeasures.ts';
import { readNetwork } from '../scripts/networks.ts';
import * as ops from '../src/autograd/index.ts';
import { LpipsLike } from '../src/models/lpips.ts';
import { initialize } from '../src/models/module.ts';
import { ParsingUNet } from '../src/models/parsing.ts';
import { presets } from '../src/models/stylegan2/config.ts';
import { Discriminator } from '../src/models/stylegan2/discriminator.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { useDevice } from './device.ts';

const use = useDevice();
const folder = join(import.meta.dirname, '..', 'weights');
const COUNT = 100;

test.each([
  [32, presets.small32],
  [64, presets.small64],
] as const)('generator-%i makes faces, and its discriminator tells them from noise', async (size, config) => {
  const { device } = use;
  const trunk = readNetwork(device, new LpipsLike(), { folder, file: 'perceptual-32' });
  const generator = readNetwork(device, new Generator(config), { folder, file: `generator-${size}`, prefix: 'g_ema.' });
  const discriminator = readNetwork(device, new Discriminator(config), { folder, file: `discriminator-${size}` });
  const untrained = new Generator(config);
  initialize(untrained, device, { seed: 1 });
  const images = {
    faces: measure.realImages(device, { size }),
    samples: measure.samplesOf(device, generator),
    noise: measure.samplesOf(device, untrained),
  };
  const features = (of: measure.Images) => measure.features(device, trunk, of, COUNT);
  const faces = await features(images.faces);
  const kid = async (of: measure.Images) => (await measure.distances(device, await features(of), faces)).kid;
  expect(await kid(images.samples)).toBeLessThan((await kid(images.noise)) / 10);

  const logit = async (of: measure.Images) => {
    const [mean] = await device.scope('logits', () =>
      ops.noGrad(() => ops.mean(discriminator.forward(of(0, 40))).read()),
    );
    return mean;
  };
  const [ofFaces, ofSamples, ofNoise] = await Promise.all(Object.values(images).map(logit));
  expect(Math.min(ofFaces, ofSamples)).toBeGreaterThan(ofNoise + 1);
});

test.each([32, 64])('parsing-%i marks the parts of unseen faces', async size => {
  const { device } = use;
  const parser = readNetwork(device, new ParsingUNet({ featureScale: 8 }), { folder, file: `parsing-${size}` });
  const some = { count: COUNT, size };
  const found = await measure.parsedMaps(device, parser, measure.realImages(device, { size }), some);
  expect(measure.parsingScore(found, await measure.exactMaps(device, some)).mean).toBeGreaterThan(0.7);
});
