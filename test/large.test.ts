import { describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { v } from '../src/cli/goldens/format.ts';
import { BareParameters } from '../src/cli/goldens/optimizers.ts';
import { initialize, placementOf, release } from '../src/models/module.ts';
import type { Device } from '../src/runtime/device.ts';
import { fill, full } from '../src/runtime/kernels/copy.ts';
import { random } from '../src/runtime/kernels/random.ts';
import { updateRunningAverage } from '../src/runtime/kernels/runningAverage.ts';
import { cut } from '../src/runtime/parts.ts';
import { type Shape, sizeOf } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { checkFinite, Sgd } from '../src/train/optimizers.ts';
import { useDevice } from './device.ts';

function filled(device: Device, shape: Shape, seed: number, shift = 0): Tensor {
  return device.tensor(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => shift + v(i, seed)),
    shape,
  );
}

interface Case {
  readonly shapes: readonly Shape[];
  /** Added to the values of the inputs, which lie in [-1, 1). */
  readonly shift?: number;
  /** The function is linear in each of its inputs' pieces, so that second derivatives vanish. */
  readonly firstOnly?: boolean;
  run(...inputs: Tensor[]): Tensor;
}

const image: Shape = [2, 6, 13, 11];
const wide: Shape = [1, 9, 17, 19];
const fir: number[] = [1, 3, 3, 1].flatMap(a => [1, 3, 3, 1].map(b => (a * b) / 64));
const filter = (x: Tensor) => x.device.tensor(fir, [4, 4]);

/** What a network does with activations and weights over the binding limit, small, on a device with a small limit. */
const cases: Record<string, Case> = {
  'add, mul: full operands': { shapes: [image, image], run: (x, y) => ops.mul(ops.add(x, y), y) },
  'mul: scalar': { shapes: [image, []], run: (x, y) => ops.mul(x, y) },
  'mul: per channel': { shapes: [image, [1, 6, 1, 1]], run: (x, y) => ops.mul(x, y) },
  'mul: per sample and channel': { shapes: [image, [2, 6, 1, 1]], run: (x, y) => ops.mul(x, y) },
  'mul: noise, one plane a sample': { shapes: [image, [2, 1, 13, 11]], run: (x, y) => ops.mul(x, y) },
  'mul: rows and columns': { shapes: [image, [13, 1], [1, 11]], run: (x, y, z) => ops.mul(ops.mul(x, y), z) },
  multiplyAdd: { shapes: [image, [2, 6, 1, 1], [1, 6, 1, 1]], run: (x, y, z) => ops.multiplyAdd(x, y, z) },
  'exp of a vector': { shapes: [[1500]], run: x => ops.exp(x) },
  'div of a matrix by its rows': {
    shapes: [
      [40, 50],
      [40, 1],
    ],
    shift: 2,
    run: (x, y) => ops.div(x, y),
  },
  biasedLeakyRelu: { shapes: [image, [1, 6, 1, 1]], run: (x, b) => ops.biasedLeakyRelu(x, b) },
  prelu: { shapes: [image, [1, 6, 1, 1]], run: (x, a) => ops.prelu(x, a) },
  'sum of squares over all': { shapes: [image], run: x => ops.sum(ops.square(x)) },
  'mean over planes': { shapes: [image], run: x => ops.mean(ops.square(x), { axes: [2, 3], keepDims: true }) },
  'sum over samples': { shapes: [[3, 500]], run: x => ops.sum(ops.square(x), { axes: [0] }) },
  'sum over samples to a result over the limit': {
    shapes: [[3, 600]],
    run: x => ops.sum(ops.square(x), { axes: [0] }),
  },
  'mean over channels': { shapes: [image], run: x => ops.mean(ops.square(x), { axes: [1], keepDims: true }) },
  'sum over samples and planes': { shapes: [image], run: x => ops.sum(ops.square(x), { axes: [0, 2, 3] }) },
  'sum over columns': { shapes: [[40, 50]], run: x => ops.sum(ops.square(x), { axes: [1] }) },
  softmax: { shapes: [[2, 5, 120]], run: x => ops.softmax(x, 1) },
  'linear with a weight over the limit': { shapes: [[3, 50], [40, 50], [40]], run: (x, w, b) => ops.linear(x, w, b) },
  'linear with a long row': {
    shapes: [
      [2, 700],
      [3, 700],
    ],
    run: (x, w) => ops.linear(x, w),
  },
  'matmul of tall matrices': {
    shapes: [
      [90, 12],
      [12, 70],
    ],
    run: (a, b) => ops.matmul(a, b),
  },
  'matmul of a transposed matrix': {
    shapes: [
      [60, 20],
      [60, 5],
    ],
    run: (a, b) => ops.matmul(a, b, { transposeA: true }),
  },
  'matmul of two transposed matrices': {
    shapes: [
      [60, 20],
      [30, 60],
    ],
    run: (a, b) => ops.matmul(a, b, { transposeA: true, transposeB: true }),
  },
  'matmul of a batch': {
    shapes: [
      [4, 15, 20],
      [4, 20, 10],
    ],
    run: (a, b) => ops.matmul(a, b),
  },
  'matmul with a shared matrix': {
    shapes: [
      [4, 15, 20],
      [20, 10],
    ],
    run: (a, b) => ops.matmul(a, b),
  },
  'conv2d over samples': {
    shapes: [
      [3, 3, 9, 11],
      [4, 3, 3, 3],
    ],
    run: (x, w) => ops.conv2d(x, w, undefined, { padding: 1 }),
  },
  'conv2d over channels, with bias': {
    shapes: [wide, [4, 9, 3, 3], [4]],
    run: (x, w, b) => ops.conv2d(x, w, b, { padding: 1 }),
  },
  'conv2d to many channels': {
    shapes: [
      [1, 2, 17, 19],
      [9, 2, 3, 3],
    ],
    run: (x, w) => ops.conv2d(x, w, undefined, { padding: 1 }),
  },
  'conv2d with stride': {
    shapes: [wide, [4, 9, 3, 3]],
    run: (x, w) => ops.conv2d(x, w, undefined, { stride: 2, padding: 1 }),
  },
  'conv2d with groups': { shapes: [wide, [6, 3, 3, 3]], run: (x, w) => ops.conv2d(x, w, undefined, { groups: 3 }) },
  'conv2d of a batch in groups': {
    shapes: [image, [6, 1, 3, 3]],
    run: (x, w) => ops.conv2d(x, w, undefined, { groups: 6 }),
  },
  'convTranspose2d, 2×': {
    shapes: [
      [1, 4, 8, 9],
      [4, 3, 3, 3],
    ],
    run: (x, w) => ops.convTranspose2d(x, w, undefined, { stride: 2 }),
  },
  'convTranspose2d of wide': {
    shapes: [wide, [9, 2, 3, 3]],
    run: (x, w) => ops.convTranspose2d(x, w, undefined, { padding: 1 }),
  },
  'convTranspose2d with groups': {
    shapes: [
      [2, 4, 8, 9],
      [4, 3, 3, 3],
    ],
    run: (x, w) => ops.convTranspose2d(x, w, undefined, { stride: 2, groups: 2 }),
  },
  'upfirdn2d: blur': { shapes: [image], firstOnly: true, run: x => ops.upfirdn2d(x, filter(x), { pad: [2, 1] }) },
  'upfirdn2d: up': {
    shapes: [[1, 3, 9, 8]],
    firstOnly: true,
    run: x => ops.upfirdn2d(x, filter(x), { up: 2, pad: [2, 1] }),
  },
  'upfirdn2d: down': {
    shapes: [image],
    firstOnly: true,
    run: x => ops.upfirdn2d(x, filter(x), { down: 2, pad: [1, 1] }),
  },
  interpolate: { shapes: [image], firstOnly: true, run: x => ops.interpolate(x, [7, 20], 'bilinear') },
  adaptiveAvgPool2d: { shapes: [image], firstOnly: true, run: x => ops.adaptiveAvgPool2d(x, [5, 4]) },
  maxPool2d: { shapes: [image], firstOnly: true, run: x => ops.maxPool2d(x, { kernel: 3, stride: 2, padding: 1 }) },
  batchNormTraining: {
    shapes: [image, [6], [6]],
    run: (x, w, b) => ops.batchNormTraining(x, w, b).output,
  },
  'batchNorm by given statistics': {
    shapes: [image, [6], [6], [6]],
    run: (x, w, b, offset) => {
      const [mean, variance] = [0.1, 0.8].map(value => full(x.device, [6], value));
      return ops.batchNorm(x, w, b, mean, variance, { offset, slope: 0.2 });
    },
  },
  'conv2d with bias and activation': {
    shapes: [image, [6, 6, 3, 3], [6]],
    run: (x, w, b) => ops.conv2d(x, w, b, { padding: 1, activation: { slope: 0.2, gain: 1.5 } }),
  },
  subsample: { shapes: [image], firstOnly: true, run: x => ops.subsample(x, 2) },
  'maxMean over pixels': { shapes: [image], firstOnly: true, run: x => ops.maxMean(x, 'pixels') },
  'maxMean over channels': { shapes: [image], firstOnly: true, run: x => ops.maxMean(x, 'channels') },
  channelGate: {
    shapes: [image, [3, 6], [6, 3], image],
    run: (x, w1, w2, shortcut) => ops.channelGate(x, { w1, w2, shortcut }),
  },
  'channelGate with maxima': {
    shapes: [image, [3, 6], [6, 3], [3], [6]],
    run: (x, w1, w2, b1, b2) => ops.channelGate(x, { w1, w2, b1, b2, withMax: true }),
  },
  cosineDistance: { shapes: [image, image], run: (x, y) => ops.cosineDistance([x], [y]) },
  perceptualDistance: {
    shapes: [image, image, [6]],
    run: (x, y, w) => ops.perceptualDistance([x], [y], [w]),
  },
  styledActivation: {
    shapes: [image, [2, 6], [6], [1, 1, 13, 11], [1]],
    run: (x, demodulation, bias, map, strength) =>
      ops.styledActivation(x, { demodulation, bias, noise: { map, strength } }),
  },
  'sumProduct over planes': { shapes: [image, image], run: (x, y) => ops.sumProduct(x, y, { axes: [2, 3] }) },
  'concat of channels': { shapes: [image, [2, 2, 13, 11]], run: (x, y) => ops.square(ops.concat([x, y], 1)) },
  'narrow channels': { shapes: [image], run: x => ops.square(ops.narrow(x, 1, 1, 5)) },
  'slice with a step': {
    shapes: [image],
    run: x => ops.square(ops.slice(x, { begin: [0, 1, 2, 0], end: [2, 6, 12, 11], step: [1, 2, 3, 1] })),
  },
  pad: {
    shapes: [[1, 5, 9, 10]],
    run: x =>
      ops.square(
        ops.pad(x, [
          [0, 0],
          [1, 2],
          [3, 0],
          [0, 1],
        ]),
      ),
  },
  flip: { shapes: [image], run: x => ops.mul(ops.flip(x, [3]), x) },
  permute: { shapes: [image], run: x => ops.square(ops.permute(x, [3, 1, 0, 2])) },
  'transpose of a matrix': { shapes: [[40, 50]], run: x => ops.square(ops.transpose(x)) },
  expand: { shapes: [[6, 1, 11]], run: x => ops.square(ops.expand(x, [2, 6, 13, 11])) },
  'reshape across parts': { shapes: [image, [4, 429]], run: (x, y) => ops.mul(ops.reshape(x, [4, 429]), y) },
};

/**
 * The output, the gradients of its sum weighted by v, alone and to be differentiated again, and the gradients of these:
 * all as [label, tensor].
 */
function derivatives(device: Device, { shapes, shift, firstOnly, run }: Case): [string, Tensor][] {
  const inputs = shapes.map((shape, k) => ops.variable(filled(device, shape, k + 1, shift)));
  const weighted = (tensors: readonly Tensor[], seed: number) =>
    tensors.map((x, k) => ops.sum(ops.mul(x, filled(device, x.shape, seed + k)))).reduce((a, b) => ops.add(a, b));
  const y = run(...inputs);
  const first = ops.grad(weighted([y], 10), inputs, { createGraph: true });
  const alone = ops.grad(weighted([y], 10), inputs);
  const result: [string, Tensor][] = [
    ['output', y],
    ...first.map((g, k): [string, Tensor] => [`gradient ${k}`, g]),
    ...alone.map((g, k): [string, Tensor] => [`gradient ${k} alone`, g]),
  ];
  if (firstOnly) return result;
  const second = ops.grad(weighted(first, 20), inputs, { unused: 'zero' });
  return [...result, ...second.map((g, k): [string, Tensor] => [`second gradient ${k}`, g])];
}

describe('tensors in parts equal whole ones', () => {
  const small = useDevice({ bindingLimit: 2048 });
  const whole = useDevice();

  test.each(Object.entries(cases))('%s', async (_, each) => {
    const results = await Promise.all(
      [small.device, whole.device].map(device =>
        device.scope('case', () => derivatives(device, each).map(([label, x]) => ({ label, x, values: x.read() }))),
      ),
    );
    const touched = [...each.shapes.map(sizeOf), ...results[0].map(({ x }) => x.size)];
    expect(Math.max(...touched), 'a tensor of the case is over the limit').toBeGreaterThan(512);
    for (const [i, { label, x, values }] of results[0].entries()) {
      expect(x.parts !== undefined).toBe(x.size > 512);
      const [got, want] = [await values, await results[1][i].values];
      const scale = want.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
      const worst = got.reduce((most, value, at) => Math.max(most, Math.abs(value - want[at])), 0);
      expect(worst / scale, label).toBeLessThan(1e-5);
    }
  });

  // With gradients the convolution stands alone; without, its kernel does all, unless the result is in parts.
  test('a styled convolution whose gradient nobody wants', async () => {
    const [result, want] = await Promise.all(
      [small.device, whole.device].map(device => {
        const shapes = [image, [5, 6, 3, 3], [2, 6], [2, 5], [5], [2, 1, 13, 11]];
        const [x, weight, styles, demodulation, bias, map] = shapes.map((shape, k) => filled(device, shape, k));
        const noise = { map, strength: device.tensor([0.7], [1]) };
        const y = ops.styledConv2d(x, weight, { styles, demodulation, bias, noise });
        expect(y.parts !== undefined).toBe(device === small.device);
        return y.read();
      }),
    );
    result.forEach((value, i) => {
      expect(value).toBeCloseTo(want[i], 5);
    });
  });

  test('read, write, fill and copy', async () => {
    const { device } = small;
    const values = Float32Array.from({ length: 3000 }, (_, i) => i);
    const x = device.tensor(values, [3, 1000]);
    expect(await x.read()).toEqual(values);
    const y = full(device, [3, 1000], 7);
    device.copy(x, y, { from: 100, to: 1900, count: 1050 });
    const want = new Float32Array(3000).fill(7);
    want.set(values.subarray(100, 1150), 1900);
    expect(await y.read()).toEqual(want);
    fill(y, 2);
    expect(await y.read()).toEqual(new Float32Array(3000).fill(2));
    expect(() => device.copy(x, y, { from: 1, count: 3000 })).toThrow('cannot copy');
  });

  test.each([[[3001]], [[2, 3, 201]]])('random numbers do not depend on the limit: %j', async shape => {
    const draws = [small, whole].map(({ device }) =>
      random(device, shape, 'normal', { seed: 1, stream: 'noise', step: device.tensor([3], [1], 'u32') }).read(),
    );
    expect(await draws[0]).toEqual(await draws[1]);
  });

  test('running averages and the finite check', async () => {
    const { device } = small;
    const [average, x] = [filled(device, [30, 50], 1), filled(device, [30, 50], 2)];
    const want = [await average.read(), await x.read()];
    updateRunningAverage(average, x.view([1500]), device.tensor([0.5], [1]), device.tensor([0], [1], 'u32'));
    (await average.read()).forEach((value, i) => {
      expect(value).toBeCloseTo((want[0][i] + want[1][i]) / 2, 6);
    });
    const gate = device.tensor([0], [1], 'u32');
    checkFinite([x], gate);
    expect([...(await device.readU32(gate))]).toEqual([0]);
    device.write(x, want[1].fill(Number.NaN, 1400, 1401));
    checkFinite([x], gate);
    expect([...(await device.readU32(gate))]).toEqual([1]);
  });

  test('labels as indicators', async () => {
    const labels = Array.from({ length: 200 }, (_, i) => (i * 7) % 6);
    const losses = [small, whole].map(({ device }) =>
      ops.crossEntropy(filled(device, [2, 6, 10, 10], 1), device.tensor(labels, [2, 10, 10], 'u32')).item(),
    );
    expect(await losses[0]).toBeCloseTo(await losses[1], 5);
  });

  test('blocks cover a shape in order', () => {
    for (const shape of [[7], [3, 5], [2, 3, 5], [2, 3, 5, 7], [1, 1, 9], [4, 1, 3]]) {
      for (const limit of [1, 2, 7, 20, 1000]) {
        const blocks = cut(shape, limit);
        expect(blocks.reduce((sum, block) => sum + sizeOf(block.shape), 0)).toBe(sizeOf(shape));
        for (const block of blocks) expect(sizeOf(block.shape)).toBeLessThanOrEqual(limit);
      }
    }
  });
});

describe("on WebGPU's default limits", () => {
  const gpu = useDevice({ limits: 'default' });

  /** Single elements of a tensor. */
  const pick = async (x: Tensor, places: readonly number[]) => {
    const chosen = gpu.device.empty([places.length]);
    places.forEach((place, i) => {
      gpu.device.copy(x, chosen, { from: place, to: i, count: 1 });
    });
    return [...(await chosen.read())];
  };

  const close = async (got: Promise<ArrayLike<number>>, want: readonly number[]) => {
    const values = await got;
    const scale = Math.max(...want.map(Math.abs));
    want.forEach((value, i) => {
      expect(Math.abs(values[i] - value) / scale, `element ${i}`).toBeLessThan(1e-5);
    });
  };

  test('a tensor of 512 MiB', async () => {
    const { device } = gpu;
    expect(device.limits.maxStorageBufferBindingSize).toBe(128 * 2 ** 20);
    const places = [0, 2 ** 25 - 1, 2 ** 25, 2 ** 27 - 1, 2 ** 26 + 17 * 2 ** 20 + 9];
    const sums = Array.from({ length: 128 }, (_, row) => 0.5 * v(row, 2) + v(row % 64, 1) + 2);
    await device.scope('512 MiB', () => {
      const x = full(device, [2, 64, 1024, 1024], 0.5);
      expect(x.bytes).toBe(2 ** 29);
      const channel = filled(device, [1, 64, 1, 1], 1, 2);
      const sample = ops.variable(filled(device, [2, 64, 1, 1], 2));
      const y = ops.multiplyAdd(x, sample, channel);
      const planes = ops.mean(y, { axes: [2, 3] });
      const [slope] = ops.grad(ops.mean(y), [sample]);
      // The rest works in the memory of what came before it.
      const scaled = device.scope('forward', () => pick(ops.mul(ops.mul(x, y), device.tensor([4], [])), places));
      return Promise.all([
        close(planes.read(), sums),
        close(ops.mean(y).read(), [sums.reduce((a, b) => a + b, 0) / 128]),
        close(slope.read(), new Array(128).fill(0.5 / 128)),
        close(
          scaled,
          places.map(place => 2 * sums[place >> 20]),
        ),
      ]);
    });
  });

  test('convolutions of more pixels than one row of workgroups takes', async () => {
    const { device } = gpu;
    await device.scope('many pixels', () => {
      const x = full(device, [1, 1, 2050, 8200], 1);
      const y = ops.conv2d(x, full(device, [1, 1, 1, 1], 2));
      const z = ops.convTranspose2d(full(device, [17, 1, 1024, 1024], 1), full(device, [1, 1, 1, 1], 2));
      return Promise.all([
        close(pick(y, [0, y.size / 2, y.size - 1]), [2, 2, 2]),
        close(pick(z, [0, z.size / 2, z.size - 1]), [2, 2, 2]),
        close(ops.mean(y).read(), [2]),
        close(ops.mean(z).read(), [2]),
      ]);
    });
  });

  test('a matrix product of more rows than one row of workgroups takes; more than a grid takes is refused', async () => {
    const { device } = gpu;
    const rows = 65535 * 16 + 9;
    const [values, products] = await device.scope('many rows', () => {
      const a = filled(device, [rows, 1], 1);
      return Promise.all([a.read(), ops.matmul(a, device.tensor([1, 2, 3, 4], [1, 4])).read()]);
    });
    for (const row of [0, 65535, 65536 * 8, rows - 9, rows - 1]) {
      const expected = [1, 2, 3, 4].map(b => Math.fround(values[row] * b));
      expect([...products.subarray(4 * row, 4 * row + 4)]).toEqual(expected);
    }
    const z = device.tensor(new Float32Array(65536), [65536, 1, 1]);
    expect(() => device.scope('batch', () => ops.matmul(z, z))).toThrow(/matmul: .* 65536 workgroups are more/);
    device.discard(z);
  });

  test('a dense layer with a weight of 231 MB: forward, gradients, and an optimiser step', async () => {
    const { device } = gpu;
    const [outputs, inputs] = [4608, 12544];
    const module = new BareParameters({ weight: [outputs, inputs] });
    initialize(module, device);
    const weight = module.parameters().get('weight')!;
    expect(placementOf(module).chunks.length).toBe(2);
    // w[o, i] = a[o] b[i]: products with it have closed forms.
    device.scope('weights', () => {
      device.copy(ops.mul(filled(device, [outputs, 1], 1), filled(device, [1, inputs], 2)), weight.value);
    });
    const x = ops.variable(filled(device, [2, inputs], 3));
    const g = filled(device, [2, outputs], 4);
    const y = ops.linear(x, weight.value);
    const [gx, gw] = ops.grad(ops.sum(ops.mul(y, g)), [x, weight.value]);
    const optimizer = new Sgd(module);
    optimizer.collect([gw]);
    optimizer.step(device.tensor([0.5], [1]), device.tensor([0], [1], 'u32'));
    const row = (n: number, seed: number, length: number) => Array.from({ length }, (_, i) => v(n * length + i, seed));
    const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0);
    const [a, b] = [row(0, 1, outputs), row(0, 2, inputs)];
    const [ys, gxs] = await Promise.all([y.read(), gx.read()]);
    for (const n of [0, 1]) {
      const [xb, ga] = [dot(row(n, 3, inputs), b), dot(row(n, 4, outputs), a)];
      for (const o of [0, 1, 2303, 2304, 2674, 2675, 4607]) expect(ys[n * outputs + o]).toBeCloseTo(a[o] * xb, 2);
      for (const i of [0, 1, 6000, 12543]) expect(gxs[n * inputs + i]).toBeCloseTo(ga * b[i], 2);
    }
    const corners = [0, 2303, 2304, 2675, 4607].map((o, n) => [o, (n * 3001) % inputs]);
    const places = corners.map(([o, i]) => o * inputs + i);
    const slopes = corners.map(([o, i]) => v(o, 4) * v(i, 3) + v(outputs + o, 4) * v(inputs + i, 3));
    await close(pick(gw, places), slopes);
    const moved = corners.map(([o, i], n) => a[o] * b[i] - 0.5 * slopes[n]);
    await close(pick(weight.value, places), moved);
    optimizer.release();
    release(module);
  });

  test('upsampling to 1024×1024 with 32 channels: transposed convolution, blur, bias and activation, 1×1 convolution', async () => {
    const { device } = gpu;
    await device.scope('upsampling', () => {
      const x = ops.variable(full(device, [1, 2, 512, 512], 1));
      const w = ops.variable(full(device, [2, 32, 3, 3], 0.5));
      const bias = ops.variable(filled(device, [1, 32, 1, 1], 1));
      const toGrey = ops.variable(full(device, [1, 32, 1, 1], 1 / 32));
      const up = ops.convTranspose2d(x, w, undefined, { stride: 2 });
      expect(up.shape).toEqual([1, 32, 1025, 1025]);
      expect(up.parts?.length).toBe(2);
      const blurred = ops.upfirdn2d(up, filter(x), { pad: [1, 1], gain: 4 });
      const y = ops.biasedLeakyRelu(blurred, bias, { gain: 1 });
      const grey = ops.conv2d(y, toGrey);
      const [gx, gw] = ops.grad(ops.mean(grey), [x, w]);
      // Far from the border a pixel is 2 channels · 0.5 · 9 taps / 4 phases · filter sum 1 · gain 4.
      const activation = (value: number) => (value > 0 ? value : 0.2 * value);
      const biases = Array.from({ length: 32 }, (_, c) => v(c, 1));
      const want = biases.reduce((sum, b) => sum + activation(9 + b), 0) / 32;
      const middle = 512 * 1024 + 512;
      return Promise.all([
        grey.read().then(values => expect(values[middle]).toBeCloseTo(want, 4)),
        // Each input pixel reaches 9 · 0.5 · 4 of the blurred pixels' sum, in each of 32 channels weighted by 1 / 32.
        gx.read().then(values => expect(values[256 * 512 + 256] * 2 ** 20).toBeCloseTo(18, 3)),
        gw.read().then(values => expect(values[4]).toBeCloseTo((4 * 2 ** 18) / 2 ** 20 / 32, 3)),
      ]);
    });
  });
});
