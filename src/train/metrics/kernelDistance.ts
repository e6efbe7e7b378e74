import { philox4x32 } from '../../runtime/philox.ts';
import type { Features } from './frechet.ts';
import { chosen, type Multiply, type Tile } from './products.ts';

/** Subsets, and the images of each: those of the reference implementations. */
const SUBSETS = 100;
const SUBSET_SIZE = 1000;

/** 'kid ' */
const STREAM = 0x6b696420;

/**
 * The kernel distance of two feature sets: the unbiased estimate of the squared maximum mean discrepancy with the
 * kernel (⟨x, y⟩ / d + 1)³ (Bińkowski et al. 2018): KID on the features of Inception-v3. The mean over 100 random
 * subsets of as many rows of either as there are, at most 1000. It can be negative.
 */
export async function kernelDistance(
  multiply: Multiply,
  a: Features,
  b: Features,
  { seed = 0 }: { seed?: number } = {},
): Promise<number> {
  const size = Math.min(a.rows, b.rows, SUBSET_SIZE);
  if (size < 2) throw new Error(`the kernel distance needs two rows of either set, not ${a.rows} and ${b.rows}`);
  // Where all rows are in every subset, one says it all.
  const subsets = a.rows === size && b.rows === size ? 1 : SUBSETS;
  let sum = 0;
  for (let k = 0; k < subsets; k++) {
    const [x, y] = [a, b].map((set, which) => chosen(set, subset(set.rows, size, [seed, k, which])));
    const [xx, yy, xy] = [await multiply(x, x), await multiply(y, y), await multiply(x, y)];
    const length = x.values.length / size;
    const within = kernelSum(xx, size, length, false) + kernelSum(yy, size, length, false);
    sum += within / (size * (size - 1)) - (2 * kernelSum(xy, size, length, true)) / size ** 2;
  }
  return sum / subsets;
}

/** Σ (⟨x, y⟩ / d + 1)³ over all pairs, or over those of different rows. */
function kernelSum({ values, stride }: Tile, size: number, length: number, diagonal: boolean): number {
  let sum = 0;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      if (i !== j || diagonal) sum += (values[i * stride + j] / length + 1) ** 3;
    }
  }
  return sum;
}

/** `size` different numbers below `rows`: the beginning of Fisher and Yates's shuffle. */
function subset(rows: number, size: number, [seed, k, which]: readonly number[]): Uint32Array {
  const indices = Uint32Array.from({ length: rows }, (_, i) => i);
  for (let i = 0; i < size && size < rows; i++) {
    const [draw] = philox4x32([i, k, which, 0], [seed >>> 0, STREAM]);
    const j = i + Math.floor((draw / 2 ** 32) * (rows - i));
    [indices[i], indices[j]] = [indices[j], indices[i]];
  }
  return indices.subarray(0, size);
}
