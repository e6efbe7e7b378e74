import * as kernels from '../../runtime/kernels/batchNorm.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, isRecording, type Op, stopGradient } from '../graph.ts';
import { checkedActivation } from './activation.ts';
import { composedVjp } from './composedVjp.ts';
import { affine, leakyRelu, mul, multiplyAdd, rsqrt, sub } from './elementwise.ts';
import { mean as meanOf, variance as varianceOf } from './reduce.ts';
import { perChannel } from './shape.ts';

/** By the batch's own statistics, which depend on x. */
const trainingOp: Op<{ epsilon: number }> = {
  name: 'batchNormTraining',
  forward: ([x, weight, bias, mean, variance], { epsilon }) =>
    kernels.normalize(x, { mean, variance, weight, bias, epsilon }),
  vjp: (g, { inputs, attributes: { epsilon }, needs }) => {
    if (isRecording()) {
      return composedVjp(g, { inputs, needs }, (x, weight, bias) => ownStatistics(x, weight, bias, epsilon).output);
    }
    const [x, weight, , mean, variance] = inputs;
    const sums = kernels.normSums(g, x, { mean, variance, epsilon });
    const input = () => kernels.normInputGradient(g, x, { mean, variance, weight, epsilon }, sums);
    return [needs[0] ? input() : undefined, sums.weight, sums.bias, undefined, undefined];
  },
};

/** Inputs: x, weight, bias, the statistics, and the offset if there is one. */
const givenOp: Op<{ epsilon: number; slope: number }> = {
  name: 'batchNorm',
  forward: ([x, weight, bias, mean, variance, offset], { epsilon, slope }) =>
    kernels.normalize(x, { mean, variance, weight, bias, epsilon, offset, slope }),
  vjp: (g, { inputs, output, attributes: { epsilon, slope }, needs }) => {
    const [, weight, , , variance] = inputs;
    // A frozen network needs the gradient in x alone.
    if (isRecording() || needs.slice(1).includes(true)) {
      return composedVjp(g, { inputs, needs }, (x, weight, bias, mean, variance, offset) =>
        givenStatistics(x, { weight, bias, mean, variance, epsilon, offset, slope }),
      );
    }
    return [kernels.normFixedGradient(g, output, { variance, weight, epsilon, slope })];
  },
};

function givenStatistics(
  x: Tensor,
  { weight, bias, mean, variance, epsilon, offset, slope = 1 }: kernels.NormParameters,
): Tensor {
  const shift = offset ? sub(mean, offset) : mean;
  const y = scaled(sub(x, perChannel(shift, x)), perChannel(variance, x), weight, bias, epsilon);
  return slope === 1 ? y : leakyRelu(y, { slope });
}

function scaled(centred: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor {
  const rate = mul(perChannel(weight, centred), rsqrt(affine(variance, 1, epsilon)));
  return multiplyAdd(centred, rate, perChannel(bias, centred));
}

function refuseMisfit(x: Tensor, values: readonly (Tensor | undefined)[]): void {
  const wrong = values.find(each => each && each.size !== x.shape[1]);
  if (wrong) throw new Error(`batchNorm: ${wrong} does not fit the channels of ${x}`);
}

function axesBesideChannels(x: Tensor): number[] {
  return x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
}

/** The normalisation by x's own statistics in primitive ops: to be differentiated again, or over the binding limit. */
function ownStatistics(x: Tensor, weight: Tensor, bias: Tensor, epsilon: number) {
  const over = { axes: axesBesideChannels(x), keepDims: true };
  const mean = meanOf(x, over);
  const variance = varianceOf(x, over);
  const flat = (values: Tensor) => stopGradient(values).view([-1]);
  const output = scaled(sub(x, mean), variance, weight, bias, epsilon);
  return { output, mean: flat(mean), variance: flat(variance) };
}

/** Batch normalisation of x [N, C, …] by its own statistics, which are returned for the running averages. */
export function batchNormTraining(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  { epsilon = 1e-5 }: { epsilon?: number } = {},
): { output: Tensor; mean: Tensor; variance: Tensor } {
  refuseMisfit(x, [weight, bias]);
  if (x.parts) return ownStatistics(x, weight, bias, epsilon);
  const { mean, variance } = kernels.batchStatistics(x);
  return { output: apply(trainingOp, [x, weight, bias, mean, variance], { epsilon }), mean, variance };
}

export interface BatchNormOptions {
  /** Default 1e-5. */
  readonly epsilon?: number;
  /** [C], added to x before: the bias of the convolution that made x. */
  readonly offset?: Tensor;
  /** Leaky ReLU behind the normalisation, at least 0: 0 for ReLU, 1 (the default) for none. */
  readonly slope?: number;
}

/**
 * Batch normalisation of x [N, C, …] by given statistics, which are constants; with what stands around it, in one pass.
 */
export function batchNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  mean: Tensor,
  variance: Tensor,
  { epsilon = 1e-5, offset, slope = 1 }: BatchNormOptions = {},
): Tensor {
  refuseMisfit(x, [weight, bias, mean, variance, offset]);
  checkedActivation({ slope });
  const given = { weight, bias, mean: stopGradient(mean), variance: stopGradient(variance), epsilon, offset, slope };
  if (x.parts) return givenStatistics(x, given);
  const inputs = [x, weight, bias, given.mean, given.variance];
  return apply(givenOp, offset ? [...inputs, offset] : inputs, { epsilon, slope });
}
