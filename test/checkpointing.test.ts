import { describe, expect, test } from 'vitest';
import { applyEffects } from '../src/autograd/effects.ts';
import * as ops from '../src/autograd/index.ts';
import { v } from '../src/cli/goldens/format.ts';
import { BatchNorm, Conv2d, PReLU, Sequential } from '../src/models/layers.ts';
import { initialize, type Module, readStateDict } from '../src/models/module.ts';
import { GradualStyleEncoder } from '../src/models/psp.ts';
import { presets } from '../src/models/stylegan2/config.ts';
import { Discriminator } from '../src/models/stylegan2/discriminator.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { LatentAverage } from '../src/models/stylegan2/latents.ts';
import { random } from '../src/runtime/kernels/random.ts';
import { type Shape, sizeOf } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { gNonSaturating, pathLengthPenalty, r1Penalty } from '../src/train/adversarial.ts';
import { useDevice } from './device.ts';

const gpu = useDevice();

const filled = (shape: Shape, seed: number, name = '') =>
  gpu.device.keep(
    gpu.device.tensor(
      Float32Array.from({ length: sizeOf(shape) }, (_, i) => v(i, seed)),
      shape,
      'f32',
      name,
    ),
  );
const variable = (shape: Shape, seed: number, name = '') => ops.variable(filled(shape, seed, name));
const read = async (tensors: readonly Tensor[]) => (await Promise.all(tensors.map(t => t.read()))).map(x => [...x]);
const summed = (...terms: Tensor[]) => terms.reduce((a, b) => ops.add(a, b));

/** How a part of a function is computed: as it is, or as a segment that is repeated for the gradients. */
type Wrap = typeof ops.checkpoint;
const plain = ((f: (...inputs: Tensor[]) => unknown, ...inputs: Tensor[]) => f(...inputs)) as unknown as Wrap;

/** What a function gives without and with checkpointing, as it is and recorded. */
async function compared(body: (wrap: Wrap) => Tensor[]) {
  const { device } = gpu;
  const results = [];
  for (const wrap of [plain, ops.checkpoint]) {
    const eager = await device.scope('eager', () => read(body(wrap)));
    const program = device.record('recorded', () => body(wrap));
    const recorded = await read(program.run());
    const { needed } = program.plan;
    program.release();
    expect(recorded).toEqual(eager);
    results.push({ values: eager, needed, dispatches: program.dispatches });
  }
  const [without, checkpointed] = results;
  return { without, checkpointed };
}

async function expectEqual(body: (wrap: Wrap) => Tensor[]): Promise<void> {
  const { without, checkpointed } = await compared(body);
  for (const values of without.values) expect(values.every(Number.isFinite) && values.some(x => x !== 0)).toBe(true);
  expect(checkpointed.values).toEqual(without.values);
}

function expectClose(
  got: readonly (readonly number[])[],
  want: readonly (readonly number[])[],
  tolerance: number,
): void {
  want.forEach((values, k) => {
    const scale = Math.max(...values.map(Math.abs), 1e-6);
    const worst = Math.max(...values.map((value, i) => Math.abs(value - got[k][i]) / scale));
    expect(worst, `tensor ${k}`).toBeLessThan(tolerance);
  });
}

describe('first derivatives are equal bit for bit', () => {
  test('to inputs, to weights by argument and to weights by closure', () =>
    expectEqual(wrap => {
      const [x, a, b] = [variable([2, 3, 6, 6], 1), variable([4, 3, 3, 3], 2), variable([3, 4, 3, 3], 3)];
      const padding = { padding: 1 };
      const y = wrap((x, a) => ops.sigmoid(ops.conv2d(ops.tanh(ops.conv2d(x, a, undefined, padding)), b)), x, a);
      return [y, ...ops.grad(ops.sum(ops.square(y)), [x, a, b])];
    }));

  test('where tensors are used in several segments and beside them', () =>
    expectEqual(wrap => {
      const [x, w, u] = [variable([5, 7], 1), variable([7, 7], 2), variable([7], 3)];
      // Four uses of x and of u, whose gradients must be added in the same order.
      const layer = (h: Tensor, k: number) =>
        wrap(h => ops.add(ops.mul(ops.tanh(ops.matmul(h, w)), ops.mul(x, u)), ops.mul(h, 0.3 + k)), h);
      const y = [0, 1, 2].reduce(layer, ops.mul(x, u));
      return [y, ...ops.grad(ops.sum(ops.mul(y, ops.square(x))), [x, w, u])];
    }));

  test('through several outputs, of which some are not used, or used inside as well, or given back as they came', () =>
    expectEqual(wrap => {
      const [x, w] = [variable([4, 4], 1), variable([4, 4], 2)];
      const [a, b, , same, twice] = wrap(x => {
        const a = ops.matmul(x, w);
        const b = ops.exp(ops.mul(a, 0.5));
        return [a, b, ops.sqrt(b), x, b];
      }, x);
      expect(same).toBe(x);
      expect(twice).toBe(b);
      const y = summed(ops.sum(ops.square(a)), ops.sum(ops.mul(b, same)), ops.mean(twice));
      return [y, ...ops.grad(y, [x, w]), ...ops.grad(ops.sum(a), [w]), ...ops.grad(ops.sum(b), [w])];
    }));

  test('in segments within segments', () =>
    expectEqual(wrap => {
      const [x, w] = [variable([4, 4], 1), variable([4, 4], 2)];
      const unit = (h: Tensor): Tensor => wrap(h => ops.sigmoid(ops.matmul(h, w)), h);
      const stack = (h: Tensor): Tensor => wrap(h => ops.add(unit(ops.mul(unit(h), x)), h), h);
      const y = ops.sum(ops.square(wrap(h => stack(stack(h)), x)));
      return [y, ...ops.grad(y, [x, w])];
    }));

  test('with random numbers, which are drawn anew', () =>
    expectEqual(wrap => {
      const { device } = gpu;
      const step = device.keep(device.tensor([7], [1], 'u32'));
      const [x, w] = [variable([6, 8], 1), variable([8, 8], 2)];
      const y = wrap(x => {
        const source = { seed: 3, stream: 'dropout', step };
        const kept = ops.greater(random(device, [6, 8], 'uniform', source), -0.2);
        return ops.mul(
          ops.matmul(ops.mul(x, kept), w),
          random(device, [6, 8], 'normal', { ...source, stream: 'noise' }),
        );
      }, x);
      return [y, ...ops.grad(ops.sum(ops.square(y)), [x, w])];
    }));

  test('for constants, and where nothing is to be differentiated, it changes nothing', async () => {
    const [x, w] = [variable([3, 3], 1), filled([3, 3], 2)];
    await expectEqual(wrap => {
      const frozen = wrap(x => ops.exp(ops.matmul(x, w)), w);
      expect(ops.isTracked(frozen)).toBe(false);
      const y = wrap(x => ops.mul(ops.matmul(x, w), frozen), x);
      const given = ops.noGrad(() => wrap(x => ops.exp(x), x));
      expect(ops.isTracked(given)).toBe(false);
      return [y, given, ...ops.grad(ops.sum(ops.square(y)), [x])];
    });
  });
});

describe('derivatives of higher order', () => {
  const smooth = (wrap: Wrap, x: Tensor, w: Tensor) =>
    wrap(
      (h: Tensor) => ops.mul(ops.sigmoid(ops.matmul(h, w)), h),
      wrap((h: Tensor) => ops.tanh(ops.matmul(h, w)), x),
    );

  test('of second order, to weights by closure too', async () => {
    const [x, w] = [variable([4, 5], 1), variable([5, 5], 2)];
    const { without, checkpointed } = await compared(wrap => {
      const y = ops.sum(ops.square(smooth(wrap, x, w)));
      const first = ops.grad(y, [x, w], { createGraph: true });
      return [...first, ...ops.grad(summed(...first.map(g => ops.sum(ops.square(g)))), [x, w])];
    });
    expectClose(checkpointed.values, without.values, 2e-6);
  });

  test('of third order', async () => {
    const [x, w] = [variable([3, 4], 1), variable([4, 4], 2)];
    const { without, checkpointed } = await compared(wrap => {
      const y = ops.sum(ops.square(smooth(wrap, x, w)));
      const [first] = ops.grad(y, [x], { createGraph: true });
      const [second] = ops.grad(ops.sum(ops.square(first)), [w], { createGraph: true });
      return [second, ...ops.grad(ops.sum(ops.square(second)), [x, w])];
    });
    expectClose(checkpointed.values, without.values, 5e-6);
  });

  test('agree with finite differences', async () => {
    const { device } = gpu;
    const w = variable([4, 4], 2);
    const slopeAt = (shift: number) =>
      device.scope('slope', () => {
        const x = ops.variable(ops.stopGradient(ops.add(filled([3, 4], 1), shift)));
        const y = ops.sum(ops.square(smooth(ops.checkpoint, x, w)));
        const [first] = ops.grad(y, [x], { createGraph: true });
        const size = ops.sum(ops.square(first));
        return { size, slope: ops.sum(ops.grad(size, [x])[0]) };
      });
    const [above, at, below] = [0.01, 0, -0.01].map(slopeAt);
    const difference = ((await above.size.item()) - (await below.size.item())) / 0.02;
    expect(Math.abs((await at.slope.item()) - difference)).toBeLessThan(2e-3 * Math.abs(difference));
  });
});

describe('effects', () => {
  test('running statistics move once, and a frozen layer gets no gradient', async () => {
    const { device } = gpu;
    const gate = device.keep(device.tensor([0], [1], 'u32'));
    const x = variable([4, 3, 5, 5], 1);
    const states: Map<string, number[]>[] = [];
    const gradients: number[][][] = [];
    for (const wrap of [plain, ops.checkpoint]) {
      const layers = [new Conv2d(3, 4, { kernel: 3, padding: 1 }), new BatchNorm(4), new PReLU(4), new BatchNorm(4)];
      const network = new Sequential(layers);
      initialize(network, device, { seed: 4 });
      layers[0].freeze();
      const average = new LatentAverage(4);
      initialize(average, device);
      const weights = [...network.parameters().values()].filter(({ trainable }) => trainable).map(({ value }) => value);
      const found = device.scope('step', () => {
        const y = wrap(x => {
          const y = network.forward(x);
          average.track(ops.mean(y, { axes: [2, 3] }));
          return y;
        }, x);
        const found = ops.grad(ops.sum(ops.mul(y, ops.square(y))), [x, ...weights]);
        applyEffects(gate);
        return found;
      });
      expect(weights.length).toBe(5);
      gradients.push(await read(found));
      const all = [...(await readStateDict(network)), ...(await readStateDict(average))];
      states.push(new Map(all.map(([key, { data }]) => [key, [...data]])));
    }
    expect(states[1]).toEqual(states[0]);
    expect(states[0].get('1.num_batches_tracked')).toEqual([1]);
    expect(states[0].get('latent_avg')!.some(value => value !== 0)).toBe(true);
    expect(gradients[1]).toEqual(gradients[0]);
  });
});

describe('what cannot be repeated is refused', () => {
  test('another tensor than at first: a layer that was frozen in between', () => {
    const layer = new Conv2d(2, 2, { kernel: 1, bias: false });
    initialize(layer, gpu.device);
    const x = variable([1, 2, 3, 3], 1);
    const y = ops.sum(ops.checkpoint(x => ops.sigmoid(layer.forward(x)), x));
    const weight = layer.weight.value;
    layer.freeze();
    expect(() => ops.grad(y, [x, weight])).toThrow(/checkpoint: .* did not use tensor "weight" .* must do the same/);
  });

  test('other operations than at first', () => {
    let calls = 0;
    const x = variable([3], 1);
    const y = ops.sum(ops.checkpoint(x => (calls++ === 0 ? ops.exp(x) : ops.square(x)), x));
    expect(() => ops.grad(y, [x])).toThrow(/checkpoint: .* did other operations than at first/);
  });

  test('a tensor that was made inside and kept outside is stale', () => {
    const x = variable([3], 1, 'x');
    let inner: Tensor | undefined;
    ops.checkpoint(x => {
      inner = ops.exp(x);
      return ops.square(inner);
    }, x);
    expect(() => ops.mul(inner!, 2)).toThrow(/went back to the pool when checkpoint ended/);
  });
});

test('memory: what lies within a segment is forgotten, as it is and recorded', async () => {
  const { device } = gpu;
  const size = 2 ** 16;
  const x = variable([size], 1);
  const chain = (h: Tensor) => Array.from({ length: 8 }).reduce<Tensor>(y => ops.sigmoid(ops.square(y)), h);
  const body = (wrap: Wrap) => {
    const y = Array.from({ length: 8 }).reduce<Tensor>(h => wrap(chain, h), x);
    return ops.grad(ops.sum(y), [x]);
  };
  const { without, checkpointed } = await compared(body);
  // 64 activations; or 8, and 8 more within the segment whose gradient is taken.
  expect(without.needed).toBeGreaterThan(64 * 4 * size);
  expect(checkpointed.needed).toBeLessThan(20 * 4 * size);
  const peak = [plain, ops.checkpoint].map(wrap => {
    device.memory.resetPeak();
    const before = device.memory.lentBytes;
    device.scope('eager', () => void body(wrap));
    return device.memory.peakBytes - before;
  });
  // As it is, a segment's gradients and masks live until its end, too.
  expect(peak[1]).toBeLessThan(peak[0] / 3);
});

describe('networks with checkpointing equal those without', () => {
  const config = presets.micro16;
  const values = (module: Module) => [...module.parameters().values()].map(({ value }) => value);
  const make = <M extends Module>(module: M, seed: number): M => {
    initialize(module, gpu.device, { seed });
    return module;
  };
  /** The same for both kinds of network. */
  async function both(body: (checkpointing: boolean) => Tensor[], tolerance: number) {
    const { device } = gpu;
    const found = [];
    for (const checkpointing of [false, true]) {
      const program = device.record('networks', () => body(checkpointing));
      found.push({ values: await read(program.run()), needed: program.plan.needed });
      program.release();
    }
    const [without, checkpointed] = found;
    if (tolerance === 0) expect(checkpointed.values).toEqual(without.values);
    else expectClose(checkpointed.values, without.values, tolerance);
    expect(checkpointed.needed).toBeLessThan(without.needed);
  }

  test('StyleGAN2: the losses of generator and discriminator, R1 and path length', async () => {
    const { device } = gpu;
    const networks = [false, true].map(checkpointing => ({
      generator: make(new Generator(config, { checkpointing }), 1),
      discriminator: make(new Discriminator(config, { checkpointing }), 2),
    }));
    const images = filled([4, 3, 16, 16], 5);
    const w = filled([4, 6, 32], 6);
    const average = filled([1], 8);
    const step = device.keep(device.tensor([1], [1], 'u32'));
    const noise = { fresh: { seed: 1, stream: 'G', step } };
    const of = (checkpointing: boolean) => networks[Number(checkpointing)];
    await both(checkpointing => {
      const { generator, discriminator } = of(checkpointing);
      const made = generator.forward(generator.mapping.forward(ops.reshape(ops.narrow(w, 1, 0, 1), [4, 32])), {
        noise,
      });
      discriminator.freeze();
      const loss = gNonSaturating(discriminator.forward(made));
      const gradients = ops.grad(loss, values(generator));
      discriminator.unfreeze();
      return [made, loss, ...gradients];
    }, 0);
    await both(checkpointing => {
      const { discriminator } = of(checkpointing);
      const loss = gNonSaturating(discriminator.forward(images));
      return [loss, ...ops.grad(loss, values(discriminator))];
    }, 0);
    await both(checkpointing => {
      const { discriminator } = of(checkpointing);
      const { penalty } = r1Penalty(x => discriminator.forward(x), images);
      return [penalty, ...ops.grad(penalty, values(discriminator), { unused: 'zero' })];
    }, 1e-4);
    await both(checkpointing => {
      const { generator } = of(checkpointing);
      const { penalty } = pathLengthPenalty(x => generator.forward(x, { noise }), w, images, average);
      return [penalty, ...ops.grad(penalty, values(generator), { unused: 'zero' })];
    }, 1e-4);
  });

  test('the pSp encoder', async () => {
    const options = { channels: [8, 8, 16, 16], units: [2, 2, 2, 2], inputSize: 32, styles: 4, middle: 1, fine: 2 };
    const encoders = [false, true].map(checkpointing =>
      make(new GradualStyleEncoder({ ...options, checkpointing }), 3),
    );
    const images = filled([2, 3, 32, 32], 5);
    await both(checkpointing => {
      const encoder = encoders[Number(checkpointing)];
      const latents = encoder.forward(images);
      return [latents, ...ops.grad(ops.sum(ops.square(latents)), values(encoder))];
    }, 0);
  });
});
