/** What StyleGAN2's recipe has beside its losses: gradient accumulation, Freeze-D, transfer learning; and the networks' variants. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { defer } from '../src/autograd/effects.ts';
import * as ops from '../src/autograd/index.ts';
import { v } from '../src/cli/goldens/format.ts';
import { readSafetensors, type SafetensorsSource, writeSafetensors } from '../src/io/safetensors.ts';
import { foreignState, readForeign } from '../src/models/foreign/read.ts';
import { initialize, Module, readStateDict, zeros } from '../src/models/module.ts';
import type { StyleGan2Config } from '../src/models/stylegan2/config.ts';
import { Discriminator } from '../src/models/stylegan2/discriminator.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { inferConfig } from '../src/models/stylegan2/inference.ts';
import { LatentAverage, repeatLatent } from '../src/models/stylegan2/latents.ts';
import { nvlabsDiscriminator } from '../src/models/stylegan2/names.ts';
import { updateRunningAverage } from '../src/runtime/kernels/runningAverage.ts';
import { sizeOf } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import type { AdaptiveAugmentation } from '../src/train/ada/heuristic.ts';
import { dLogisticReal, r1Penalty } from '../src/train/adversarial.ts';
import { Adam } from '../src/train/optimizers.ts';
import { assignOptions } from '../src/train/options.ts';
import type { ImageSource } from '../src/train/recipes/common.ts';
import { MicroBatches, type PhaseResult } from '../src/train/recipes/stylegan2/microBatches.ts';
import { loadStart } from '../src/train/recipes/stylegan2/start.ts';
import { stylegan2 } from '../src/train/recipes/stylegan2.ts';
import { StepWords } from '../src/train/ring.ts';
import type { Options, Training } from '../src/train/training.ts';
import { useDevice } from './device.ts';
import { logOf, temporaryFolder, trainRecipe } from './runs.ts';

// Some seconds each, minutes where the cores are busy with other work.
vi.setConfig({ testTimeout: 600_000 });

const gpu = useDevice();
const root = temporaryFolder();
const config: StyleGan2Config = { size: 8, channels: { 4: 4, 8: 3 }, wDim: 5, mappingLayers: 2 };

/** A network of one parameter, 0. */
class OneParameter extends Module {
  readonly value = this.parameter('value', [1], zeros);
}

const filled = (shape: readonly number[], seed: number) =>
  gpu.device.tensor(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => v(i, seed)),
    shape,
  );

function at<T extends Module>(module: Module, path: string): T {
  return [...module.modules()].find(([name]) => name === path)![1] as T;
}

/** What a part of a network was given and gave. */
function recorded(network: Module, path: string): { readonly input: Tensor; readonly output: Tensor }[] {
  const calls: { input: Tensor; output: Tensor }[] = [];
  const module = at<Module & { forward(...args: Tensor[]): Tensor }>(network, path);
  const { forward } = module;
  module.forward = (...args) => {
    const output = forward.apply(module, args);
    calls.push({ input: args[0], output });
    return output;
  };
  return calls;
}

async function read(body: () => Tensor[]): Promise<Float32Array[]> {
  return Promise.all(gpu.device.scope('test', () => body().map(tensor => tensor.read())));
}

function expectClose(got: ArrayLike<number>, want: ArrayLike<number>, tolerance = 1e-5): void {
  expect(got.length).toBe(want.length);
  const scale = Math.max(...Array.from(want, Math.abs));
  const worst = Math.max(...Array.from(want, (value, i) => Math.abs(value - got[i])));
  expect(worst).toBeLessThanOrEqual(tolerance * scale);
}

describe('gradient accumulation', () => {
  const IMAGES = 8;

  /** Makes a step of one phase, which computes each of the batches in a round: its losses, and the step's gate. */
  function runPhase(
    microBatches: MicroBatches,
    optimizer: Adam,
    batches: readonly Tensor[],
    compute: (batch: Tensor) => PhaseResult,
  ) {
    const { device } = gpu;
    const [words, current] = [new StepWords(device), device.keep(device.empty(batches[0].shape))];
    const images = (round: number) => {
      device.copy(batches[round], current);
      return current;
    };
    const phase = <T>(name: string, body: () => T): T => device.scope(name, body);
    microBatches.prepare(1);
    words.begin(1);
    const only = { name: 'phase', optimizer, losses: ['loss'], images, compute: (own?: Tensor) => compute(own!) };
    return { losses: microBatches.run(only, { step: 1, ...words, phase }), gate: words.gate };
  }

  /** The loss and gradients of 8 images in rounds of the given ones. */
  async function accumulated(mbstdGroup: number, rounds: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const { device } = gpu;
    const network = new Discriminator({ ...config, mbstdGroup });
    initialize(network, device, { seed: 3 });
    const optimizer = new Adam(network);
    const microBatches = new MicroBatches(device, rounds.length, device.keep(device.tensor([0], [1])));
    const all = Float32Array.from({ length: IMAGES * 192 }, (_, i) => v(i, 5));
    const values = rounds.map(indices => indices.flatMap(i => [...all.subarray(i * 192, (i + 1) * 192)]));
    const batches = values.map((own, k) => device.keep(device.tensor(own, [rounds[k].length, 3, 8, 8])));
    return read(() => {
      const { loss } = runPhase(microBatches, optimizer, batches, images => {
        const loss = dLogisticReal(network.forward(images));
        return { loss, gradients: ops.grad(loss, optimizer.variables), logged: [loss] };
      }).losses;
      return [loss, ...optimizer.gradients];
    });
  }

  test('in rounds it is that of the whole batch, where images have no part in one another', async () => {
    const whole = await accumulated(1, [[0, 1, 2, 3, 4, 5, 6, 7]]);
    expect(Math.hypot(...whole[1])).toBeGreaterThan(0.1);
    const pairs = [[0, 1], [2, 3], [4, 5], [6, 7]]; // biome-ignore format: as they come
    for (const rounds of [
      [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
      ],
      pairs,
    ]) {
      // biome-ignore format: as they come
      const got = await accumulated(1, rounds);
      for (const [i, want] of whole.entries()) expectClose(got[i], want);
    }
  });

  test('groups of the minibatch deviation are those of the micro-batch', async () => {
    // Group m of n in a batch is m, m + n, m + 2n, …
    const whole = await accumulated(4, [[0, 1, 2, 3, 4, 5, 6, 7]]);
    const same = await accumulated(4, [[0, 2, 4, 6], [1, 3, 5, 7]]); // biome-ignore format: as they come
    for (const [i, want] of whole.entries()) expectClose(same[i], want);
    const others = await accumulated(4, [[0, 1, 2, 3], [4, 5, 6, 7]]); // biome-ignore format: as they come
    const distance = Math.hypot(...others[1].map((value, i) => value - whole[1][i]));
    expect(distance).toBeGreaterThan(1e-4 * Math.hypot(...whole[1]));
  });

  /**
   * A step in rounds of these losses and gradients, in each of which a running value is to become the loss: that value,
   * the step's gate, and how far the one parameter has moved.
   */
  async function stepOf(rounds: readonly (readonly [loss: number, gradient: number])[], half: boolean) {
    const { device } = gpu;
    const network = new OneParameter();
    initialize(network, device);
    const optimizer = new Adam(network);
    const microBatches = new MicroBatches(device, rounds.length, device.keep(device.tensor([0.1], [1])), half);
    const each = rounds.map(round => device.keep(device.tensor(round, [2])));
    const [value, rate] = [0, 1].map(own => device.keep(device.tensor([own], [1])));
    const step = device.scope('step', () =>
      runPhase(microBatches, optimizer, each, own => {
        const [loss, gradient] = ops.split(own, [1, 1], 0);
        defer([loss], gate => updateRunningAverage(value, loss, rate, gate));
        return { loss, gradients: [gradient], logged: [loss] };
      }),
    );
    const [[gate], seen] = [await device.readU32(step.gate), await value.item()];
    return { gate, seen, moved: await optimizer.variables[0].item() };
  }

  const [NAN, INFINITE] = [Number.NaN, Number.POSITIVE_INFINITY];
  // biome-ignore format: a line each
  test.each([
    ['finite', [[1, 1], [2, 1]], false, { gate: 0, seen: 2, moves: true }],
    ['a loss is NaN', [[1, 1], [NAN, 1]], false, { gate: 1, seen: 1, moves: false }],
    ['a loss is infinite', [[INFINITE, 1], [2, 1]], false, { gate: 1, seen: 0, moves: false }],
    ['a gradient is NaN', [[1, 1], [2, NAN]], false, { gate: 1, seen: 1, moves: false }],
    ['one round, a gradient is infinite', [[1, INFINITE]], false, { gate: 1, seen: 0, moves: false }],
    ['f16, a gradient is infinite', [[1, 1], [2, INFINITE]], true, { gate: 0, seen: 2, moves: true }],
    ['f16, one round, a gradient is infinite', [[1, INFINITE]], true, { gate: 0, seen: 1, moves: true }],
    ['f16, a loss is infinite', [[1, 1], [INFINITE, 1]], true, { gate: 1, seen: 1, moves: false }],
  ] as const)('%s: the step and its side effects', async (_, rounds, half, { moves, ...expected }) => {
    const { moved, ...found } = await stepOf(rounds, half);
    expect(found).toEqual(expected);
    expect(moved).toBeCloseTo(moves ? -0.1 : 0, 5);
  });

  test('a training in rounds starts with the losses of other random numbers in each, and resumes bit for bit', async () => {
    const options = { model: 'micro16', batch: 8, microBatch: 4, steps: 10, sampleEvery: 0 };
    const run = (name: string, stopAt?: number) =>
      trainRecipe({ device: gpu.device, recipe: stylegan2, options, path: join(root, name), stopAt });
    await run('whole');
    await run('pieces', 8);
    await run('pieces');
    const log = logOf(join(root, 'whole'));
    expect(logOf(join(root, 'pieces'))).toEqual(log);
    expect(log.every(({ finite, images, step }) => finite && images === 8 * step)).toBe(true);
    // At the beginning near ln 4 and ln 2, as section 8 of the paper's losses say of logits near 0.
    expect(log[0].losses.discriminator).toBeGreaterThan(1);
    expect(log[0].losses.discriminator).toBeLessThan(2);
    expect(log[0].losses.pathLength).toBeGreaterThan(0);
    expect(log[0].losses.r1).toBeGreaterThan(0);
  });
});

describe('lazy regularisation', () => {
  const run = (name: string, options: Options) =>
    trainRecipe({
      device: gpu.device,
      recipe: stylegan2,
      options: { model: 'micro16', batch: 4, sampleEvery: 0, ...options },
      path: join(root, name),
    });

  test('penalties come in the first step and every so many behind it', async () => {
    await run('lazy', { steps: 8, r1Every: 3, pathLengthEvery: 4 });
    const log = logOf(join(root, 'lazy'));
    const stepsOf = (loss: string) => log.filter(({ losses }) => loss in losses).map(({ step }) => step);
    expect(stepsOf('r1')).toEqual([1, 4, 7]);
    expect(stepsOf('pathLengthPenalty')).toEqual([1, 5]);
    expect(stepsOf('pathLength')).toEqual([1, 5]);
    expect(stepsOf('generator')).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('weighs them by their interval, R1 by gamma / 2', async () => {
    // Adam's first moment, of β₁ = 0, is the last gradient of a step: the penalty's. Nothing moves at this rate.
    const lastGradients = async (options: Options) => {
      const { training } = await run(`weights-${Object.values(options)}`, { steps: 1, lr: 1e-30, ...options });
      const of = async (name: string) => {
        const state = await (training.optimizers[name] as Adam).state();
        return [...state].filter(([key]) => key.startsWith('m.')).flatMap(([, { data }]) => [...data]);
      };
      return { training, discriminator: await of('discriminator'), generator: await of('generator') };
    };
    const one = await lastGradients({ gamma: 3, r1Every: 5, pathLengthWeight: 2, pathLengthEvery: 3 });
    const other = await lastGradients({ gamma: 2, r1Every: 4, pathLengthWeight: 5, pathLengthEvery: 6 });
    const scaled = (values: readonly number[], factor: number) => values.map(value => factor * value);
    expect(Math.hypot(...one.discriminator)).toBeGreaterThan(0);
    expect(Math.hypot(...one.generator)).toBeGreaterThan(0);
    expectClose(scaled(one.discriminator, 8 / 15), other.discriminator, 1e-5);
    expectClose(scaled(one.generator, 30 / 6), other.generator, 1e-5);
    const { modules, parts } = one.training;
    const network = modules.discriminator as Discriminator;
    const gradients = await read(() => {
      const { penalty } = r1Penalty(x => network.forward(x), (parts!.data as ImageSource).images());
      const variables = [...network.parameters().values()].map(({ value }) => value);
      return ops.grad(penalty, variables, { unused: 'zero' });
    });
    expectClose(
      one.discriminator,
      gradients.flatMap(gradient => scaled([...gradient], (3 / 2) * 5)),
      1e-5,
    );
  });
});

test('the discriminator sees nothing that is not augmented, each by draws of its own; without ada nothing is', async () => {
  const seen = async (augment: string) => {
    const streams: string[] = [];
    const [augmented, given] = [new Set<Tensor>(), new Set<Tensor>()];
    await trainRecipe({
      device: gpu.device,
      recipe: stylegan2,
      options: { model: 'micro16', batch: 4, steps: 1, sampleEvery: 0, augment },
      path: join(root, `sees-${augment}`),
      onStep(_, { modules }) {
        const { pipe } = modules.ada as AdaptiveAugmentation;
        const discriminator = modules.discriminator as Discriminator;
        const { forward } = pipe;
        pipe.forward = (images, source) => {
          const output = forward.call(pipe, images, source);
          streams.push(source.stream);
          augmented.add(output);
          return output;
        };
        const { forward: judge } = discriminator;
        discriminator.forward = images => {
          given.add(images);
          return judge.call(discriminator, images);
        };
      },
    });
    return { streams, augmented, given };
  };
  const [ada, none] = [await seen('ada'), await seen('none')];
  expect(ada.streams).toEqual(['real', 'fake', 'R1', 'G'].map(phase => `${phase} augmentation`));
  expect(ada.given.size).toBe(4);
  expect([...ada.given].every(images => ada.augmented.has(images))).toBe(true);
  expect([none.streams.length, none.given.size]).toEqual([0, 4]);
});

describe('architectures of the discriminator', () => {
  const images = () => filled([4, 3, 16, 16], 2);
  const wide: StyleGan2Config = { size: 16, channels: { 4: 5, 8: 4, 16: 3 }, wDim: 4, mappingLayers: 2 };
  const built = (architecture: StyleGan2Config['architecture']) => {
    const network = new Discriminator({ ...wide, architecture });
    initialize(network, gpu.device, { seed: 1 });
    return network;
  };
  const clear = (network: Module, pattern: RegExp) => {
    for (const [key, { value, size }] of network.parameters()) {
      if (pattern.test(key)) gpu.device.write(value, new Float32Array(size));
    }
  };
  const copy = (source: Module, target: Module) => {
    for (const [key, { value }] of target.state()) {
      const found = source.state().get(key);
      if (found) gpu.device.copy(found.value, value);
    }
  };

  test('orig has residual blocks without skip branches, and their gain', async () => {
    const [resnet, orig] = [built('resnet'), built('orig')];
    expect([...orig.state().keys()]).toEqual([...resnet.state().keys()].filter(key => !key.includes('.skip.')));
    clear(resnet, /\.skip\./);
    copy(resnet, orig);
    // Without biases the network is homogeneous: two blocks without √½ make logits twice as large.
    const [a, b] = await read(() => [resnet.forward(images()), orig.forward(images())]);
    expect(Math.hypot(...a)).toBeGreaterThan(0.01);
    expectClose(
      b,
      a.map(logit => 2 * logit),
      1e-4,
    );
  });

  test('skip sees the image at every resolution', async () => {
    const [orig, skip] = [built('orig'), built('skip')];
    const own = [...skip.parameters().keys()].filter(key => !orig.parameters().has(key));
    expect(own).toEqual([0, 1].flatMap(i => [`from_rgbs.${i}.0.weight`, `from_rgbs.${i}.1.bias`]));
    expect(skip.state().size).toBe(orig.state().size + 4);
    const { key } = nvlabsDiscriminator(skip);
    expect(['b16.fromrgb.bias', 'b8.fromrgb.weight', 'b4.fromrgb.bias'].map(key)).toEqual([
      'convs.0.1.bias',
      'from_rgbs.0.0.weight',
      'from_rgbs.1.1.bias',
    ]);
    expect(skip.parameters().get('from_rgbs.0.0.weight')!.shape).toEqual([4, 3, 1, 1]);
    const last = await skip.state().get('from_rgbs.1.0.weight')!.value.read();
    // Where the blocks give nothing, the last layers get the image at 4 pixels through the last to-features layer.
    copy(skip, orig);
    clear(skip, /conv2/);
    const calls = recorded(skip, 'final_conv');
    const got = await read(() => {
      skip.forward(images());
      const filter = skip.state().get('convs.1.conv2.0.kernel')!.value;
      const half = (x: Tensor) => ops.upfirdn2d(x, filter, { down: 2, pad: [1, 1] });
      const small = half(half(images()));
      const weight = gpu.device.tensor(
        last.map(w => w / Math.sqrt(3)),
        [5, 3, 1, 1],
      );
      const want = ops.leakyRelu(ops.conv2d(small, weight), { slope: 0.2, gain: Math.SQRT2 });
      return [ops.narrow(calls[0].input, 1, 0, 5), want];
    });
    expectClose(got[0], got[1]);
    // And without those layers it is orig.
    const plain = built('skip');
    copy(orig, plain);
    clear(plain, /from_rgbs/);
    const [a, b] = await read(() => [orig.forward(images()), plain.forward(images())]);
    expectClose(b, a);
  });

  test.each(['resnet', 'skip'] as const)('%s: R1 reaches every weight', async architecture => {
    const network = built(architecture);
    const gradients = await read(() => {
      const x = ops.variable(images());
      const [gx] = ops.grad(ops.sum(network.forward(x)), [x], { createGraph: true });
      const weights = [...network.parameters()].filter(([key]) => key.endsWith('weight')).map(([, { value }]) => value);
      return ops.grad(ops.sum(ops.square(gx)), weights);
    });
    for (const gradient of gradients) expect(Math.hypot(...gradient)).toBeGreaterThan(0);
  });

  test('one that is not there is refused', () => {
    expect(() => new Discriminator({ ...wide, architecture: 'unet' as never })).toThrow(
      /^architecture: there is no 'unet'; there are resnet, orig, skip$/,
    );
  });
});

describe('convolutions that are limited', () => {
  const LIMIT = 0.25;
  const largest = (values: Float32Array) => Math.max(...values.map(Math.abs));

  test('the discriminator: every activated layer by its gain, the skip branch not', async () => {
    const network = new Discriminator({ ...config, convClamp: LIMIT });
    initialize(network, gpu.device, { seed: 1 });
    for (const [key, { value, size }] of network.parameters()) {
      if (key.endsWith('bias')) gpu.device.write(value, new Float32Array(size).fill(3));
    }
    const paths = ['convs.0', 'convs.1.conv1', 'convs.1.conv2', 'final_conv', 'convs.1.skip.1'];
    const calls = paths.map(path => recorded(network, path));
    const values = await read(() => {
      network.forward(filled([4, 3, 8, 8], 2));
      return calls.map(([{ output }]) => output);
    });
    const found = values.map(largest);
    for (const [i, limit] of [LIMIT, LIMIT, LIMIT * Math.SQRT1_2, LIMIT].entries())
      expect(found[i]).toBeCloseTo(limit, 6);
    expect(found[4]).toBeGreaterThan(LIMIT);
  });

  test('the generator: styled layers and to-RGB layers, but not the sum of images', async () => {
    const network = new Generator({ ...config, convClamp: LIMIT });
    initialize(network, gpu.device, { seed: 1 });
    for (const key of ['to_rgb1.bias', 'to_rgbs.0.bias']) {
      gpu.device.write(network.parameters().get(key)!.value, [1, 1, 1]);
    }
    const calls = ['conv1', 'convs.0', 'convs.1', 'to_rgb1'].map(path => recorded(network, path));
    const values = await read(() => {
      const w = repeatLatent(network.mapping.forward(filled([2, 5], 3)), network.latents);
      const image = network.forward(w);
      return [...calls.map(([{ output }]) => output), image];
    });
    const found = values.map(largest);
    for (const value of found.slice(0, 4)) expect(value).toBeCloseTo(LIMIT, 6);
    expect(found[4]).toBeCloseTo(2 * LIMIT, 6);
  });
});

describe('a training of others’ weights', () => {
  const small = { model: 'micro16', batch: 4, steps: 2, sampleEvery: 0 };
  const run = (name: string, options: Options = {}) =>
    trainRecipe({ device: gpu.device, recipe: stylegan2, options: { ...small, ...options }, path: join(root, name) });

  async function created(options: Options, resumed = false): Promise<{ training: Training; messages: string[] }> {
    const messages: string[] = [];
    const assignments = Object.entries({ ...small, seed: 9, ...options });
    const all = assignOptions(
      'stylegan2',
      stylegan2,
      assignments.map(([key, value]) => ({ key, value, where: key })),
    );
    const message = (text: string) => messages.push(text);
    return {
      training: await stylegan2.create({ device: gpu.device, options: all, resumed, message }),
      messages,
    };
  }

  async function expectEqual(a: Module, b: Module, tolerance = 0): Promise<void> {
    const [got, want] = [await readStateDict(a), await readStateDict(b)];
    for (const [key, { data }] of want) expectClose(got.get(key)!.data, data, tolerance);
  }

  test('the first layers of the discriminator can be frozen', async () => {
    const { training } = await created({});
    const before = await readStateDict(training.modules.discriminator);
    const { training: trained } = await run('frozen', { seed: 9, freezeD: 3 });
    const after = await readStateDict(trained.modules.discriminator);
    for (const [key, { data }] of before) {
      const isFrozen = /^convs\.0\.|^convs\.1\.conv|kernel$/.test(key);
      expect([key, Buffer.from(data.buffer).equals(Buffer.from(after.get(key)!.data.buffer))]).toEqual([key, isFrozen]);
    }
    await expect(created({ freezeD: 8 })).rejects.toThrow(
      /^freezeD: 8 is not possible; give a whole number from 0 to 7$/,
    );
  });

  test('from a run: its newest networks, without their optimisers', async () => {
    const { training: source } = await run('source', { steps: 3 });
    writeFileSync(join(root, 'source', 'config.json'), '{}');
    const { training, messages } = await created({ from: join(root, 'source') });
    for (const name of ['generator', 'average', 'discriminator', 'latentAverage']) {
      await expectEqual(training.modules[name], source.modules[name]);
    }
    const [adam] = Object.values(training.optimizers);
    expect((await adam.state()).get('t')!.data.every(t => t === 0)).toBe(true);
    expect(messages).toEqual([]);
  });

  test.each(['nvlabs-4.pkl', 'rosinality.pt'])('from the %s of another project', async name => {
    const path = join(import.meta.dirname, 'fixtures', 'foreign', name);
    const file = await readForeign(path);
    const limit = file.metadata['g_ema.conv_clamp'];
    const own = inferConfig(await foreignState(file, 'g_ema.'), { source: name });
    const config = { ...own, ...(limit === undefined ? {} : { convClamp: Number(limit) }) };
    const networks = {
      generator: new Generator(config),
      average: new Generator(config),
      discriminator: new Discriminator(config),
      latentAverage: new LatentAverage(config.wDim),
    };
    for (const network of Object.values(networks)) initialize(network, gpu.device);
    await loadStart(path, networks, message => expect(message).toBe(''));
    for (const [network, prefix] of [
      [networks.average, 'g_ema.'],
      [networks.discriminator, 'd.'],
    ] as const) {
      const state = await readStateDict(network);
      for (const [key, { data }] of await foreignState(file, prefix)) expectClose(state.get(key)!.data, data, 0);
    }
  });

  test('from a file: a generator alone, or everything; what is not in it is made', async () => {
    const { training: source } = await created({});
    const { average, discriminator } = source.modules;
    const part = async (module: Module, prefix: string): Promise<[string, SafetensorsSource][]> =>
      [...(await readStateDict(module))].map(([key, value]) => [prefix + key, value]);
    const write = (name: string, entries: [string, SafetensorsSource][]) => {
      const path = join(root, name);
      writeFileSync(path, Buffer.concat(writeSafetensors(new Map(entries))));
      return path;
    };
    const [g, d] = [await part(average, 'g_ema.'), await part(discriminator, 'd.')];

    const alone = write('generator.safetensors', g);
    const { training, messages } = await created({ from: alone, seed: 4 });
    expect(messages).toEqual([`${alone} has no discriminator: that starts anew`]);
    await expectEqual(training.modules.average, average);
    await expectEqual(training.modules.generator, average);
    // The mean of w: about 0.48 in each component at the start of a training, says the reference.
    const [mean] = (await readStateDict(training.modules.latentAverage)).values();
    const overall = mean.data.reduce((a, b) => a + b, 0) / mean.data.length;
    expect(overall).toBeGreaterThan(0.3);
    expect(overall).toBeLessThan(0.7);

    const latent = { shape: [32], data: Float32Array.from({ length: 32 }, (_, i) => i / 32) };
    const all = write('all.safetensors', [...g, ...d, ['latent_avg', latent]]);
    const { training: both, messages: none } = await created({ from: all, seed: 4 });
    expect(none).toEqual([]);
    await expectEqual(both.modules.discriminator, discriminator);
    expect((await readStateDict(both.modules.latentAverage)).get('latent_avg')!.data).toEqual(latent.data);
    // What a checkpoint is put over is not asked for.
    await created({ from: 'nowhere.safetensors' }, true);

    const refused = async (from: string, message: RegExp, options: Options = {}) =>
      expect(created({ from, ...options })).rejects.toThrow(message);
    await refused('nowhere.safetensors', /^There is no file nowhere\.safetensors: check the path$/);
    await refused(root, /: no run \(no config\.json\); name a run or a file$/);
    await refused(write('d.safetensors', d), /d\.safetensors: there is no StyleGAN2 generator in it$/);
    await refused(all, /all\.safetensors: a generator of 16 pixels, the training is of 32; give --size 16$/, {
      model: 'tiny32',
    });
    const narrow = g.map(([key, value]): [string, SafetensorsSource] =>
      key === 'g_ema.to_rgb1.bias' ? [key, { shape: [1, 3], data: new Float32Array(3) }] : [key, value],
    );
    await refused(
      write('narrow.safetensors', narrow),
      /narrow\.safetensors \(g_ema\.\): "to_rgb1\.bias" is \[1, 3\], the model wants \[1, 3, 1, 1\]$/,
    );
    const deep: [string, SafetensorsSource][] = ['weight', 'bias'].map(key => [
      `g_ema.style.3.${key}`,
      g.find(([name]) => name === `g_ema.style.2.${key}`)![1],
    ]);
    await refused(
      write('deep.safetensors', [...g, ...deep]),
      /deep\.safetensors: a generator with 3 mapping layers, the training's has 2$/,
    );
    const f = { model: 'f', size: 32, fmaps: 0.001 };
    const { training: shallow } = await created({ ...f, mappingLayers: 2 });
    await refused(
      write('shallow.safetensors', await part(shallow.modules.average, 'g_ema.')),
      /: a generator with 2 mapping layers, the training's has 8; give --set model=f --set mappingLayers=2$/,
      f,
    );
    const limited = join(root, 'limited.safetensors');
    const metadata = { 'wgrad.kind': 'stylegan2', 'g_ema.conv_clamp': '256' };
    writeFileSync(limited, Buffer.concat(writeSafetensors(new Map([...g, ...d]), { metadata })));
    await refused(limited, /: its layers are limited to ±256, which is a part of them; give --set convClamp=256$/);
    await created({ from: limited, convClamp: 256 });
    writeFileSync(join(root, 'broken.safetensors'), readFileSync(all).subarray(0, 5000));
    await refused(join(root, 'broken.safetensors'), /broken\.safetensors is truncated/);
    mkdirSync(join(root, 'new'));
    writeFileSync(join(root, 'new', 'config.json'), '{}');
    await refused(join(root, 'new'), /new: a run without a checkpoint; name a run or a file$/);
    expect(readSafetensors(readFileSync(all), { name: all }).size).toBe(g.length + d.length + 1);
  });
});
