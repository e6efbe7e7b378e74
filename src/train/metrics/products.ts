import { matmul, noGrad } from '../../autograd/index.ts';
import type { Device } from '../../runtime/device.ts';
import type { Compute } from '../training.ts';
import type { Features } from './frechet.ts';

/** Rows of features that are multiplied at a time, at most. */
const TILE = 1024;
const LEAST_TILE = 32;

/** The product of row i of one set and row j of another at [i · stride + j]. */
export interface Tile {
  readonly values: Float32Array;
  readonly stride: number;
}

/** Of sets of at most 1024 rows. */
export type Multiply = (a: Features, b: Features) => Promise<Tile>;

/**
 * Scalar products of feature vectors of a length on the device, in f32: what kernels and distances between all pairs of
 * two sets are made of. The device keeps memory for two tiles.
 */
export function products(device: Device, length: number): (compute: Compute) => Multiply {
  const operand = (name: string) => device.keep(device.empty([TILE, length], 'f32', name));
  const operands = [operand('first features'), operand('second features')];
  return compute =>
    async (...sets) => {
      // Few sizes, so that there are few programs.
      const most = Math.max(LEAST_TILE, ...sets.map(({ rows }) => rows));
      const stride = 2 ** Math.ceil(Math.log2(most));
      if (stride > TILE) throw new Error(`products of ${most} rows, at most ${TILE} wanted`);
      const [a, b] = sets.map(({ rows, values }, i) => {
        if (values.length !== rows * length) {
          throw new Error(`products of ${values.length / rows} features, ${length} wanted`);
        }
        const padded = new Float32Array(stride * length);
        padded.set(values);
        const tile = operands[i].window(0, [stride, length]);
        device.write(tile, padded);
        return tile;
      });
      const name = `metrics: products of ${stride}`;
      const multiply = () => device.scope(name, () => noGrad(() => matmul(a, b, { transposeB: true })));
      return { values: await (await compute(name, multiply)).read(), stride };
    };
}

/** Features cut into tiles. */
export function* tiles({ rows, values }: Features): Generator<Features & { readonly first: number }> {
  const length = values.length / rows;
  for (let first = 0; first < rows; first += TILE) {
    const last = Math.min(rows, first + TILE);
    const own = new Float32Array((last - first) * length);
    for (let k = 0; k < own.length; k++) own[k] = values[first * length + k];
    yield { first, rows: last - first, values: own };
  }
}

/** Chosen rows of features. */
export function chosen({ rows, values }: Features, indices: ArrayLike<number>): Features {
  const length = values.length / rows;
  const own = new Float32Array(indices.length * length);
  for (let i = 0; i < indices.length; i++) {
    for (let k = 0; k < length; k++) own[i * length + k] = values[indices[i] * length + k];
  }
  return { rows: indices.length, values: own };
}
