import { withoutEffects } from '../../../autograd/effects.ts';
import { noGrad } from '../../../autograd/index.ts';
import { tile } from '../../../io/grid.ts';
import type { Rgb8 } from '../../../io/images.ts';
import type { Generator } from '../../../models/stylegan2/generator.ts';
import type { Device } from '../../../runtime/device.ts';
import { random } from '../../../runtime/kernels/random.ts';
import type { Compute } from '../../training.ts';

/** Sample grids: 8 × 6 images of fixed z, a row at a time. */
export function sampler(device: Device, generator: Generator, seed: number): (compute: Compute) => Promise<Rgb8> {
  const { wDim, size } = generator.config;
  const [columns, rows] = [8, 6];
  const step = device.keep(device.tensor([0], [1], 'u32'));
  const z = device.keep(device.empty([columns, wDim], 'f32', 'z of a row'));
  const row = () => withoutEffects(() => noGrad(() => generator.forward(generator.mapping.forward(z))));
  return async compute => {
    const pixels: Promise<Float32Array>[] = [];
    for (let i = 0; i < rows; i++) {
      device.scope('z', () => {
        const all = random(device, [rows * columns, wDim], 'normal', { seed, stream: 'samples', step });
        device.copy(all, z, { from: i * z.size, count: z.size });
      });
      pixels.push((await compute('samples', row)).read());
    }
    const images = new Float32Array(rows * columns * 3 * size * size);
    for (const [i, values] of (await Promise.all(pixels)).entries()) images.set(values, i * values.length);
    return tile(images, [rows * columns, 3, size, size], { columns });
  };
}
