/** The arithmetic of StyleGAN2: what the kernels of its passes say that they compute, beside what the networks need. */
import { describe, expect, test } from 'vitest';
import { discardEffects } from '../src/autograd/effects.ts';
import { noGrad } from '../src/autograd/index.ts';
import { initialize, type Module, release } from '../src/models/module.ts';
import { configF, presets, type StyleGan2Config } from '../src/models/stylegan2/config.ts';
import { Discriminator } from '../src/models/stylegan2/discriminator.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { full } from '../src/runtime/kernels/copy.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { assignOptions } from '../src/train/options.ts';
import { planTraining } from '../src/train/profile/plan.ts';
import { stylegan2 } from '../src/train/recipes/stylegan2.ts';
import { useDevice } from './device.ts';

const gpu = useDevice();

/** Multiply-accumulates of the products and convolutions that a network computes of an input of this shape. */
function macs<N extends Module>(network: N, shape: readonly number[], forward: (network: N, x: Tensor) => Tensor) {
  const { device } = gpu;
  initialize(network, device, { seed: 1 });
  const program = device.record('forward', () => noGrad(() => forward(network, full(device, shape, 1))));
  const flop = program.commands.map(command =>
    'kernel' in command && /^(conv|matmul)/.test(command.kernel.name) ? command.work!.flop : 0,
  );
  program.release();
  discardEffects();
  release(network);
  return flop.reduce((sum, n) => sum + n, 0) / 2;
}

const ofGenerator = (config: StyleGan2Config) =>
  macs(new Generator(config), [1, config.wDim], (g, z) => g.forward(g.mapping.forward(z)));

const ofDiscriminator = (config: StyleGan2Config) =>
  macs(new Discriminator(config), [1, 3, config.size, config.size], (d, images) => d.forward(images));

describe('multiply-accumulates of an image', () => {
  /** In millions. */
  test.each([
    ['micro16', presets.micro16, 0.46, 0.47],
    ['tiny32', presets.tiny32, 2.72, 2.78],
    ['small32', presets.small32, 10.8, 11.1],
    ['demo32', presets.demo32, 29.8, 30.5],
    ['tiny64', presets.tiny64, 11.1, 11.4],
    ['small64', presets.small64, 14.5, 14.8],
    ['demo64', presets.demo64, 44.2, 45.3],
    ['gpu64', presets.gpu64, 702, 722],
    ['configuration F at 32 pixels', configF(32), 4008, 4095],
    ['configuration F at 64 pixels', configF(64), 16_095, 16_448],
    ['configuration F at 128 pixels', configF(128), 30_604, 31_487],
    ['configuration F at 256 pixels', configF(256), 45_125, 46_532],
    ['configuration F at 1024 pixels', configF(1024), 74_267, 76_672],
    ['half of it at 64 pixels', configF(64, 16384), 7636, 7855],
    ['half of it at 128 pixels', configF(128, 16384), 11_266, 11_616],
    ['half of it at 256 pixels', configF(256, 16384), 14_903, 15_381],
    ['half of it at 1024 pixels', configF(1024, 16384), 22_226, 22_935],
  ])('%s', (_, config, g, d) => {
    // To the digits of the table.
    const inTable = (macs: number, expected: number) =>
      expected < 1 ? (macs / 1e6).toFixed(2) : expected < 1000 ? (macs / 1e6).toPrecision(3) : (macs / 1e6).toFixed(0);
    expect(Number(inTable(ofGenerator(config), g))).toBe(g);
    expect(Number(inTable(ofDiscriminator(config), d))).toBe(d);
  });
});

test('phases of a step, in those of an image: losses, and the regularisers’ second derivatives', async () => {
  const [size, batch] = [64, 8];
  const [g, d] = [ofGenerator(presets.small64), ofDiscriminator(presets.small64)];
  const options = assignOptions('stylegan2', stylegan2, [
    { key: 'size', value: `${size}`, where: 'the test' },
    { key: 'batch', value: `${batch}`, where: 'the test' },
  ]);
  const { phases } = await planTraining(gpu.device, await stylegan2.create({ device: gpu.device, options }));
  const perImage = (name: string, images = batch) => phases.find(phase => phase.name === name)!.flop / 2 / images;
  // Filters and activations come on top.
  for (const [found, needed] of [
    [perImage('D'), g + 6 * d],
    [perImage('G'), 3 * g + 2 * d],
    [perImage('R1'), 6 * d],
    [perImage('path length', batch / 2), 6 * g],
  ]) {
    expect(found / needed).toBeGreaterThan(1);
    expect(found / needed).toBeLessThan(1.12);
  }
});
