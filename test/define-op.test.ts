/** An operation from outside of the repository: the example of docs/kernels.md, which imports the package. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sine } from '../examples/sine.ts';
import { defineOp, grad, type OpDefinition, ops, variable } from '../src/index.ts';
import { useDevice } from './device.ts';

const on = useDevice();
const frequency = 1.5;
/** More than one row of workgroups would need 4 million elements; a size that is no multiple of a workgroup will do. */
const values = Float32Array.from({ length: 150 }, (_, i) => Math.sin(i * i) * 2);
const near = (got: Float32Array, expected: (x: number) => number, tolerance = 1e-5) => {
  expect(got.length).toBe(values.length);
  got.forEach((value, i) => {
    expect(Math.abs(value - expected(values[i])), `element ${i}`).toBeLessThan(tolerance);
  });
};

/** sine(x), and the derivatives of the sum of its cubes, of first to third order, at these values. */
async function derivatives(at: Float32Array): Promise<Float32Array[]> {
  const { device } = on;
  const reads = device.scope('derivatives', () => {
    const x = variable(device.tensor(at, [10, 15]));
    const orders = [sine(x, frequency)];
    for (let order = 1; order <= 3; order++)
      orders.push(...grad(ops.sum(orders[order - 1]), [x], { createGraph: true }));
    return orders.map(tensor => tensor.read());
  });
  return Promise.all(reads);
}

describe('the example', () => {
  test('computes a sine and its derivatives, by their formulas', async () => {
    const [y, first, second, third] = await derivatives(values);
    near(y, x => Math.sin(frequency * x));
    near(first, x => frequency * Math.cos(frequency * x));
    near(second, x => -(frequency ** 2) * Math.sin(frequency * x));
    near(third, x => -(frequency ** 3) * Math.cos(frequency * x), 3e-5);
  });

  test('agrees with central differences in the first and second order', async () => {
    const step = 0.01;
    const [at, above, below] = [0, step, -step].map(by => derivatives(values.map(x => x + by)));
    const [, first, second] = await at;
    const slopes = async (order: number) => {
      const [high, low] = [(await above)[order], (await below)[order]];
      return high.map((value, i) => (value - low[i]) / (2 * step));
    };
    for (const [order, gradient] of [first, second].entries()) {
      const errors = (await slopes(order)).map((slope, i) => Math.abs(slope - gradient[i]));
      expect(Math.max(...errors)).toBeLessThan(3e-4);
    }
  });

  test('is recorded as any operation, bit for bit', async () => {
    const { device } = on;
    const x = device.keep(device.tensor(values, [150]));
    const program = device.record('sine', () => sine(x, frequency));
    expect(await program.run().read()).toEqual(await device.scope('sine', () => sine(x, frequency).read()));
    program.release();
    device.discard(x);
  });
});

test('docs/kernels.md shows the example as it is', () => {
  const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
  const [shown] = /^const wave[\s\S]*?^\}\);$/m.exec(read('docs/kernels.md'))!;
  expect(read('examples/sine.ts')).toContain(shown);
});

describe('defineOp', () => {
  const add = `@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
//: let TIMES = 1
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u) {
  c[group.x] = a[group.x] + $TIMES * b[group.x];
}`;
  const definition: OpDefinition<number> = {
    name: 'addTimes',
    wgsl: add,
    shape: ([a]) => a,
    tile: (_, __, times) => ({ TIMES: times }),
    workgroups: (_, c) => [c.size],
  };

  test('takes several inputs, the text layer and a grid of its own', async () => {
    const { device } = on;
    const addTimes = defineOp(definition);
    const read = device.scope('add', () => {
      const [a, b] = [device.tensor([1, 2, 3], [3]), device.tensor([10, 20, 30], [3])];
      return addTimes([a, b], 3).read();
    });
    expect([...(await read)]).toEqual([31, 62, 93]);
  });

  test('refuses what does not fit, and says what', () => {
    const { device } = on;
    const addTimes = defineOp(definition);
    expect(() => device.scope('one', () => addTimes([device.empty([3])], 1))).toThrow(
      'addTimes takes 2 tensors, got 1',
    );
    expect(() => defineOp({ ...definition, wgsl: `${add}\n` })).toThrow('there is another operation "addTimes"');
    expect(() => defineOp({ ...definition, name: 'words', words: () => [1] })).toThrow(
      'defineOp: "words" must bind its inputs (read), one output (read_write) and a uniform, not read, read, read_write',
    );
    expect(() => defineOp({ ...definition, name: 'none', wgsl: 'fn main() {}' })).toThrow('one output (read_write)');
    const alone = add.split('\n').slice(2).join('\n').replace('binding(2)', 'binding(0)');
    expect(() => defineOp({ ...definition, name: 'alone', wgsl: alone })).toThrow('must bind its inputs (read)');
    const x = variable(device.keep(device.empty([3])));
    expect(() => device.scope('vjp', () => grad(ops.sum(addTimes([x, x], 1)), [x]))).toThrow('addTimes has no vjp');
  });

  test('shows what does not compile', async () => {
    const { device } = on;
    const broken = defineOp({ ...definition, name: 'broken', wgsl: add.replace('c[group.x]', 'd[group.x]') });
    const read = device.scope('broken', () => broken([device.empty([3]), device.empty([3])], 1).read());
    await expect(read).rejects.toThrow(/6 \| {3}d\[group\.x\][^\n]*\n {2}\| {3}\^ error: unresolved value 'd'/);
    await device.finish().catch(() => {});
  });
});
