import * as kernels from '../../runtime/kernels/matmul.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Op } from '../graph.ts';
import { add } from './elementwise.ts';
import { sumTo } from './reduce.ts';
import { reshape } from './shape.ts';

const matmulOp: Op<Required<kernels.MatmulOptions>> = {
  name: 'matmul',
  half: true,
  forward: ([a, b], options) => kernels.matmul(a, b, options),
  vjp: (g, { inputs: [a, b], attributes: { transposeA, transposeB }, needs }) => {
    // C = op(A) op(B): dop(A) = G op(B)ᵀ and dop(B) = op(A)ᵀ G, transposed again where the operand was.
    const ga = () =>
      transposeA
        ? matmul(b, g, { transposeA: transposeB, transposeB: true })
        : matmul(g, b, { transposeB: !transposeB });
    const gb = () =>
      transposeB
        ? matmul(g, a, { transposeA: true, transposeB: transposeA })
        : matmul(a, g, { transposeA: !transposeA });
    const own = (gradient: Tensor, operand: Tensor) => reshape(sumTo(gradient, batched(operand, g)), operand.shape);
    return [needs[0] ? own(ga(), a) : undefined, needs[1] ? own(gb(), b) : undefined];
  },
};

/**
 * The shape to sum an operand's gradient to: of the gradient's rank, with a batch of 1 where the operand was shared.
 */
function batched(operand: Tensor, g: Tensor): readonly number[] {
  return operand.rank === g.rank ? operand.shape : [1, ...operand.shape];
}

/**
 * The matrix product of A [M, K] and B [K, N], or of batches [Z, M, K] and [Z, K, N]; either may be given transposed.
 */
export function matmul(a: Tensor, b: Tensor, options: kernels.MatmulOptions = {}): Tensor {
  return apply(matmulOp, [a, b], { transposeA: false, transposeB: false, ...options });
}

/** y [N, O] = x [N, I] · weight [O, I]ᵀ + bias [O] */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const y = matmul(x, weight, { transposeB: true });
  return bias ? add(y, bias) : y;
}
