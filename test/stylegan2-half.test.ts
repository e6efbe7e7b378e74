/** StyleGAN2 with f16 activations beside itself in f32: values, gradients, penalties; and what keeps f16 in its range. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { withoutEffects } from '../src/autograd/effects.ts';
import * as ops from '../src/autograd/index.ts';
import { v } from '../src/cli/goldens/format.ts';
import { openFolder } from '../src/io/files.ts';
import { readStateFile } from '../src/models/foreign/read.ts';
import { initialize, type Module } from '../src/models/module.ts';
import { presets, type StyleGan2Config, typeAt } from '../src/models/stylegan2/config.ts';
import { Discriminator } from '../src/models/stylegan2/discriminator.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { findGenerator } from '../src/models/stylegan2/inference.ts';
import { repeatLatent } from '../src/models/stylegan2/latents.ts';
import { sizeOf } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { dLogisticReal, pathLengthPenalty, r1Penalty } from '../src/train/adversarial.ts';
import { latestModelPath } from '../src/train/checkpoint.ts';
import { assignOptions } from '../src/train/options.ts';
import { stylegan2 } from '../src/train/recipes/stylegan2.ts';
import type { Options } from '../src/train/training.ts';
import { useDevice } from './device.ts';
import { checkpointOf, logOf, temporaryFolder, trainRecipe } from './runs.ts';

// Some seconds each, minutes where the cores are busy with other work.
vi.setConfig({ testTimeout: 600_000 });

const gpu = useDevice();
const config: StyleGan2Config = {
  size: 16,
  channels: { 4: 6, 8: 5, 16: 4 },
  wDim: 7,
  mappingLayers: 2,
  convClamp: 256,
};
const half: StyleGan2Config = { ...config, halfResolutions: 4 };

const filled = (shape: readonly number[], seed: number) =>
  gpu.device.tensor(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => v(i, seed)),
    shape,
  );

function made<T extends Module>(module: T): T {
  initialize(module, gpu.device, { seed: 1 });
  return module;
}

async function read(body: () => readonly Tensor[]): Promise<Float32Array[]> {
  return Promise.all(gpu.device.scope('test', () => body().map(tensor => tensor.read())));
}

/** ‖found - expected‖ / ‖expected‖ */
function distance(found: Float32Array, expected: Float32Array): number {
  const norm = (values: Iterable<number>) => Math.sqrt([...values].reduce((sum, value) => sum + value ** 2, 0));
  return norm(found.map((value, i) => value - expected[i])) / norm(expected);
}

const joined = (all: readonly Float32Array[]) => Float32Array.from(all.flatMap(values => [...values]));
const largest = (values: Float32Array) => Math.max(...values.map(Math.abs));

test('the highest resolutions, but not 4, are f16', () => {
  const of = (size: number, halfResolutions?: number) => {
    const all = Array.from({ length: Math.log2(size) - 1 }, (_, i) => 4 << i);
    return all.filter(r => typeAt(r, { ...presets.f1024, size, halfResolutions }) === 'f16');
  };
  expect(of(1024, 4)).toEqual([128, 256, 512, 1024]);
  expect(of(256, 4)).toEqual([32, 64, 128, 256]);
  expect(of(32, 4)).toEqual([8, 16, 32]);
  expect(of(64, 1)).toEqual([64]);
  expect(of(64)).toEqual([]);
});

describe('as in f32, within the precision of f16', () => {
  test('the generator: images, gradients, and the path length penalty with its gradients', async () => {
    const results = [config, half].map(own =>
      read(() => {
        const network = made(new Generator(own));
        const variables = [...network.parameters().values()].map(({ value }) => value);
        const w = () => repeatLatent(network.mapping.forward(filled([2, 7], 3)), network.latents);
        const images = network.forward(w());
        const first = ops.grad(ops.sum(ops.mul(images, filled(images.shape, 4))), variables);
        const average = gpu.device.tensor([0.5], [1]);
        const noise = filled(images.shape, 5);
        const { penalty, lengths } = withoutEffects(() =>
          pathLengthPenalty(x => network.forward(x), w(), noise, average),
        );
        return [images, lengths, ...first, ...ops.grad(penalty, variables, { unused: 'zero' })];
      }),
    );
    await expectNear(results);
  });

  test.each(['resnet', 'skip'] as const)(
    'the discriminator (%s): logits, gradients, R1 and its gradients',
    async kind => {
      const results = [config, half].map(own =>
        read(() => {
          const network = made(new Discriminator({ ...own, architecture: kind }));
          const variables = [...network.parameters().values()].map(({ value }) => value);
          const images = filled([4, 3, 16, 16], 2);
          const logits = network.forward(images);
          const first = ops.grad(dLogisticReal(logits), variables);
          const { penalty } = r1Penalty(x => network.forward(x), images);
          return [logits, penalty, ...first, ...ops.grad(penalty, variables, { unused: 'zero' })];
        }),
      );
      await expectNear(results);
    },
  );

  /** Of all results and of each, since that of some biases is nearly 0: what is left of terms that cancel. */
  async function expectNear(results: readonly Promise<Float32Array[]>[]): Promise<void> {
    const [expected, found] = await Promise.all(results);
    for (const [i, values] of found.entries()) {
      if (largest(expected[i]) > 0) expect(distance(values, expected[i]), `result ${i}`).toBeLessThan(0.05);
    }
    const whole = distance(joined(found), joined(expected));
    expect(whole).toBeLessThan(0.005);
    expect(whole).toBeGreaterThan(1e-5); // it was in f16
  }
});

test('gradient checkpointing gives the gradients of f16 bit for bit', async () => {
  const [plain, again] = await Promise.all(
    [false, true].map(checkpointing =>
      read(() => {
        const network = made(new Generator(half, { checkpointing }));
        const variables = [...network.parameters().values()].map(({ value }) => value);
        const images = network.forward(network.mapping.forward(filled([2, 7], 3)));
        return ops.grad(ops.sum(ops.square(images)), variables);
      }),
    ),
  );
  expect(again).toEqual(plain);
});

test('large weights and styles overflow nothing: demodulation cancels them before', async () => {
  const [[expected], [found]] = await Promise.all(
    [config, half].map(own =>
      read(() => {
        const network = made(new Generator(own));
        const parameters = network.parameters();
        for (const [key, scale] of [
          ['convs.0.conv.weight', 300],
          ['convs.0.conv.modulation.bias', 5000],
        ] as const) {
          const { value, size } = parameters.get(key)!;
          gpu.device.write(
            value,
            Float32Array.from({ length: size }, (_, i) => scale * (1 + v(i, 7))),
          );
        }
        return [network.forward(network.mapping.forward(filled([2, 7], 3)), { noise: 'none' })];
      }),
    ),
  );
  expect(found.every(Number.isFinite)).toBe(true);
  expect(distance(found, expected)).toBeLessThan(0.01);
  // Without it the products of these weights and styles are out of range.
  const [product] = await read(() => {
    const x = ops.cast(gpu.device.tensor([5000], [1, 1, 1, 1]), 'f16');
    const weight = ops.cast(gpu.device.tensor([300], [1, 1, 1, 1]), 'f16');
    return [ops.cast(ops.conv2d(x, weight), 'f32')];
  });
  expect(Number.isFinite(product[0])).toBe(false);
});

test('values over the limit become the limit', async () => {
  const [found] = await read(() => {
    const network = made(new Discriminator(half));
    const { value, size } = network.parameters().get('convs.1.conv1.0.weight')!;
    gpu.device.write(value, new Float32Array(size).fill(1e4));
    let output: Tensor | undefined;
    const layer = [...network.modules()].find(([name]) => name === 'convs.1.conv1')![1] as Module & {
      forward(...args: Tensor[]): Tensor;
    };
    const { forward } = layer;
    layer.forward = (...args) => {
      output = forward.apply(layer, args);
      return output;
    };
    const logits = network.forward(gpu.device.tensor(new Float32Array(4 * 768).fill(1), [4, 3, 16, 16]));
    expect(output!.dtype).toBe('f16');
    return [ops.concat([ops.reshape(ops.cast(output!, 'f32'), [-1]), ops.reshape(logits, [-1])], 0)];
  });
  expect(found.every(Number.isFinite)).toBe(true);
  expect(largest(found.slice(0, -4))).toBe(256);
});

describe('a training', () => {
  const root = temporaryFolder();
  const small = { model: 'micro16', batch: 4, steps: 4, sampleEvery: 0, saveEvery: 2, r1Every: 2, pathLengthEvery: 2 };
  const optionsOf = (given: Options) =>
    assignOptions(
      'stylegan2',
      stylegan2,
      Object.entries({ ...small, ...given }).map(([key, value]) => ({ key, value, where: key })),
    );
  const run = (name: string, stopAt?: number) =>
    trainRecipe({
      device: gpu.device,
      recipe: stylegan2,
      options: { ...small, precision: 'f16' },
      path: join(root, name),
      stopAt,
    });

  test('is finite in every phase, and goes on bit for bit', async () => {
    await run('whole');
    await run('resumed', 2);
    await run('resumed');
    const log = logOf(join(root, 'whole'));
    expect(log.map(({ step, finite }) => [step, finite])).toEqual([1, 2, 3, 4].map(step => [step, true]));
    expect(logOf(join(root, 'resumed'))).toEqual(log);
    expect(checkpointOf(join(root, 'resumed'))).toEqual(checkpointOf(join(root, 'whole')));
  });

  test('limits activations, which its checkpoints say', async () => {
    expect(optionsOf({ precision: 'f16' })).toMatchObject({ precision: 'f16', convClamp: 256 });
    expect(optionsOf({})).toMatchObject({ precision: 'f32', convClamp: null });
    // As a run in f16 does that goes on in f32: config.json has both settings.
    expect(optionsOf({ convClamp: 256, precision: 'f32' })).toMatchObject({ convClamp: 256 });
    const source = (await latestModelPath(await openFolder(join(root, 'whole', 'checkpoints'))))!;
    const found = await readStateFile(source);
    expect(found.metadata).toEqual({
      'generator/conv_clamp': '256',
      'average/conv_clamp': '256',
      'discriminator/conv_clamp': '256',
    });
    expect(findGenerator(found.tensors, { source, metadata: found.metadata }).config.convClamp).toBe(256);
  });

  test('starts another, which must limit them too', async () => {
    writeFileSync(join(root, 'whole', 'config.json'), '{}');
    const start = (options: Options) =>
      stylegan2.create({ device: gpu.device, options: optionsOf({ from: join(root, 'whole'), ...options }) });
    await expect(start({})).rejects.toThrow(
      /its layers are limited to ±256, which is a part of them; give --set convClamp=256$/,
    );
    await start({ convClamp: 256 });
  });

  test('computes in f16 what is trained, and the average, of which metrics and samples are, in f32', async () => {
    const { modules } = await stylegan2.create({ device: gpu.device, options: optionsOf({ precision: 'f16' }) });
    const { generator, average, discriminator } = modules as Record<string, Generator | Discriminator>;
    const halfResolutions = [generator, discriminator, average].map(({ config }) => config.halfResolutions);
    expect(halfResolutions).toEqual([4, 4, undefined]);
  });

  test('of another precision is refused', async () => {
    const options = optionsOf({ precision: 'bf16' });
    await expect(stylegan2.create({ device: gpu.device, options })).rejects.toThrow(
      '--precision bf16: give f32 or f16',
    );
  });

  test('without a limit is refused, as where a run in f32 is to go on in f16', async () => {
    const options = optionsOf({ precision: 'f16', convClamp: null });
    await expect(stylegan2.create({ device: gpu.device, options })).rejects.toThrow(
      /^--precision f16: layers without a limit leave its range; give --set convClamp=256$/,
    );
  });

  describe('on an adapter without f16', () => {
    const plain = useDevice({ limits: 'default' });

    test('is in f32, of the same networks, and says so once', async () => {
      const messages: string[] = [];
      const { modules } = await stylegan2.create({
        device: plain.device,
        options: optionsOf({ precision: 'f16' }),
        message: text => messages.push(text),
      });
      expect(messages).toEqual([`${plain.device.adapter.name} has no shader-f16: the training is in f32`]);
      expect((modules.generator as Generator).config).toMatchObject({ convClamp: 256, halfResolutions: 0 });
    });
  });
});
