import { sizeOf } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';

/** A tensor given by the formula shift + scale · v(i, seed), or by its values. */
export interface Filled {
  readonly name: string;
  readonly shape: readonly number[];
  readonly scale: number;
  readonly shift: number;
  readonly seed: number;
  readonly dtype?: string;
  readonly values?: readonly number[];
}

/** What the reference computed: a few elements and two sums. */
export interface Summary {
  readonly name?: string;
  readonly wrt?: string;
  readonly shape: readonly number[];
  readonly sum: number;
  readonly meanAbs: number;
  readonly first: readonly number[];
  readonly last: number;
}

/** One golden case: an op, a network or loss, an optimiser or a schedule. */
export interface GoldenCase {
  readonly name: string;
  readonly kind?: 'op' | 'optimizer' | 'schedule';
  readonly op?: string;
  readonly args?: Record<string, unknown>;
  readonly module?: string;
  readonly config?: Record<string, unknown>;
  readonly mode?: 'eval' | 'train';
  readonly state?: readonly (readonly [key: string, shape: number[], scale: number, shift: number, seed: number])[];
  readonly constants?: readonly (readonly [key: string, shape: number[], values: number[]])[];
  readonly explicit?: Record<string, number[]>;
  readonly inputs: readonly Filled[];
  readonly outputs: readonly Summary[];
  readonly stateAfter?: readonly (Summary & { readonly key?: string })[];
  readonly gradients?: readonly Summary[];
  readonly secondOrder?: readonly Summary[];
  readonly scalar?: boolean;
  readonly tolerance: number;
  /** What the reference's run cost, in 10⁹ floating-point operations. */
  readonly gflop?: number;
  readonly heavy?: boolean;
}

/** One quantity to compare, collected while a case runs: what it is, its values, and what they should be. */
export interface Check {
  readonly label: string;
  readonly got: Promise<ArrayLike<number>>;
  readonly want: Summary;
}

/** A comparison of a tensor, whose reading is queued at once. */
export function check(label: string, tensor: Tensor, want: Summary): Check {
  return { label, got: tensor.read(), want };
}

/** v(i, s) = 2 h / 2³² - 1 with h = ((i + 1 + 7919 s) · 2654435761) mod 2³². */
export function v(i: number, seed: number): number {
  const h = Math.imul((i + 1 + 7919 * seed) >>> 0, 2654435761) >>> 0;
  return Math.fround((2 * h) / 4294967296 - 1);
}

/** The elements of a filled tensor. */
export function fillValues({ shape, scale, shift, seed, values }: Omit<Filled, 'name'>): Float32Array {
  if (values) return Float32Array.from(values);
  // A plain loop: the official networks have 10⁸ elements.
  const filled = new Float32Array(sizeOf(shape));
  for (let i = 0; i < filled.length; i++) filled[i] = shift + scale * v(i, seed);
  return filled;
}

/**
 * How far values are from a summary, in units of the tolerance's rule: first and last elements by max(meanAbs, 1e-6),
 * the sum by meanAbs · n. A number below the case's tolerance passes.
 */
export function relativeError(got: ArrayLike<number>, want: Summary): number {
  const n = sizeOf(want.shape);
  if (got.length !== n) return Number.POSITIVE_INFINITY;
  const scale = Math.max(want.meanAbs, 1e-6);
  let worst = 0;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += got[i];
  want.first.forEach((value, i) => {
    if (i < n) worst = Math.max(worst, Math.abs(got[i] - value) / scale);
  });
  worst = Math.max(worst, Math.abs(got[n - 1] - want.last) / scale, Math.abs(sum - want.sum) / (scale * n));
  return Number.isNaN(worst) || Number.isNaN(sum) ? Number.POSITIVE_INFINITY : worst;
}
