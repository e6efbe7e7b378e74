import { oneHot } from '../../runtime/kernels/oneHot.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { stopGradient } from '../graph.ts';
import { add, affine, clamp, div, exp, greater, log, mul, neg, sqrt, sub } from './elementwise.ts';
import { constantMax, sum, sumProduct } from './reduce.ts';
import { perChannel } from './shape.ts';

/** ln Σ eˣ over an axis, shifted by the maximum; the axis stays with length 1. */
export function logSumExp(x: Tensor, axis: number): Tensor {
  const shift = constantMax(stopGradient(x), { axes: [axis] });
  return add(log(sum(exp(sub(x, shift)), { axes: [axis], keepDims: true })), shift);
}

/** ln softmax(x) over an axis */
export function logSoftmax(x: Tensor, axis: number): Tensor {
  return sub(x, logSumExp(x, axis));
}

/** softmax(x) over an axis */
export function softmax(x: Tensor, axis: number): Tensor {
  return exp(logSoftmax(x, axis));
}

/**
 * The mean over samples (and pixels) of the cross-entropy between logits [N, C, …] and labels u32 [N, …], each weighted
 * by its class's entry of `weight` [C] as in PyTorch: Σ wₗ · ce / Σ wₗ.
 */
export function crossEntropy(logits: Tensor, labels: Tensor, weight?: Tensor): Tensor {
  const target = oneHot(labels, logits.shape);
  const terms = mul(target, logSoftmax(logits, 1));
  if (!weight) return affine(sum(terms), -1 / labels.size, 0);
  const weights = perChannel(weight, logits);
  return neg(div(sum(mul(terms, weights)), sum(mul(target, weights))));
}

/** ‖x‖₂ over axes, which stay with length 1. Its gradient at 0 is 0, in every order. */
export function l2Norm(x: Tensor, axes: readonly number[]): Tensor {
  const squares = sumProduct(x, x, { axes, keepDims: true });
  const isZero = affine(greater(squares, 0), -1, 1);
  return sub(sqrt(add(squares, isZero)), isZero);
}

/** x / max(‖x‖₂, ε) over an axis; where x is 0, its gradient is finite. */
export function l2Normalize(x: Tensor, axis: number, epsilon = 1e-12): Tensor {
  return div(x, clamp(l2Norm(x, [axis]), { min: epsilon }));
}

/** ⟨a, b⟩ / √((‖a‖² + ε)(‖b‖² + ε)) over an axis, which goes. */
export function cosineSimilarity(a: Tensor, b: Tensor, axis: number, epsilon = 1e-12): Tensor {
  const over = { axes: [axis] };
  const norms = mul(affine(sumProduct(a, a, over), 1, epsilon), affine(sumProduct(b, b, over), 1, epsilon));
  return div(sumProduct(a, b, over), sqrt(norms));
}

/** The mean of (a - b)² over all elements. */
export function meanSquaredError(a: Tensor, b: Tensor): Tensor {
  const difference = sub(a, b);
  return affine(sumProduct(difference, difference), 1 / difference.size, 0);
}
