import { expect, test } from 'vitest';
import { root, run } from '../readmeCommands.ts';

/** Installs the peers where they are not yet, which needs a package registry. */
async function bench(filter: string) {
  const { code, output } = await run(`npm run -s bench:peers -- '${filter}' --rounds 1 --json 2>/dev/null`, root);
  expect(code).toBe(0);
  return JSON.parse(output);
}

test.each(['conv2d N4 32→32', 'conv2d gradients N4 32→32', 'matmul'])(
  'every peer has a right result of %s on the same driver',
  async filter => {
    const { adapter, rows, drivers } = await bench(filter);
    expect(rows).toHaveLength(1);
    expect(rows[0].notes).toEqual({});
    for (const ms of [rows[0].ours, ...Object.values(rows[0].peers)]) expect(ms).toBeGreaterThan(0);
    expect(drivers).toMatchObject({ wgrad: adapter, tfjs: adapter, jax: adapter });
    if (/llvmpipe/.test(adapter)) expect(drivers.onnxruntime).toBe('libvulkan_lvp.so');
  },
  600_000,
);

test('a training step of every peer that has gradients gives the losses of the reference', async () => {
  const { rows } = await bench('training');
  expect(rows[0].notes).toEqual({ onnxruntime: 'it has no gradients' });
  expect(rows[0].peers).toEqual({ tfjs: expect.any(Number), jax: expect.any(Number), onnxruntime: null });
}, 600_000);
