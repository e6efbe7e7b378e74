import source from '../../../shaders/random.wgsl';
import { type Device, floatBits, grid } from '../device.ts';
import type { Shape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';

const RANDOM = { name: 'random', source };
const WORKGROUP = 64;

/** What a draw depends on: nothing but the seed, the name of its stream and the number of the step. */
export interface RandomSource {
  readonly seed: number;
  /** Which use of randomness this is, as 'stage 2 noise 3'; different names are independent. */
  readonly stream: string;
  /** u32 [1]: the number of the training step, kept in a buffer so that a repeated program draws anew. */
  readonly step: Tensor;
}

export type Distribution = 'uniform' | 'normal';

/** Fills a tensor with offset + scale · u, u uniform in (-1, 1] or standard normal. */
export function fillRandom(
  tensor: Tensor,
  distribution: Distribution,
  { seed, stream, step }: RandomSource,
  { offset = 0, scale = 1 } = {},
): void {
  const { device } = tensor;
  const kernel = device.kernel(RANDOM, { constants: { NORMAL: distribution === 'normal' ? 1 : 0 } });
  let start = 0;
  for (const part of tensor.parts ?? [tensor]) {
    const words = [start, part.size, seed >>> 0, hash(stream), floatBits(offset), floatBits(scale)];
    // A part that does not start at a multiple of 4 has one counter more.
    device.dispatch(kernel, [step, part], words, grid(Math.ceil(((start % 4) + part.size) / 4), WORKGROUP));
    start += part.size;
  }
}

/** Random numbers of a shape. */
export function random(device: Device, shape: Shape, distribution: Distribution, source: RandomSource): Tensor {
  const tensor = device.empty(shape, 'f32', source.stream);
  fillRandom(tensor, distribution, source);
  return tensor;
}

/** FNV-1a, 32 bits: the key of a stream by its name. */
export function hash(name: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
