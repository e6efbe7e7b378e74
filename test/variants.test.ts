import { describe, expect, test } from 'vitest';
import { MATMUL, matmul } from '../src/runtime/kernels/matmul.ts';
import { variantText } from '../src/runtime/variants.ts';
import { useDevice } from './device.ts';

/** Numbers that no sum of a few thousand rounds: multiples of 1/8 between -1 and 1. */
function numbers(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => ((((i + seed) * 7919) % 17) - 8) / 8);
}

describe.each(['adapter', 'default'] as const)('%s limits: every variant computes the same', limits => {
  const on = useDevice({ limits });

  test.each([
    { batchA: 1, batchB: 1, m: 64, n: 128, k: 64 },
    { batchA: 1, batchB: 1, m: 5, n: 7, k: 3 },
    { batchA: 3, batchB: 1, m: 33, n: 66, k: 130 },
    { batchA: 1, batchB: 2, m: 130, n: 65, k: 17 },
    { batchA: 1, batchB: 1, m: 8, n: 36, k: 2050 },
  ])('matmul %j', async ({ batchA, batchB, m, n, k }) => {
    const { device } = on;
    const batch = Math.max(batchA, batchB);
    const [a, b] = [numbers(batchA * m * k, 1), numbers(batchB * k * n, 2)];
    for (const [transposeA, transposeB] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ]) {
      const at = (z: number, i: number, p: number) =>
        a[(batchA > 1 ? z * m * k : 0) + (transposeA ? p * m + i : i * k + p)];
      const bt = (z: number, p: number, j: number) =>
        b[(batchB > 1 ? z * k * n : 0) + (transposeB ? j * k + p : p * n + j)];
      const expected = Float32Array.from({ length: batch * m * n }, (_, i) => {
        const [z, row, column] = [Math.floor(i / (m * n)), Math.floor(i / n) % m, i % n];
        let sum = 0;
        for (let p = 0; p < k; p++) sum += at(z, row, p) * bt(z, p, column);
        return sum;
      });
      const product = { batch, batchA, batchB, m, n, k, transposeA, transposeB, half: false };
      const key = `matmul ${MATMUL.shapeClass(product)}`;
      for (const variant of MATMUL.variants(product, device)) {
        device.choices.set(key, variant);
        const result = device.scope('product', () => {
          const left = device.tensor(a, transposeA ? [batchA, k, m] : [batchA, m, k]);
          const right = device.tensor(b, transposeB ? [batchB, n, k] : [batchB, k, n]);
          return matmul(left, right, { transposeA, transposeB }).read();
        });
        expect(await result, variantText(variant)).toEqual(expected);
      }
    }
  });
});
