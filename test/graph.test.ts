import { describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { v } from '../src/cli/goldens/format.ts';
import { type Shape, sizeOf } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { useDevice } from './device.ts';

describe('the graph', () => {
  const gpu = useDevice();
  const filled = (shape: Shape, seed: number) =>
    gpu.device.tensor(
      Float32Array.from({ length: sizeOf(shape) }, (_, i) => v(i, seed)),
      shape,
    );
  const variable = (shape: Shape, seed: number, name = '') => ops.variable(filled(shape, seed), name);
  const read = async (tensors: readonly Tensor[]) => (await Promise.all(tensors.map(t => t.read()))).map(x => [...x]);
  const expectClose = (got: readonly number[], want: readonly number[], tolerance = 1e-5) => {
    const scale = Math.max(...want.map(Math.abs), 1e-9);
    expect(got.length).toBe(want.length);
    got.forEach((value, i) => {
      expect(Math.abs(value - want[i]) / scale, `element ${i}: ${value} for ${want[i]}`).toBeLessThan(tolerance);
    });
  };

  test('the gradient of a tensor that the loss does not depend on', async () => {
    const [x, y] = [variable([3], 1, 'weight'), variable([2], 2, 'bias')];
    const loss = ops.sum(ops.square(x));
    expect(() => ops.grad(loss, [x, y])).toThrow(/does not depend on tensor "bias" \[2\]; pass unused/);
    expect(() => ops.grad(loss, [filled([2], 3)])).toThrow('which is no variable()');
    expect(ops.grad(loss, [x, y], { unused: 'none' })[1]).toBeUndefined();
    expect(await read([ops.grad(loss, [x, y], { unused: 'zero' })[1]])).toEqual([[0, 0]]);
    expect(() => ops.grad(ops.square(x), [x])).toThrow('one element');
  });

  test('a gradient for a loss of many elements is taken as given', async () => {
    const x = variable([3], 1);
    const [g] = ops.grad(ops.square(x), [x], { gradient: gpu.device.tensor([1, 10, 100], [3]) });
    expectClose(
      (await read([g]))[0],
      [0, 1, 2].map(i => 2 * v(i, 1) * 10 ** i),
    );
  });

  test('arguments that do not fit are refused', () => {
    const x = variable([2, 3], 1);
    const one = gpu.device.tensor([1], [1]);
    expect(() => ops.grad(ops.square(x), [x], { gradient: one })).toThrow(/tensor \[1\] is given as the gradient/);
    expect(() => ops.split(x, [1, 1], 1)).toThrow('pieces of 1, 1 do not add up to the 3 of axis 1');
    for (const [begin, end, step] of [
      [1, 4, 1],
      [5, 0, -1],
      [2, -2, -1],
      [0, 3, 0],
      [2, 1, 1],
    ]) {
      expect(() => ops.slice(x, { begin: [0, begin], end: [2, end], step: [1, step] })).toThrow('is not inside');
    }
    const image = ops.reshape(x, [1, 1, 2, 3]);
    expect(() => ops.maxPool2d(image, { kernel: 2, padding: 2 })).toThrow('padding 2×2 is over half of the window 2×2');
    expect(() => ops.avgPool2d(image, 4)).toThrow('an axis of 2 pixels cannot become one of 0');
    expect(() => ops.interpolate(image, [0, 2], 'nearest')).toThrow('an axis of 2 pixels');
  });

  test('operands that do not fit a fused op are refused, where gradients are wanted and where not', () => {
    const [x, y] = [filled([2, 3, 4, 4], 1), filled([2, 3, 4, 4], 2)];
    const [two, three, other] = [filled([2], 3), filled([3], 4), filled([1, 3, 4, 4], 5)];
    const styles = filled([2, 3], 6);
    const weight = filled([3, 3, 3, 3], 7);
    const gate = { w1: filled([2, 3], 1), w2: filled([3, 2], 1) };
    const styled = { styles, demodulation: styles, bias: three };
    const noise = { map: filled([1, 1, 2, 4], 8), strength: filled([1], 9) };
    const wrong: [message: RegExp, run: (x: Tensor) => Tensor][] = [
      [/conv2d: bias .* does not fit/, x => ops.conv2d(x, weight, two)],
      [/a slope of -0.1 /, x => ops.leakyRelu(x, { slope: -0.1 })],
      [/a gain of 0 /, x => ops.biasedLeakyRelu(x, ops.perChannel(three, x), { gain: 0 })],
      [/a slope of -0.1 /, x => ops.conv2d(x, weight, three, { activation: { slope: -0.1 } })],
      [/a slope of -1 /, x => ops.batchNorm(x, three, three, three, three, { slope: -1 })],
      [/batchNorm: .* does not fit/, x => ops.batchNorm(x, three, two, three, three)],
      [/batchNorm: .* does not fit/, x => ops.batchNorm(x, three, three, three, three, { offset: two })],
      [/batchNorm: .* does not fit/, x => ops.batchNormTraining(x, two, three).output],
      [/channelGate: .* do not fit/, x => ops.channelGate(x, { ...gate, b1: three, b2: three })],
      [/channelGate: .* do not fit/, x => ops.channelGate(x, { ...gate, shortcut: other })],
      [/styledActivation: .* do not fit/, x => ops.styledActivation(x, { demodulation: styles, bias: two })],
      [/styledActivation: .* do not fit/, x => ops.styledConv2d(x, weight, { ...styled, noise })],
      [/styledActivation: .* do not fit/, x => ops.styledConv2d(x, weight, { ...styled, bias: two })],
      [/styledConv2d: .* do not fit/, x => ops.styledConv2d(x, weight, { ...styled, styles: two })],
      [/styledConv2d: .* do not fit/, x => ops.styledConv2d(x, filled([3, 3, 2, 2], 10), styled)],
      [/demodulation: .* do not fit/, x => ops.demodulation(ops.reshape(x, [16, 6]), styles, 1)],
      [/cosineDistance: 1 and 2 /, x => ops.cosineDistance([x], [x, y])],
      [/cosineDistance: .* same 2 samples/, x => ops.cosineDistance([x, other], [y, other])],
      [/perceptualDistance: 1, 2 and 1 /, x => ops.perceptualDistance([x], [x, y], [three])],
      [/perceptualDistance: .* do not fit/, x => ops.perceptualDistance([x, other], [y, other], [three, three])],
      [/maxMean: .* is not/, x => ops.maxMean(ops.reshape(x, [6, 4, 4]), 'pixels')],
    ];
    for (const [message, run] of wrong) {
      for (const operand of [x, ops.variable(x)]) expect(() => run(operand), `${message}`).toThrow(message);
    }
  });

  test('copies keep the type of the elements', async () => {
    const x = gpu.device.tensor([1, 2, 3], [1, 3], 'u32');
    const copies = [
      ops.transpose(x),
      ops.expand(x, [2, 3]),
      ops.concat([x, x], 0),
      ops.pad(x, [
        [0, 0],
        [1, 0],
      ]),
    ];
    expect(copies.map(({ dtype }) => dtype)).toEqual(Array(4).fill('u32'));
    const bits = async (tensor: Tensor) => [...new Uint32Array((await tensor.read()).buffer)];
    const values = [
      [1, 2, 3],
      [1, 2, 3, 1, 2, 3],
      [1, 2, 3, 1, 2, 3],
      [0, 1, 2, 3],
    ];
    expect(await Promise.all(copies.map(bits))).toEqual(values);
    expect(await bits(ops.slice(x, { begin: [0, 2], end: [1, -1], step: [1, -2] }))).toEqual([3, 1]);
  });

  test('the norm of a row of zeros has finite gradients', async () => {
    const x = ops.variable(gpu.device.tensor([0, 0, 0, 3, 0, 4], [2, 3]));
    const [first] = ops.grad(ops.sum(ops.mul(ops.l2Normalize(x, 1), filled([2, 3], 1))), [x], { createGraph: true });
    const [second] = ops.grad(ops.sum(first), [x]);
    for (const values of await read([first, second])) expect(values.every(Number.isFinite)).toBe(true);
  });

  test('nothing flows through stopGradient, and noGrad notes nothing', async () => {
    const x = variable([3], 1);
    const [g] = ops.grad(ops.sum(ops.mul(x, ops.stopGradient(x))), [x]);
    expectClose(
      (await read([g]))[0],
      [0, 1, 2].map(i => v(i, 1)),
    );
    const hidden = ops.noGrad(() => ops.square(x));
    expect(ops.isTracked(hidden)).toBe(false);
    expect(ops.isTracked(ops.square(x))).toBe(true);
    expect(() =>
      ops.noGrad(() => {
        throw new Error('on purpose');
      }),
    ).toThrow('on purpose');
    expect(ops.isTracked(ops.square(x)), 'noting goes on after an error').toBe(true);
  });

  test('gradients without createGraph are constants', () => {
    const x = variable([3], 1);
    const loss = ops.sum(ops.pow(x, 3));
    expect(ops.isTracked(ops.grad(loss, [x])[0])).toBe(false);
    expect(ops.isTracked(ops.grad(loss, [x], { createGraph: true })[0])).toBe(true);
  });

  test('a variable used twice and a shared subexpression are counted each time', async () => {
    const x = variable([4], 1);
    const shared = ops.exp(x);
    const loss = ops.sum(ops.add(ops.mul(shared, shared), ops.add(ops.mul(shared, x), ops.mul(x, x))));
    const [g] = ops.grad(loss, [x]);
    const want = [0, 1, 2, 3].map(i => {
      const a = v(i, 1);
      return 2 * Math.exp(2 * a) + Math.exp(a) * (1 + a) + 2 * a;
    });
    expectClose((await read([g]))[0], want);
  });

  test('gradients of tensors on the way from the variables to the loss', async () => {
    const x = variable([4], 1);
    const middle = ops.square(x);
    const [gm, gx] = ops.grad(ops.sum(ops.square(middle)), [middle, x]);
    const values = [0, 1, 2, 3].map(i => v(i, 1));
    const [m, g] = await read([gm, gx]);
    expectClose(
      m,
      values.map(a => 2 * a * a),
    );
    expectClose(
      g,
      values.map(a => 4 * a ** 3),
    );
  });

  test('a deep shared graph takes time in its depth, not in its paths', () => {
    const x = variable([1], 1);
    let y: Tensor = x;
    for (let i = 0; i < 60; i++) y = ops.mul(ops.add(y, y), 0.5);
    const before = gpu.device.dispatches;
    ops.grad(ops.sum(y), [x]);
    expect(gpu.device.dispatches - before).toBeLessThan(60 * 4);
  });

  test('no gradient is computed for what needs none', () => {
    const image = filled([1, 2, 8, 8], 1);
    const w = filled([2, 2, 3, 3], 2);
    const count = (weight: Tensor, wrt: Tensor) => {
      const y = ops.sum(ops.conv2d(ops.conv2d(image, weight), ops.variable(w)));
      const before = gpu.device.dispatches;
      ops.grad(y, [wrt], { unused: 'none' });
      return gpu.device.dispatches - before;
    };
    const weight = ops.variable(w);
    expect(count(w, weight)).toBeLessThan(count(weight, weight));
  });

  test('derivatives of x⁴ of every order', async () => {
    const x = variable([5], 1);
    let y = ops.pow(x, 4);
    const factors = [4, 12, 24, 24];
    for (const [order, factor] of factors.entries()) {
      [y] = ops.grad(ops.sum(y), [x], { createGraph: true });
      const want = [0, 1, 2, 3, 4].map(i => factor * v(i, 1) ** (3 - order));
      expectClose((await read([y]))[0], want, 1e-4);
    }
  });

  // The penalties of the adversarial and the generator's losses: gradients of gradients.

  const shapes: Record<string, Shape> = { w1: [4, 2, 3, 3], b1: [1, 4, 1, 1], w2: [1, 4 * 36], b2: [1] };
  type Weights = Record<string, Tensor>;
  const weights = (): Weights =>
    Object.fromEntries(Object.entries(shapes).map(([key, shape], k) => [key, variable(shape, 20 + k, key)]));

  /** A critic of images [N, 2, 6, 6]: convolution, leaky ReLU (or a smooth one), dense layer. */
  function critic(x: Tensor, { w1, b1, w2, b2 }: Weights, smooth = false): Tensor {
    const pre = ops.conv2d(x, w1, undefined, { padding: 1 });
    const h = smooth ? ops.softplus(ops.add(pre, b1)) : ops.biasedLeakyRelu(pre, b1);
    return ops.linear(ops.reshape(h, [x.shape[0], -1]), w2, b2);
  }

  /** R1 (Mescheder et al. 2018): the mean squared norm of the gradient in the images. */
  function r1(run: (x: Tensor) => Tensor, images: Tensor): Tensor {
    const x = ops.variable(images);
    const [g] = ops.grad(ops.sum(run(x)), [x], { createGraph: true });
    return ops.mul(ops.sum(ops.square(g)), 1 / images.shape[0]);
  }

  test('R1: weights by closure and by argument give the same gradients', async () => {
    const images = filled([3, 2, 6, 6], 1);
    const w = weights();
    const list = Object.values(w);
    const closure = ops.grad(
      r1(x => critic(x, w), images),
      list,
      { unused: 'zero' },
    );
    const penalty = (all: Weights) => r1(x => critic(x, all), images);
    const argument = ops.grad(penalty({ ...w }), list, { unused: 'zero' });
    expect(await read(closure)).toEqual(await read(argument));
    const values = await read(closure);
    // The last bias moves no gradient; the last weight does, doubly linearly: ⟨w2, dR1/dw2⟩ = 2 R1.
    expect(values[3]).toEqual([0]);
    const w2 = Array.from({ length: 144 }, (_, i) => v(i, 22));
    const value = await penalty(w).item();
    const euler = values[2].reduce((sum, g, i) => sum + g * w2[i], 0);
    expect(euler / (2 * value)).toBeCloseTo(1, 4);
  });

  /** Moves all weights along fixed directions and compares the change of a penalty with its gradient. */
  async function checkPenalty(penalty: (w: Weights) => Tensor): Promise<void> {
    const w = weights();
    const gradients = ops.grad(penalty(w), Object.values(w), { unused: 'zero' });
    const slope = (await read(gradients)).reduce(
      (sum, g, k) => sum + g.reduce((part, value, i) => part + value * v(i, 60 + k), 0),
      0,
    );
    const step = 2e-3;
    const at = async (t: number) => {
      const moved = Object.entries(shapes).map(([key, shape], k) => {
        const values = Float32Array.from({ length: sizeOf(shape) }, (_, i) => v(i, 20 + k) + t * v(i, 60 + k));
        return [key, ops.variable(gpu.device.tensor(values, shape))];
      });
      return penalty(Object.fromEntries(moved)).item();
    };
    const difference = ((await at(step)) - (await at(-step))) / (2 * step);
    expect(Math.abs(difference - slope) / Math.abs(slope)).toBeLessThan(2e-3);
  }

  test('R1 of a smooth critic by central differences', () =>
    checkPenalty(w => r1(x => critic(x, w, true), filled([3, 2, 6, 6], 1))));

  test('gradient penalty at interpolates (Gulrajani et al. 2017)', () =>
    checkPenalty(w => {
      const [real, fake, t] = [filled([3, 2, 6, 6], 1), filled([3, 2, 6, 6], 2), filled([3, 1, 1, 1], 3)];
      const between = ops.variable(ops.add(real, ops.mul(ops.sub(fake, real), t)));
      const [g] = ops.grad(ops.sum(critic(between, w, true)), [between], { createGraph: true });
      const length = ops.sqrt(ops.sum(ops.square(g), { axes: [1, 2, 3] }));
      return ops.mean(ops.square(ops.sub(length, 1)));
    }));

  test('path length (Karras et al. 2020): the gradient in the latents of a modulated convolution', () =>
    checkPenalty(w => {
      const latents = ops.variable(filled([2, 4], 1));
      const styles = ops.reshape(ops.linear(latents, ops.reshape(w.b1, [1, 4])), [2, 1, 1, 1]);
      const image = ops.mul(filled([2, 2, 6, 6], 2), ops.add(styles, 1));
      const features = ops.conv2d(image, w.w1, undefined, { padding: 1 });
      const energy = ops.sum(ops.square(ops.mul(w.w1, ops.reshape(w.b1, [4, 1, 1, 1]))));
      const output = ops.mul(features, ops.rsqrt(ops.add(ops.reshape(energy, [1, 1, 1, 1]), 1e-8)));
      const noise = filled(output.shape, 3);
      const [g] = ops.grad(ops.sum(ops.mul(ops.softplus(output), noise)), [latents], { createGraph: true });
      const lengths = ops.sqrt(ops.sum(ops.square(g), { axes: [1] }));
      return ops.mean(ops.square(ops.sub(lengths, 0.5)));
    }));
});
