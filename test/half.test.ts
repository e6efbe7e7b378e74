import { describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { exactNumbers } from '../src/runtime/reference.ts';
import { sizeOf } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { useDevice } from './device.ts';

/** Shapes of an op's operands, those first that are f16 in one run of it and f32 in the other; the others are always f32. */
interface Case {
  readonly name: string;
  readonly half: readonly (readonly number[])[];
  readonly full?: readonly (readonly number[])[];
  /** The operands that get no gradient. */
  readonly constant?: readonly number[];
  readonly run: (...operands: Tensor[]) => Tensor;
}

const [X, S, O] = [
  [2, 3, 4, 4],
  [2, 3, 1, 1],
  [2, 3, 3, 3],
] as const;
const FILTER = [4, 4];
const styled = (x: Tensor, d: Tensor, b: Tensor, map: Tensor, strength: Tensor) =>
  ops.styledActivation(x, { demodulation: ops.reshape(d, [2, 3]), bias: b, noise: { map, strength } });

// Of the tensors that StyleGAN2 has in f16, with planes of whole vectors and others.
const cases: readonly Case[] = [
  { name: 'add', half: [X, X], run: ops.add },
  { name: 'sub', half: [O, O], run: ops.sub },
  { name: 'mul by styles', half: [X], full: [S], run: ops.mul },
  { name: 'mul by styles, odd planes', half: [O], full: [S], run: ops.mul },
  { name: 'affine', half: [O], run: x => ops.affine(x, 2, 1) },
  { name: 'multiplyAdd', half: [X, X], full: [[1]], run: (x, z, y) => ops.multiplyAdd(x, y, z) },
  { name: 'clamp', half: [X], run: x => ops.clamp(x, { min: -1, max: 1 }) },
  { name: 'leakyRelu', half: [X], run: x => ops.leakyRelu(x, { slope: 0.2, gain: 2 }) },
  { name: 'biasedLeakyRelu', half: [X], full: [[1, 3, 1, 1]], run: (x, b) => ops.biasedLeakyRelu(x, b) },
  { name: 'biasedLeakyRelu, odd planes', half: [O], full: [[1, 3, 1, 1]], run: (x, b) => ops.biasedLeakyRelu(x, b) },
  { name: 'sum', half: [X], run: x => ops.sum(x, { axes: [2, 3] }) },
  { name: 'sum over samples', half: [O], run: x => ops.sum(x, { axes: [0] }) },
  { name: 'sum of all', half: [O], run: x => ops.sum(x) },
  { name: 'sumProduct', half: [X, X], run: (x, y) => ops.sumProduct(x, y, { axes: [2, 3] }) },
  { name: 'styledActivation', half: [X], full: [S, [3], [2, 1, 4, 4], [1]], constant: [3], run: styled },
  { name: 'styledActivation, odd planes', half: [O], full: [S, [3], [1, 1, 3, 3], [1]], constant: [3], run: styled },
  {
    name: 'conv2d with bias and activation',
    half: [X, [4, 3, 3, 3]],
    full: [[4]],
    run: (x, w, b) => ops.conv2d(x, w, b, { padding: 1, activation: { slope: 0.2, gain: 1.5 } }),
  },
  {
    name: 'upfirdn2d, up',
    half: [X],
    full: [FILTER],
    constant: [1],
    run: (x, f) => ops.upfirdn2d(x, f, { up: 2, pad: [2, 1] }),
  },
  {
    name: 'upfirdn2d, down',
    half: [X],
    full: [FILTER],
    constant: [1],
    run: (x, f) => ops.upfirdn2d(x, f, { down: 2, pad: [1, 1] }),
  },
  {
    name: 'upfirdn2d, blur',
    half: [O],
    full: [FILTER],
    constant: [1],
    run: (x, f) => ops.upfirdn2d(x, f, { pad: [1, 1] }),
  },
  {
    name: 'upfirdn2d, other factors',
    half: [X],
    full: [[3, 3]],
    constant: [1],
    run: (x, f) => ops.upfirdn2d(x, f, { up: 3, down: 2, pad: [2, 1] }),
  },
];

describe('f16', () => {
  const on = useDevice();

  test('cast rounds to nearest and back', async () => {
    const { device } = on;
    const values = [1, -2.5, 65504, 1 / 3, 2 ** -24, 1 + 2 ** -11, 0, 1e-9];
    const result = device.scope('cast', () =>
      ops.cast(ops.cast(device.tensor(values, [values.length]), 'f16'), 'f32').read(),
    );
    expect([...(await result)]).toEqual([1, -2.5, 65504, 0.333251953125, 2 ** -24, 1, 0, 0]);
    const odd = device.scope('odd', () => ops.cast(ops.cast(device.tensor([1, 2, 3], [3]), 'f16'), 'f32').read());
    expect([...(await odd)]).toEqual([1, 2, 3]);
  });

  // Short sums of products of exactNumbers are exact in f16, too.
  test('convolutions and products of f16 equal those of f32 where nothing is rounded, in every variant', async () => {
    const { device } = on;
    const [n, c, o] = [2, 6, 5];
    for (const [stride, size] of [
      [1, 8],
      [2, 9],
    ] as const) {
      const run = (type: 'f16' | 'f32') =>
        device.scope('step', () => {
          const x = ops.variable(
            ops.cast(device.tensor(exactNumbers(n * c * size * size, 1), [n, c, size, size]), type),
          );
          const w = ops.variable(device.tensor(exactNumbers(o * c * 9, 2), [o, c, 3, 3]));
          const y = ops.conv2d(x, ops.cast(w, type), undefined, { stride, padding: 1 });
          const g = ops.cast(device.tensor(exactNumbers(y.size, 3), y.shape), type);
          const [gx, gw] = ops.grad(y, [x, w], { gradient: g });
          expect(gw.dtype).toBe('f32');
          return Promise.all([y, gx, gw].map(result => ops.cast(result, 'f32').read()));
        });
      const expected = await run('f32');
      for (const kernel of ['direct', 'gemm']) {
        device.choices.prefer(kernel);
        expect(await run('f16'), kernel).toEqual(expected);
      }
      device.choices.prefer(undefined);
    }
    for (const kernel of ['direct', 'gemm']) {
      device.choices.prefer(kernel);
      for (const [transposeA, transposeB] of [
        [false, false],
        [true, true],
      ]) {
        const run = (type: 'f16' | 'f32') =>
          device.scope('product', () => {
            const a = ops.cast(device.tensor(exactNumbers(33 * 20, 4), transposeA ? [20, 33] : [33, 20]), type);
            const b = ops.cast(device.tensor(exactNumbers(20 * 12, 5), transposeB ? [12, 20] : [20, 12]), type);
            return ops.cast(ops.matmul(a, b, { transposeA, transposeB }), 'f32').read();
          });
        expect(await run('f16'), kernel).toEqual(await run('f32'));
      }
    }
    device.choices.prefer(undefined);
  });

  // Computed in f32 from equal operands; results and gradients are rounded once each on their way.
  test.each(cases)('$name: value, first and second derivatives are those of f32', async one => {
    const { device } = on;
    const { half, full = [], constant = [] } = one;
    const run = (type: 'f16' | 'f32') =>
      device.scope('case', () => {
        const leaf = (shape: readonly number[], i: number) =>
          ops.variable(
            device.tensor(
              Float32Array.from(exactNumbers(sizeOf(shape), i + 1), x => x / 2 + 0.25),
              shape,
            ),
          );
        const halves = half.map((shape, i) => ops.variable(ops.cast(leaf(shape, i), type)));
        const operands = [...halves, ...full.map((shape, i) => leaf(shape, half.length + i))];
        const wanted = operands.filter((_, i) => !constant.includes(i));
        const y = one.run(...operands);
        const weights = (of: Tensor, seed: number) => device.tensor(exactNumbers(of.size, seed), of.shape);
        const towards = ops.variable(weights(y, 90));
        // With and without a graph, for which ops have kernels of their own.
        const plain = ops.grad(y, wanted, { gradient: ops.castLike(towards, y) });
        const first = ops.grad(y, wanted, { gradient: ops.castLike(towards, y), createGraph: true });
        for (const [i, gradient] of first.entries()) {
          if (gradient.shape.length === 4 && i < half.length && !one.name.startsWith('conv')) {
            expect(gradient.dtype).toBe(wanted[i].dtype);
          }
        }
        const terms = first.map((gradient, i) =>
          ops.sum(ops.mul(ops.cast(gradient, 'f32'), weights(gradient, 50 + i))),
        );
        const loss = terms.reduce((sum, term) => ops.add(sum, term));
        const second = ops.grad(loss, [towards, ...wanted], { unused: 'zero' });
        return Promise.all([y, ...plain, ...first, ...second].map(result => ops.cast(result, 'f32').read()));
      });
    const [expected, found] = [await run('f32'), await run('f16')];
    for (const [i, values] of found.entries()) {
      const largest = Math.max(...expected[i].map(Math.abs));
      const off = Math.max(...values.map((value, j) => Math.abs(value - expected[i][j])));
      expect(off, `result ${i}`).toBeLessThanOrEqual(2 ** -9 * largest);
    }
  });

  test('an op that takes f32 only says so, and so do operands of two types', () => {
    const { device } = on;
    device.scope('refused', () => {
      const x = ops.cast(device.tensor([1, 2], [1, 2]), 'f16');
      expect(() => ops.exp(x)).toThrow('exp takes f32 tensors: cast()');
      expect(() => ops.add(x, device.tensor([1, 2], [1, 2]))).toThrow('cast() one of them');
      expect(() => ops.matmul(x, device.tensor([1, 2], [2, 1]))).toThrow('cast() one of them');
      expect(() => x.read()).toThrow('cast() it to f32');
    });
  });
});

describe('without shader-f16', () => {
  const on = useDevice({ limits: 'default' });

  test('a cast to f16 names the adapter and what it lacks', () => {
    on.device.scope('refused', () => {
      expect(() => ops.cast(on.device.tensor([1], [1]), 'f16')).toThrow('has no shader-f16: use f32');
    });
  });
});
