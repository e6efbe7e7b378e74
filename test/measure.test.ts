import { expect, test } from 'vitest';
import copySource from '../shaders/measure_copy.wgsl';
import fmaSource from '../shaders/measure_fma.wgsl';
import { floatBits, grid } from '../src/runtime/device.ts';
import { measureCeilings } from '../src/runtime/measure.ts';
import { useDevice } from './device.ts';

const gpu = useDevice();

test('a round of the arithmetic kernel is 64 multiply-adds', async () => {
  const { device } = gpu;
  const kernel = device.kernel({ name: 'measure_fma', source: fmaSource });
  const y = device.empty([128]);
  // With a = b = 1 each multiply-add adds 1 to the chains, which start at 8 i + 0 + 1 + … + 7 in all.
  const rounds = 3;
  device.dispatch(kernel, [y], [rounds, floatBits(1), floatBits(1)], [2]);
  expect([...(await y.read())]).toEqual(Array.from({ length: 128 }, (_, i) => 8 * i + 28 + 64 * rounds));
});

test('the copy kernel copies every element', async () => {
  const { device } = gpu;
  const kernel = device.kernel({ name: 'measure_copy', source: copySource });
  const values = Float32Array.from({ length: 4 * 1001 }, (_, i) => i + 1);
  const [x, y] = [device.tensor(values, [values.length]), device.empty([values.length])];
  device.dispatch(kernel, [x, y], [], grid(values.length / 4, 64));
  expect(await y.read()).toEqual(values);
});

test('the ceilings are numbers, and measuring leaves no memory lent', async () => {
  const { device } = gpu;
  const before = device.memory.lentBytes;
  const { arithmetic, bandwidth } = await measureCeilings(device);
  expect(arithmetic).toBeGreaterThan(0);
  expect(bandwidth).toBeGreaterThan(0);
  expect(device.memory.lentBytes).toBe(before);
});
