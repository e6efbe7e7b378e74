import { describe, expect, test } from 'vitest';
import type { Device } from '../src/runtime/device.ts';
import { useDevice } from './device.ts';

const source = `@group(0) @binding(0) var<storage, read_write> y: array<f32>;
//: let COUNT = 2
@compute @workgroup_size(1)
fn main() {
//: for i in 0..COUNT
  y[$i] = $i;
//: end
  y[0] = nothing;
}`;
let kernels = 0;

/** Each with a kernel of its own: one that failed is not compiled again. */
const dispatch = (device: Device, name = `wrong ${kernels++}`) =>
  device.scope('wrong', () => {
    const y = device.empty([4]);
    device.dispatch(device.kernel({ name, source }), [y], [], [1]);
    return y;
  });

describe('a shader that does not compile is shown with the numbered lines around', () => {
  const on = useDevice();

  test.each([
    ['reading', (device: Device) => dispatch(device).read()],
    [
      'waiting',
      (device: Device) => {
        dispatch(device);
        return device.finish();
      },
    ],
    [
      'many dispatches later',
      async (device: Device) => {
        for (let i = 0; i < 300; i++) dispatch(device, 'repeated');
        await device.finish();
      },
    ],
    [
      'a program',
      async (device: Device) => {
        const [kernel] = device.record('wrong', () => dispatch(device)).kernels();
        await kernel.compile();
      },
    ],
  ])('%s', async (_, use) => {
    const { device } = on;
    const message = await use(device).then(
      () => 'nothing',
      (error: Error) => error.message,
    );
    expect(message).toContain('does not compile:\n');
    expect(message).toMatch(
      /^\d+ \| {3}y\[1\] = 1;\n\d+ \| {3}y\[0\] = nothing;\n {2}\| {10}\^{7} error: unresolved value 'nothing'\n\d+ \| }$/m,
    );
    await device.finish().catch(() => {});
  });
});
