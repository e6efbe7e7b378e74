import { reduce, reduceProduct } from '../../runtime/kernels/reduce.ts';
import { normalizeAxis, type Shape, sameShape, sizeOf } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Op } from '../graph.ts';
import { cast, castLike } from './cast.ts';
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
  half: true,
  forward: ([x], { axes, scale }) => reduce(x, axes, 'sum', scale),
  vjp: (g, { inputs: [x], attributes: { scale } }) => [
    castLike(expand(scale === 1 ? g : affine(g, scale, 0), x.shape), x),
  ],
};

/** The sum over axes; f32, also of f16. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  return scaledSum(x, options, () => 1);
}

/** The sum over axes times a number that depends on how many entries are added. */
function scaledSum(x: Tensor, options: ReduceOptions, scaleOf: (count: number) => number): Tensor {
  const { axes, shape } = reductionOf(x, options);
  const count = axes.reduce((n, axis) => n * x.shape[axis], 1);
  return reshape(count === 1 ? cast(x, 'f32') : apply(sumOp, [x], { axes, scale: scaleOf(count) }), shape);
}

/** The axes that are reduced over, none negative, and the shape that results. */
function reductionOf({ shape, rank }: Tensor, { axes, keepDims = false }: ReduceOptions) {
  const over = (axes ?? shape.map((_, axis) => axis)).map(axis => normalizeAxis(axis, rank));
  const result = keepDims
    ? shape.map((n, axis) => (over.includes(axis) ? 1 : n))
    : shape.filter((_, axis) => !over.includes(axis));
  return { axes: over, shape: result };
}

const sumProductOp: Op<{ axes: readonly number[] }> = {
  name: 'sumProduct',
  half: true,
  forward: ([x, y], { axes }) => reduceProduct(x, y, axes),
  vjp: (g, { inputs: [x, y], needs }) =>
    x === y
      ? [mul(mul(g, 2), x)]
      : [needs[0] ? castLike(mul(g, y), x) : undefined, needs[1] ? castLike(mul(g, x), y) : undefined],
};

/** The sum over axes of x y, two tensors of one shape, without their product in memory; f32, also of f16. */
export function sumProduct(x: Tensor, y: Tensor, options: ReduceOptions = {}): Tensor {
  if (!sameShape(x.shape, y.shape)) throw new Error(`sumProduct: ${x} and ${y} are of different shapes`);
  const { axes, shape } = reductionOf(x, options);
  return reshape(apply(sumProductOp, [x, y], { axes }), shape);
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
  return reshape(sum(x, { axes: repeatedAxes(x.shape, shape), keepDims: true }), shape);
}

/** sumTo(x y, shape): the adjoint of a product in an operand of this shape. */
export function sumProductTo(x: Tensor, y: Tensor, shape: Shape): Tensor {
  const axes = repeatedAxes(x.shape, shape);
  if (axes.length === 0 || !sameShape(x.shape, y.shape)) return sumTo(mul(x, y), shape);
  return reshape(sumProduct(x, y, { axes }), shape);
}

/** The axes along which a tensor of shape `part` is repeated where it broadcasts to `whole`. */
function repeatedAxes(whole: Shape, part: Shape): number[] {
  const offset = whole.length - part.length;
  return whole.flatMap((n, axis) => (axis < offset || (part[axis - offset] === 1 && n > 1) ? [axis] : []));
}

/** The variance over axes; `correction` 0 divides by n, 1 by n - 1. */
export function variance(
  x: Tensor,
  { correction = 0, axes, keepDims }: ReduceOptions & { correction?: number } = {},
): Tensor {
  const centred = sub(x, mean(x, { axes, keepDims: true }));
  const total = sumProduct(centred, centred, { axes, keepDims });
  return affine(total, 1 / (x.size / Math.max(1, sizeOf(total.shape)) - correction), 0);
}
