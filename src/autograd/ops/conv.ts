import { activationGradient } from '../../runtime/kernels/activation.ts';
import * as kernels from '../../runtime/kernels/conv.ts';
import type { ConvGeometry } from '../../runtime/kernels/convSizes.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, isRecording, type Op } from '../graph.ts';
import { type Activation, checkedActivation } from './activation.ts';
import { castLike } from './cast.ts';
import { add, leakyMask, leakyRelu } from './elementwise.ts';
import { type Pair, pair } from './pair.ts';
import { sumTo } from './reduce.ts';
import { reshape } from './shape.ts';

export interface ConvOptions {
  /** Steps of the kernel, one number or [vertical, horizontal]. Default 1. */
  readonly stride?: number | Pair;
  /** Zero padding on both sides. Default 0. */
  readonly padding?: number | Pair;
  /** Groups of channels that are convolved apart. Default 1. */
  readonly groups?: number;
}

/** Sizes that a convolution's shapes leave open: of the input, or of the kernel. */
type Sized = ConvGeometry & { readonly size: Pair };

function geometry({ stride = 1, padding = 0, groups = 1 }: ConvOptions): ConvGeometry {
  return { stride: pair(stride), padding: pair(padding), groups };
}

function planeOf(x: Tensor): Pair {
  return [x.shape[2], x.shape[3]];
}

// The convolution, its gradient in the input and its gradient in the weight are one another's derivatives.

const convOp: Op<ConvGeometry> = {
  name: 'conv2d',
  half: true,
  forward: ([x, w], g) => kernels.conv2d(x, w, g),
  vjp: (gy, { inputs: [x, w], attributes, needs }) => [
    needs[0] ? apply(transposeOp, [gy, w], { ...attributes, size: planeOf(x) }) : undefined,
    needs[1] ? apply(weightOp, [x, gy], { ...attributes, size: planeOf(w) }) : undefined,
  ],
};

const transposeOp: Op<Sized> = {
  name: 'convTranspose2d',
  half: true,
  forward: ([x, w], g) => kernels.convTranspose2d(x, w, g, g.size),
  vjp: (gy, { inputs: [x, w], attributes, needs }) => [
    needs[0] ? apply(convOp, [gy, w], attributes) : undefined,
    needs[1] ? apply(weightOp, [gy, x], { ...attributes, size: planeOf(w) }) : undefined,
  ],
};

const weightOp: Op<Sized> = {
  name: 'conv2dWeightGradient',
  half: true,
  // f32, also of f16 operands.
  forward: ([x, v], g) => kernels.conv2dWeightGradient(x, v, g, g.size),
  vjp: (u, { inputs: [x, v], attributes, needs }) => [
    needs[0] ? apply(transposeOp, [v, castLike(u, v)], { ...attributes, size: planeOf(x) }) : undefined,
    needs[1] ? apply(convOp, [x, castLike(u, x)], attributes) : undefined,
  ],
};

type Fused = ConvGeometry & Required<Activation>;

/** The convolution with bias and activation in its kernel. */
const fusedOp: Op<Fused> = {
  name: 'conv2d with bias',
  half: true,
  forward: ([x, w, bias], { slope, gain, ...g }) => kernels.conv2d(x, w, g, { epilogue: { bias, slope, gain } }),
  vjp: (g, { inputs: [x, w, bias], output, attributes: { slope, gain, ...geometry }, needs }) => {
    const isLinear = slope === 1 && gain === 1;
    // Where nobody differentiates again, one pass makes the gradients of activation and bias.
    const isOnePass = !isLinear && needs[2] && !isRecording() && !g.parts;
    const both = isOnePass ? activationGradient(g, output, { slope, gain }) : undefined;
    const gy = both?.input ?? (isLinear ? g : leakyMask(g, output, { slope, gain }));
    return [
      needs[0] ? apply(transposeOp, [gy, w], { ...geometry, size: planeOf(x) }) : undefined,
      needs[1] ? apply(weightOp, [x, gy], { ...geometry, size: planeOf(w) }) : undefined,
      needs[2] ? (both?.sums ?? reshape(sumTo(gy, [1, bias.size, 1, 1]), bias.shape)) : undefined,
    ];
  },
};

/**
 * y [N, O, OH, OW]: x [N, C, H, W] correlated with weight [O, C / groups, KH, KW], plus bias [O], through a leaky ReLU,
 * all in one kernel; OH = ⌊(H + 2 · padding - KH) / stride⌋ + 1.
 */
export function conv2d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  { activation, ...options }: ConvOptions & { readonly activation?: Activation } = {},
): Tensor {
  const g = geometry(options);
  if (bias && bias.size !== weight.shape[0]) throw new Error(`conv2d: bias ${bias} does not fit weight ${weight}`);
  if (bias) return apply(fusedOp, [x, weight, bias], { ...g, ...checkedActivation(activation ?? { slope: 1 }) });
  const y = apply(convOp, [x, weight], g);
  return activation ? leakyRelu(y, activation) : y;
}

/**
 * y [N, O, OH, OW]: each sample of x [N, C, H, W] correlated with kernels of its own, weight [N, O, C, KH, KW], as
 * where another network predicts them (HyperStyle): the samples are the groups of one convolution.
 */
export function conv2dPerSample(x: Tensor, weight: Tensor, options: Omit<ConvOptions, 'groups'> = {}): Tensor {
  const [n, o, c, ...kernel] = weight.shape;
  if (weight.rank !== 5 || x.shape[0] !== n || x.shape[1] !== c) {
    throw new Error(`conv2dPerSample: ${x} and weight ${weight} do not fit`);
  }
  const oneSample = reshape(x, [1, n * c, ...planeOf(x)]);
  const y = conv2d(oneSample, reshape(weight, [n * o, c, ...kernel]), undefined, { ...options, groups: n });
  return reshape(y, [n, o, ...planeOf(y)]);
}

/**
 * y [N, O, OH, OW] from x [N, C, H, W] and weight [C, O / groups, KH, KW], plus bias [O];
 * OH = (H - 1) · stride - 2 · padding + KH + outputPadding.
 */
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  { outputPadding = 0, ...options }: ConvOptions & { outputPadding?: number | Pair } = {},
): Tensor {
  const g = geometry(options);
  const extra = pair(outputPadding);
  const size = [0, 1].map(
    i => (x.shape[2 + i] - 1) * g.stride[i] - 2 * g.padding[i] + weight.shape[2 + i] + extra[i],
  ) as [number, number];
  return biased(apply(transposeOp, [x, weight], { ...g, size }), bias);
}

function biased(y: Tensor, bias: Tensor | undefined): Tensor {
  return bias ? add(y, reshape(bias, [1, bias.size, 1, 1])) : y;
}
