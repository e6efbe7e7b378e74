import { describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { exactNumbers } from '../src/runtime/reference.ts';
import { useDevice } from './device.ts';

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

  test('an op that takes f32 only says so, and so do operands of two types', () => {
    const { device } = on;
    device.scope('refused', () => {
      const x = ops.cast(device.tensor([1, 2], [1, 2]), 'f16');
      expect(() => ops.exp(x)).toThrow('exp takes f32 tensors: cast()');
      const one = device.tensor([1], [1, 1]);
      const styled = { styles: one, demodulation: one, bias: one.view([1]) };
      const image = ops.cast(device.tensor([1, 2], [1, 1, 1, 2]), 'f16');
      const weight = ops.cast(one.view([1, 1, 1, 1]), 'f16');
      expect(() => ops.styledConv2d(image, weight, styled)).toThrow('styledConv2d takes f32 tensors: cast()');
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
