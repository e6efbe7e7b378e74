import * as kernels from '../../runtime/kernels/batchNorm.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, isRecording, type Op, stopGradient } from '../graph.ts';
import { affine, mul, multiplyAdd, rsqrt, square, sub } from './elementwise.ts';
import { mean as meanOf, sum } from './reduce.ts';
import { perChannel } from './shape.ts';

interface Normalization {
  readonly epsilon: number;
  /** Whether mean and variance are the batch's own, and so depend on x. */
  readonly ofBatch: boolean;
}

const batchNormOp: Op<Normalization> = {
  name: 'batchNorm',
  forward: ([x, weight, bias, mean, variance], { epsilon }) =>
    kernels.normalize(x, { mean, variance, weight, bias, epsilon }),
  vjp: (g, { inputs, attributes, needs }) => {
    const [x, weight, , mean, variance] = inputs;
    const { epsilon, ofBatch } = attributes;
    // Second derivatives go through the formula in primitive ops; the fused kernels serve the first.
    if (isRecording()) return composedVjp(g, x, weight, mean, variance, attributes);
    const sums = needs[1] || needs[2] || ofBatch ? kernels.normSums(g, x, { mean, variance, epsilon }) : undefined;
    const statistics = { mean, variance, weight, epsilon };
    const input = () => kernels.normInputGradient(g, x, statistics, ofBatch ? sums : undefined);
    return [needs[0] ? input() : undefined, sums?.weight, sums?.bias, undefined, undefined];
  },
};

/** The same derivative in ops that can be differentiated again. */
function composedVjp(
  g: Tensor,
  x: Tensor,
  weight: Tensor,
  mean: Tensor,
  variance: Tensor,
  { epsilon, ofBatch }: Normalization,
): Tensor[] {
  const axes = x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
  const over = { axes, keepDims: true };
  const centred = sub(x, ofBatch ? meanOf(x, over) : perChannel(mean, x));
  const spread = ofBatch ? meanOf(mul(centred, centred), over) : perChannel(variance, x);
  const rate = rsqrt(affine(spread, 1, epsilon));
  const normalised = mul(centred, rate);
  const product = mul(g, normalised);
  const inner = ofBatch ? sub(sub(g, meanOf(g, over)), mul(normalised, meanOf(product, over))) : g;
  const input = mul(mul(inner, rate), perChannel(weight, x));
  return [input, sum(product, { axes }), sum(g, { axes })];
}

/** The normalisation in primitive ops, for x over the binding limit. */
function inParts(x: Tensor, weight: Tensor, bias: Tensor, epsilon: number) {
  const axes = x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
  const mean = meanOf(x, { axes, keepDims: true });
  const centred = sub(x, mean);
  const variance = meanOf(square(centred), { axes, keepDims: true });
  const flat = (values: Tensor) => stopGradient(values).view([-1]);
  return { output: scaled(centred, variance, weight, bias, epsilon), mean: flat(mean), variance: flat(variance) };
}

function scaled(centred: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor {
  const rate = mul(perChannel(weight, centred), rsqrt(affine(variance, 1, epsilon)));
  return multiplyAdd(centred, rate, perChannel(bias, centred));
}

/** Batch normalisation of x [N, C, …] by its own statistics, which are returned for the running averages. */
export function batchNormTraining(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  { epsilon = 1e-5 }: { epsilon?: number } = {},
): { output: Tensor; mean: Tensor; variance: Tensor } {
  if (x.parts) return inParts(x, weight, bias, epsilon);
  const { mean, variance } = kernels.batchStatistics(x);
  return { output: apply(batchNormOp, [x, weight, bias, mean, variance], { epsilon, ofBatch: true }), mean, variance };
}

/** Batch normalisation of x [N, C, …] by given statistics, which are constants. */
export function batchNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  mean: Tensor,
  variance: Tensor,
  { epsilon = 1e-5 }: { epsilon?: number } = {},
): Tensor {
  if (x.parts) return scaled(sub(x, perChannel(mean, x)), perChannel(variance, x), weight, bias, epsilon);
  return apply(batchNormOp, [x, weight, bias, mean, variance], { epsilon, ofBatch: false });
}
