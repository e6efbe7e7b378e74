import * as kernels from '../../runtime/kernels/cast.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Op } from '../graph.ts';

type FloatType = 'f16' | 'f32';

const castOp: Op<FloatType> = {
  name: 'cast',
  half: true,
  forward: ([x], dtype) => kernels.cast(x, dtype),
  vjp: (g, { inputs: [x] }) => [cast(g, x.dtype as FloatType)],
};

/**
 * The same values as f16, rounded to nearest, or as f32. Ops compute f16 tensors in f32 and store their results as f16,
 * but sums, and the gradients of weights, which stay f32. An elementwise op of several tensors has the type of the
 * largest. Needs an adapter with shader-f16.
 */
export function cast(x: Tensor, dtype: FloatType): Tensor {
  return x.dtype === dtype ? x : apply(castOp, [x], dtype);
}

/** A tensor in the type of another: a gradient in that of what it is the gradient of. */
export function castLike(x: Tensor, like: Tensor): Tensor {
  return cast(x, like.dtype as FloatType);
}
