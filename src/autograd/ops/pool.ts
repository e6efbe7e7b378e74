import * as kernels from '../../runtime/kernels/pool.ts';
import type { Shape } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Op, stopGradient } from '../graph.ts';
import { type Pair, pair } from './pair.ts';

/**
 * The maxima of windows: their positions are found first and are constants; values are gathered, gradients scattered.
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
  return apply(gatherOp, [x, kernels.maxPositions(stopGradient(x), windows)], windows);
}
