import * as ops from '../../autograd/index.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import type { GoldenCase } from './format.ts';

type Inputs = Record<string, Tensor>;
type Args = Record<string, never>;
type Evaluate = (inputs: Inputs, args: Args) => Tensor | Tensor[];

type Unary = (x: Tensor) => Tensor;
type Binary = (x: Tensor, y: Tensor) => Tensor;

const unary =
  (op: Unary): Evaluate =>
  ({ input }) =>
    op(input);

const binary =
  (op: Binary): Evaluate =>
  ({ input, other }) =>
    op(input, other);

const joined = (args: Args, inputs: Inputs): Tensor[] => (args.order as string[]).map(name => inputs[name]);

const axesOf = (args: Args, x: Tensor): number[] => (args.axes as number[] | null) ?? x.shape.map((_, axis) => axis);

/** How each op of a golden file is computed here. The others are unknown: no system of the project needs them. */
const table: Record<string, Evaluate | undefined> = {
  conv2d: ({ input, weight, bias }, args) => {
    if ((args.dilation ?? 1) !== 1) throw new UnknownCase();
    return ops.conv2d(input, weight, bias, args);
  },
  conv_transpose2d: ({ input, weight, bias }, args) => ops.convTranspose2d(input, weight, bias, args),
  linear: ({ input, weight, bias }) => {
    const rows = ops.reshape(input, [-1, input.shape[input.rank - 1]]);
    return ops.reshape(ops.linear(rows, weight, bias), [...input.shape.slice(0, -1), weight.shape[0]]);
  },
  matmul: ({ input, other }, args) => {
    if (Math.min(input.rank, other.rank) < 2 || Math.max(input.rank, other.rank) > 3) throw new UnknownCase();
    return ops.matmul(input, other, args);
  },
  upfirdn2d: ({ input, kernel }, { up, down, pad }: Record<string, number[]>) =>
    ops.upfirdn2d(input, kernel, {
      up: [up[1], up[0]],
      down: [down[1], down[0]],
      pad: [pad[2], pad[3], pad[0], pad[1]],
    }),
  leaky_relu: ({ input }, args) => ops.leakyRelu(input, args as unknown as { slope: number; gain: number }),
  fused_leaky_relu: ({ input, bias }, args) => ops.biasedLeakyRelu(input, ops.perChannel(bias, input), args),
  relu: unary(ops.relu),
  prelu: ({ input, weight }) => ops.prelu(input, weight.size > 1 ? ops.perChannel(weight, input) : weight),
  softplus: unary(ops.softplus),
  sigmoid: unary(ops.sigmoid),
  tanh: unary(ops.tanh),
  exp: unary(ops.exp),
  square: unary(ops.square),
  log: unary(ops.log),
  sqrt: unary(ops.sqrt),
  rsqrt: unary(ops.rsqrt),
  reciprocal: unary(ops.reciprocal),
  abs: unary(ops.abs),
  pow: ({ input, exponent }, args) => {
    if (exponent) throw new UnknownCase();
    return ops.pow(input, args.exponent);
  },
  clamp: ({ input }, args) => ops.clamp(input, args),
  batch_norm: ({ input, weight, bias, runningMean, runningVar }, { training, momentum, eps: epsilon }) => {
    if (!training) return ops.batchNorm(input, weight, bias, runningMean, runningVar, { epsilon });
    const { output, mean, variance } = ops.batchNormTraining(input, weight, bias, { epsilon });
    const n = input.size / input.shape[1];
    const unbiased = ops.affine(variance, n / (n - 1), 0);
    const average = (running: Tensor, batch: Tensor) =>
      ops.stopGradient(ops.add(ops.affine(running, 1 - momentum, 0), ops.affine(batch, momentum, 0)));
    return [output, average(runningMean, mean), average(runningVar, unbiased)];
  },
  avg_pool2d: ({ input }, { kernel, stride, padding, ceilMode }) => {
    if (typeof kernel !== 'number' || padding !== 0 || ceilMode) throw new UnknownCase();
    return ops.avgPool2d(input, kernel, { stride });
  },
  max_pool2d: ({ input }, args) => ops.maxPool2d(input, args as unknown as ops.PoolOptions),
  adaptive_avg_pool2d: ({ input }, { outputSize }) => ops.adaptiveAvgPool2d(input, outputSize),
  interpolate: ({ input }, { mode, size, alignCorners }: Record<string, unknown>) => {
    if (mode === 'area') return ops.adaptiveAvgPool2d(input, size as [number, number]);
    if (mode === 'nearest') return ops.interpolate(input, size as [number, number], 'nearest');
    if (mode !== 'bilinear') throw new UnknownCase();
    return ops.interpolate(input, size as [number, number], alignCorners ? 'bilinear-corners' : 'bilinear');
  },
  resize_antialias_bilinear: ({ input }, { size }) => ops.interpolate(input, size, 'bilinear-antialias'),
  softmax: ({ input }, { axis }) => ops.softmax(input, axis),
  log_softmax: ({ input }, { axis }) => ops.logSoftmax(input, axis),
  logsumexp: ({ input }, { axes, keepDims }) => {
    const result = ops.logSumExp(input, axes[0]);
    return keepDims ? result : ops.sum(result, { axes });
  },
  cross_entropy: ({ input, target, weight }, { reduction, labelSmoothing, ignoreIndex }) => {
    if (reduction !== 'mean' || labelSmoothing || ignoreIndex !== undefined) throw new UnknownCase();
    return ops.crossEntropy(input, target, weight);
  },
  mse_loss: binary(ops.meanSquaredError),
  sum: ({ input }, args) => ops.sum(input, { axes: axesOf(args, input), keepDims: args.keepDims }),
  mean: ({ input }, args) => ops.mean(input, { axes: axesOf(args, input), keepDims: args.keepDims }),
  var: ({ input }, args) =>
    ops.variance(input, {
      axes: axesOf(args, input),
      keepDims: args.keepDims,
      correction: args.unbiased ? 1 : 0,
    }),
  concat: (inputs, args) => ops.concat(joined(args, inputs), args.axis),
  stack: (inputs, args) => ops.stack(joined(args, inputs), args.axis),
  slice: ({ input }, args) => ops.slice(input, args as unknown as Parameters<typeof ops.slice>[1]),
  split: ({ input }, { sizes, axis }) => ops.split(input, sizes, axis),
  pad: ({ input }, { pads, mode, value }: Record<string, unknown>) => {
    if (mode !== 'constant' || (value ?? 0) !== 0) throw new UnknownCase();
    return ops.pad(input, pads as [number, number][]);
  },
  flip: ({ input }, { axes }) => ops.flip(input, axes),
  permute: ({ input }, { axes }) => ops.permute(input, axes),
  reshape: ({ input }, { shape }) => ops.reshape(input, shape),
  expand: ({ input }, { shape }) => ops.expand(input, shape),
  cosine_similarity: ({ input, other }, { axis, eps }) =>
    ops.cosineSimilarity(input, other, axis, (eps as number) ** 2),
  normalize: ({ input }, { axis, eps }) => ops.l2Normalize(input, axis, eps),
  add: binary(ops.add),
  sub: binary(ops.sub),
  mul: binary(ops.mul),
  div: binary(ops.div),
  lerp: ({ input, end }, { weight }) => ops.add(input, ops.affine(ops.sub(end, input), weight, 0)),
};

/** Thrown for a case whose op exists here but not with these arguments. */
export class UnknownCase extends Error {}

/** The outputs of an op case, or undefined if the op is unknown. */
export function evaluateOp(golden: GoldenCase, inputs: Inputs): Tensor[] | undefined {
  const evaluate = table[golden.op!];
  if (!evaluate) return undefined;
  try {
    const result = evaluate(inputs, (golden.args ?? {}) as Args);
    return Array.isArray(result) ? result : [result];
  } catch (error) {
    if (error instanceof UnknownCase) return undefined;
    throw error;
  }
}
