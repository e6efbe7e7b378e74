import { reduce } from '../../runtime/kernels/reduce.ts';
import { normalizeAxis, type Shape, sameShape, sizeOf } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Op } from '../graph.ts';
import { affine, mul, sub } from './elementwise.ts';
import { expand, reshape } from './shape.ts';

export interface ReduceOptions {
  /** The axes to reduce over; all by default. */
  readonly axes?: readonly number[];
  /** Keep them with length 1. Default false. */
  readonly keepDims?: boolean;
}

const sumOp: Op<{ axes: readonly number[]; scale: number }> = {
  name: 'sum',
  forward: ([x], { axes, scale }) => reduce(x, axes, 'sum', scale),
  vjp: (g, { inputs: [x], attributes: { scale } }) => [expand(scale === 1 ? g : affine(g, scale, 0), x.shape)],
};

/** The sum over axes. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  return scaledSum(x, options, () => 1);
}

/** The sum over axes times a number that depends on how many entries are added. */
function scaledSum(x: Tensor, { axes, keepDims = false }: ReduceOptions, scaleOf: (count: number) => number): Tensor {
  const over = (axes ?? x.shape.map((_, axis) => axis)).map(axis => normalizeAxis(axis, x.rank));
  const count = over.reduce((n, axis) => n * x.shape[axis], 1);
  const kept = count === 1 ? x : apply(sumOp, [x], { axes: over, scale: scaleOf(count) });
  const shape = keepDims
    ? x.shape.map((n, axis) => (over.includes(axis) ? 1 : n))
    : x.shape.filter((_, axis) => !over.includes(axis));
  return reshape(kept, shape);
}

/** The mean over axes. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  return scaledSum(x, options, count => 1 / count);
}

/** The maximum over axes, as a constant: no gradient flows through it. For the shift of a softmax. */
export function constantMax(x: Tensor, { axes }: { axes: readonly number[] }): Tensor {
  return reduce(x, axes, 'max');
}

/** Sums a tensor down to a shape that broadcasts to its own: the adjoint of broadcasting. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const offset = x.rank - shape.length;
  const axes = x.shape.flatMap((n, axis) => (axis < offset || (shape[axis - offset] === 1 && n > 1) ? [axis] : []));
  return reshape(sum(x, { axes, keepDims: true }), shape);
}

/** The variance over axes; `correction` 0 divides by n, 1 by n - 1. */
export function variance(
  x: Tensor,
  { correction = 0, axes, keepDims }: ReduceOptions & { correction?: number } = {},
): Tensor {
  const centred = sub(x, mean(x, { axes, keepDims: true }));
  const total = sum(mul(centred, centred), { axes, keepDims });
  return affine(total, 1 / (x.size / Math.max(1, sizeOf(total.shape)) - correction), 0);
}
