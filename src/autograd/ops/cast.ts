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
 * The same values as f16, rounded to nearest, or as f32. Products and convolutions of f16 tensors are added up in f32
 * and stored as f16; the gradients of weights stay f32. Needs an adapter with shader-f16.
 */
export function cast(x: Tensor, dtype: FloatType): Tensor {
  return x.dtype === dtype ? x : apply(castOp, [x], dtype);
}
