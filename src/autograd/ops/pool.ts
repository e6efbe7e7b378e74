import * as kernels from '../../runtime/kernels/pool.ts';
import type { Shape } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Op, stopGradient } from '../graph.ts';
import { type Pair, pair } from './pair.ts';

/**
 * The elements at the maxima of windows, whose positions are constants: values are gathered, gradients scattered.
 */
const gatherOp: Op<kernels.Windows> = {
  name: 'maxPool2d',
  forward: ([x, positions]) => kernels.gatherPlanes(x, positions),
  vjp: (g, { inputs: [x, positions], attributes }) => [
    apply(scatterOp, [g, positions], { ...attributes, shape: x.shape }),
    undefined,
  ],
};

const scatterOp: Op<kernels.Windows & { readonly shape: Shape }> = {
  name: 'maxPool2dScatter',
  forward: ([x, positions], attributes) => kernels.scatterPlanes(x, positions, attributes.shape, attributes),
  vjp: (g, { inputs: [, positions], attributes }) => [apply(gatherOp, [g, positions], attributes), undefined],
};

/** The same maxima, which the pass that found their positions has written. */
const maxOp: Op<kernels.Windows> = {
  name: 'maxPool2d',
  forward: ([, , values]) => values.alias(),
  vjp: gatherOp.vjp,
};

export interface PoolOptions {
  readonly kernel: number | Pair;
  /** Default: the kernel. */
  readonly stride?: number | Pair;
  readonly padding?: number | Pair;
  /** Count a last window that is only partly inside. Default false. */
  readonly ceilMode?: boolean;
}

/** The maximum of each window of x [N, C, H, W]; the gradient goes to the first one. */
export function maxPool2d(x: Tensor, { kernel, stride = kernel, padding = 0, ceilMode = false }: PoolOptions): Tensor {
  const windows = { kernel: pair(kernel), stride: pair(stride), padding: pair(padding), ceilMode };
  const { values, positions } = kernels.maxPool(stopGradient(x), windows);
  return apply(maxOp, [x, positions, values], windows);
}

const adaptiveOp: Op<{ size: Pair }> = {
  name: 'adaptiveAvgPool2d',
  forward: ([x], { size }) => kernels.adaptivePool(x, size),
  vjp: (g, { inputs: [x] }) => [apply(adaptiveGradientOp, [g], { size: planeOf(x) })],
};

const adaptiveGradientOp: Op<{ size: Pair }> = {
  name: 'adaptiveAvgPool2dGradient',
  forward: ([g], { size }) => kernels.adaptivePoolGradient(g, size),
  vjp: (v, { inputs: [g] }) => [apply(adaptiveOp, [v], { size: planeOf(g) })],
};

function planeOf({ shape }: Tensor): Pair {
  return [shape[2], shape[3]];
}

/** Average pooling to a size, of x [N, C, H, W], with PyTorch's bins. */
export function adaptiveAvgPool2d(x: Tensor, [height, width]: Pair): Tensor {
  if (!(height >= 1 && width >= 1)) throw new Error(`adaptiveAvgPool2d: ${x} cannot become ${height} × ${width}`);
  if (x.shape[2] === height && x.shape[3] === width) return x;
  return apply(adaptiveOp, [x], { size: [height, width] });
}

const subsampleOp: Op<{ step: number }> = {
  name: 'subsample',
  forward: ([x], { step }) => kernels.subsample(x, step),
  vjp: (g, { inputs: [x], attributes: { step } }) => [apply(spreadPixelsOp, [g], { step, size: planeOf(x) })],
};

const spreadPixelsOp: Op<{ step: number; size: Pair }> = {
  name: 'spreadPixels',
  forward: ([g], { step, size }) => kernels.spreadPixels(g, step, size),
  vjp: (v, { attributes: { step } }) => [apply(subsampleOp, [v], { step })],
};

/** Every `step`-th pixel of x [N, C, H, W]: max pooling with a window of 1. */
export function subsample(x: Tensor, step: number): Tensor {
  return step === 1 ? x : apply(subsampleOp, [x], { step });
}
