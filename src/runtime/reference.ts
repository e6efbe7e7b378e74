/**
 * The families of kernels by their formulas, in f64 on the host: what every variant is compared with by the tests, the
 * tuner and `wgrad kernel`. Element by element, so that of a large result some can be looked at.
 */
import type { ConvSizes } from './kernels/convSizes.ts';
import type { Product } from './kernels/matmul.ts';
import { type Shape, sizeOf } from './shape.ts';

/** An operand's elements. */
type FloatArray = Float32Array | Float64Array;

/** A result by its formula. */
export interface Reference {
  readonly shape: Shape;
  /** The element at a flat index. */
  at(index: number): number;
}

/** All elements of a reference. */
export function allOf({ shape, at }: Reference): Float64Array {
  return Float64Array.from({ length: sizeOf(shape) }, (_, i) => at(i));
}

/** C [batch, M, N] = A B; an operand of batch 1 serves every matrix. */
export function matmulReference(
  { batch, batchA, batchB, m, n, k, transposeA, transposeB }: Product,
  [a, b]: readonly FloatArray[],
): Reference {
  const [rowA, innerA] = transposeA ? [1, m] : [k, 1];
  const [innerB, columnB] = transposeB ? [1, k] : [n, 1];
  return {
    shape: [batch, m, n],
    at(index) {
      const [z, row, column] = unravel(index, [batch, m, n]);
      const fromA = (batchA > 1 ? z * m * k : 0) + row * rowA;
      const fromB = (batchB > 1 ? z * k * n : 0) + column * columnB;
      let sum = 0;
      for (let p = 0; p < k; p++) sum += a[fromA + p * innerA] * b[fromB + p * innerB];
      return sum;
    },
  };
}

/**
 * y[n, o, i, j] = sum over c, a, b of x[n, g(o) C / groups + c, i s + a - p, j s + b - p] w[o, c, a, b]; with a bias,
 * 2 lrelu(y + bias[o]) of slope 1/4
 */
export function conv2dReference(sizes: ConvSizes, [x, w, bias]: readonly FloatArray[]): Reference {
  const { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups } = sizes;
  const channels = c / groups;
  const shape = [n, o, outHeight, outWidth];
  return {
    shape,
    at(index) {
      const [sample, output, row, column] = unravel(index, shape);
      const first = Math.floor(output / (o / groups)) * channels;
      let sum = 0;
      for (let a = 0; a < kh; a++) {
        const y = row * stride[0] + a - padding[0];
        if (y < 0 || y >= height) continue;
        for (let b = 0; b < kw; b++) {
          const z = column * stride[1] + b - padding[1];
          if (z < 0 || z >= width) continue;
          for (let channel = 0; channel < channels; channel++) {
            const pixel = ((sample * c + first + channel) * height + y) * width + z;
            sum += x[pixel] * w[((output * channels + channel) * kh + a) * kw + b];
          }
        }
      }
      if (!bias) return sum;
      const value = sum + bias[output];
      return 2 * (value > 0 ? value : value / 4);
    },
  };
}

/**
 * y[n, o, i s + a - p, j s + b - p] += x[n, c, i, j] w[c, o - g(c) O / groups, a, b]: the adjoint of conv2d in its
 * input.
 */
export function convTranspose2dReference(sizes: ConvSizes, [x, w]: readonly FloatArray[]): Reference {
  const { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups } = sizes;
  const [channels, outputs] = [c / groups, o / groups];
  const shape = [n, o, outHeight, outWidth];
  return {
    shape,
    at(index) {
      const [sample, output, row, column] = unravel(index, shape);
      const first = Math.floor(output / outputs) * channels;
      let sum = 0;
      for (let a = 0; a < kh; a++) {
        const i = (row + padding[0] - a) / stride[0];
        if (!Number.isInteger(i) || i < 0 || i >= height) continue;
        for (let b = 0; b < kw; b++) {
          const j = (column + padding[1] - b) / stride[1];
          if (!Number.isInteger(j) || j < 0 || j >= width) continue;
          for (let channel = first; channel < first + channels; channel++) {
            const pixel = ((sample * c + channel) * height + i) * width + j;
            sum += x[pixel] * w[((channel * outputs + (output % outputs)) * kh + a) * kw + b];
          }
        }
      }
      return sum;
    },
  };
}

/** u[o, c, a, b] = sum over n, i, j of v[n, o, i, j] x[n, g(o) C / groups + c, i s + a - p, j s + b - p] */
export function weightGradientReference(sizes: ConvSizes, [x, v]: readonly FloatArray[]): Reference {
  const { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups } = sizes;
  const channels = c / groups;
  const shape = [o, channels, kh, kw];
  return {
    shape,
    at(index) {
      const [output, channel, a, b] = unravel(index, shape);
      const first = Math.floor(output / (o / groups)) * channels;
      let sum = 0;
      for (let sample = 0; sample < n; sample++) {
        for (let i = 0; i < outHeight; i++) {
          const y = i * stride[0] + a - padding[0];
          if (y < 0 || y >= height) continue;
          const row = ((sample * c + first + channel) * height + y) * width;
          const gradients = ((sample * o + output) * outHeight + i) * outWidth;
          for (let j = 0; j < outWidth; j++) {
            const z = j * stride[1] + b - padding[1];
            if (z >= 0 && z < width) sum += v[gradients + j] * x[row + z];
          }
        }
      }
      return sum;
    },
  };
}

/** An element that is not what the formula gives. */
export interface Wrong {
  readonly index: readonly number[];
  readonly expected: number;
  readonly got: number;
}

/**
 * The first of some elements (of all, where none are named) of a result that is further from the reference than
 * `roundoff` times its size, or than that where it is under 1.
 */
export function firstWrong(
  { shape, at }: Reference,
  result: ArrayLike<number>,
  roundoff: number,
  indices?: Iterable<number>,
): Wrong | undefined {
  for (const i of indices ?? new Array(result.length).keys()) {
    const expected = at(i);
    const isRight = Math.abs(result[i] - expected) <= roundoff * Math.max(1, Math.abs(expected));
    if (!isRight) return { index: unravel(i, shape), expected, got: result[i] };
  }
  return undefined;
}

/** Flat indices of up to `most` elements of so many, spread over them, first and last among them. */
export function spread(size: number, most: number): number[] {
  const count = Math.min(size, most);
  return Array.from({ length: count }, (_, i) => Math.floor((i * (size - 1)) / Math.max(1, count - 1)));
}

/** The indices on each axis of the element at a flat index. */
export function unravel(index: number, shape: Shape): number[] {
  const indices = new Array<number>(shape.length);
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    indices[axis] = rest % shape[axis];
    rest = Math.floor(rest / shape[axis]);
  }
  return indices;
}

/**
 * Operands whose products add up without rounding: multiples of 1/8 from -1 to 1, at random, so that sums of millions
 * of products of two fit in 24 bits. A variant that computes another number is wrong and not just rounded.
 */
export function exactNumbers(count: number, seed: number): Float32Array {
  const numbers = new Float32Array(count);
  let state = (seed * 0x9e3779b9) >>> 0;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    numbers[i] = (((state >>> 16) % 17) - 8) / 8;
  }
  return numbers;
}
