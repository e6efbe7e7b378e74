/** Problems that take the families through their special cases: vectors and single numbers, borders, groups, splits. */

import { CONV2D } from '../src/runtime/kernels/convForward.ts';
import type { ConvSizes } from '../src/runtime/kernels/convSizes.ts';
import { CONV_TRANSPOSE2D } from '../src/runtime/kernels/convTransposed.ts';
import { WEIGHT_GRADIENT } from '../src/runtime/kernels/convWeightGradient.ts';
import { MATMUL, type Product } from '../src/runtime/kernels/matmul.ts';
import type { Family } from '../src/runtime/variants.ts';

const product = (sizes: Partial<Product> & Pick<Product, 'm' | 'n' | 'k'>): Product => {
  const { batchA = 1, batchB = 1, transposeA = false, transposeB = false, half = false, ...rest } = sizes;
  return { batch: Math.max(batchA, batchB), batchA, batchB, transposeA, transposeB, half, ...rest };
};

interface Plain {
  readonly x: readonly [n: number, c: number, height: number, width: number];
  readonly o: number;
  readonly k: readonly [number, number];
  readonly s?: readonly [number, number];
  readonly p?: readonly [number, number];
  readonly g?: number;
  readonly half?: boolean;
}

export const convolution = ({
  x: [n, c, height, width],
  o,
  k: [kh, kw],
  s = [1, 1],
  p = [0, 0],
  g = 1,
  half = false,
}: Plain): ConvSizes => {
  const outHeight = Math.floor((height + 2 * p[0] - kh) / s[0]) + 1;
  const outWidth = Math.floor((width + 2 * p[1] - kw) / s[1]) + 1;
  return { n, c, height, width, o, outHeight, outWidth, kh, kw, stride: s, padding: p, groups: g, half };
};

/** The problem whose input gradient this is: its output sizes become the input's. */
export const transposed = (plain: Plain): ConvSizes => {
  const { n, c, height, width, o, outHeight, outWidth, ...rest } = convolution(plain);
  return { ...rest, n, c: o, height: outHeight, width: outWidth, o: c, outHeight: height, outWidth: width };
};

const convolutions: readonly Plain[] = [
  { x: [2, 8, 9, 16], o: 12, k: [3, 3], p: [1, 1] },
  { x: [2, 18, 7, 9], o: 18, k: [3, 3], s: [2, 2], p: [1, 1], g: 2 },
  { x: [1, 70, 4, 8], o: 66, k: [1, 1] },
  { x: [1, 5, 12, 11], o: 3, k: [5, 4], s: [3, 2], p: [2, 0] },
  { x: [1, 2, 10, 12], o: 4, k: [9, 9], p: [4, 4] },
  { x: [1, 4, 1, 40], o: 4, k: [1, 3], p: [0, 1], g: 4 },
  { x: [9, 10, 3, 2], o: 12, k: [3, 3], s: [2, 1], p: [1, 1], g: 2 },
  { x: [1, 6, 6, 8], o: 10, k: [3, 3], p: [1, 1], half: true },
];

const families: readonly [Family<never>, readonly unknown[]][] = [
  [
    MATMUL as Family<never>,
    [
      product({ m: 64, n: 128, k: 64 }),
      product({ m: 33, n: 66, k: 130, batchA: 3, transposeA: true }),
      product({ m: 130, n: 65, k: 17, batchB: 2, transposeB: true }),
      product({ m: 5, n: 7, k: 3, transposeA: true, transposeB: true }),
      product({ m: 8, n: 36, k: 2050 }),
      product({ m: 40, n: 68, k: 34, half: true }),
    ],
  ],
  [
    CONV2D as Family<never>,
    [
      ...convolutions.map(convolution),
      { ...convolution({ x: [2, 6, 6, 8], o: 10, k: [3, 3], p: [1, 1] }), fused: true },
    ],
  ],
  [
    CONV_TRANSPOSE2D as Family<never>,
    convolutions
      .filter(({ s = [1] }) => s[0] > 1)
      .concat([{ x: [2, 10, 17, 16], o: 6, k: [3, 3], s: [2, 2], half: true }])
      .map(transposed),
  ],
  [WEIGHT_GRADIENT as Family<never>, convolutions.map(convolution)],
];

/** Every family with its problems. */
export const familyProblems = families as readonly (readonly [Family<unknown>, readonly unknown[]])[];
