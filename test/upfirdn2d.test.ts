import { expect, test } from 'vitest';
import { upfirdn2d } from '../src/runtime/kernels/resample.ts';
import { useDevice } from './device.ts';

const gpu = useDevice();
const values = (n: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(1 + i * 1.7));

/** The filter with a row and a column of zeros behind it, as it is correlated: no kernel for 4 × 4 taps takes it. */
function extended(filter: Float32Array, flip: boolean): Float32Array {
  const start = flip ? 0 : 1;
  const wide = new Float32Array(25);
  for (let a = 0; a < 4; a++) wide.set(filter.subarray(4 * a, 4 * a + 4), 5 * (a + start) + start);
  return wide;
}

const cases = [1, 2].flatMap(up =>
  [1, 2].flatMap(down =>
    [
      [2, 1, 2, 1],
      [1, 1, 3, 2],
      [0, 3, 1, 0],
      [-1, 2, 2, -1],
      [3, 3, -2, 5],
    ].flatMap(pad => [true, false].map(flip => ({ up, down, pad: pad as [number, number, number, number], flip }))),
  ),
);

test.each(cases)('4 × 4 taps equal 5 × 5 with zeros: up $up, down $down, pad $pad, flip $flip', async options => {
  const { device } = gpu;
  const { up, down, pad, flip } = options;
  const factors = { up: [up, up], down: [down, down], flip, gain: 1.5 } as const;
  const filter = device.tensor(values(16), [4, 4]);
  const wide = device.tensor(extended(values(16), flip), [5, 5]);
  for (const [height, width] of [
    [5, 7],
    [6, 4],
    [9, 13],
  ]) {
    const x = device.tensor(values(2 * 3 * height * width), [2, 3, height, width]);
    const fast = upfirdn2d(x, filter, { ...factors, pad });
    const plain = upfirdn2d(x, wide, { ...factors, pad: [pad[0], pad[1] + 1, pad[2], pad[3] + 1] });
    expect(fast.shape).toEqual(plain.shape);
    const [a, b] = await Promise.all([fast.read(), plain.read()]);
    for (let i = 0; i < a.length; i++) expect(a[i]).toBeCloseTo(b[i], 5);
  }
});
