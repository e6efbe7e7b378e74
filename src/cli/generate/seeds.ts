import { numpyNormals } from '../../models/stylegan2/seeds.ts';
import type { Device } from '../../runtime/device.ts';
import { random } from '../../runtime/kernels/random.ts';

export const seedModes = ['numpy', 'philox'] as const;
export type SeedMode = (typeof seedModes)[number];

/**
 * z [N, D] of seeds: `numpy` as NVlabs' tools draw it, so that a seed gives the image that it gives there; `philox` as
 * the kernels do, from the stream "z".
 */
export async function drawZ(
  mode: SeedMode,
  seeds: readonly number[],
  d: number,
  device: Device,
): Promise<Float32Array> {
  const z = new Float32Array(seeds.length * d);
  if (mode === 'numpy') {
    for (const [i, seed] of seeds.entries()) z.set(numpyNormals(seed, d), i * d);
    return z;
  }
  const draw = (seed: number) =>
    device.scope('z', () => {
      const step = device.tensor([0], [1], 'u32');
      return random(device, [1, d], 'normal', { seed, stream: 'z', step }).read();
    });
  for (const [i, values] of (await Promise.all(seeds.map(draw))).entries()) z.set(values, i * d);
  return z;
}
