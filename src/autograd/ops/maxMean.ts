import * as kernels from '../../runtime/kernels/maxMean.ts';
import type { Shape } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Op, stopGradient } from '../graph.ts';
import { concat, split } from './shape.ts';

type Over = { readonly over: kernels.Pooled };

/** Given the places of the maxima, which are constants, both poolings are linear: these two are their adjoints. */
const pickMeanOp: Op<Over> = {
  name: 'maxMean',
  forward: ([x, positions], { over }) => kernels.maxMean(x, over, positions).values,
  vjp: (g, { inputs: [x, positions], attributes: { over } }) => [
    apply(spreadOp, [g, positions], { over, shape: x.shape }),
    undefined,
  ],
};

const spreadOp: Op<Over & { readonly shape: Shape }> = {
  name: 'maxMeanSpread',
  forward: ([g, positions], { over, shape }) => {
    const count = over === 'pixels' ? shape[2] * shape[3] : shape[1];
    return kernels.maxMeanGradient(g, positions, shape, over, { scale: 1 / count });
  },
  vjp: (v, { inputs: [, positions], attributes: { over } }) => [apply(pickMeanOp, [v, positions], { over }), undefined],
};

/** As pickMean, but the values are there already: the first pass finds them with the places. */
const foundOp: Op<Over> = {
  name: 'maxMean',
  forward: ([, , values]) => values.alias(),
  vjp: pickMeanOp.vjp,
};

/** The same of x over the binding limit: of its halves, samples first, then planes or rows. */
function inHalves(x: Tensor, over: kernels.Pooled): Tensor {
  const axis = x.shape[0] > 1 ? 0 : over === 'pixels' ? 1 : 2;
  const length = x.shape[axis];
  if (length === 1) throw new Error(`maxMean: ${x} is over the binding limit, and has nothing to be cut along`);
  const half = Math.ceil(length / 2);
  const results = split(x, [half, length - half], axis).map(piece => maxMean(piece, over));
  return concat(results, over === 'pixels' ? axis + 1 : axis);
}

/**
 * The maximum and the mean of x [N, C, H, W], in this order and in one pass: [2, N, C] over the pixels of each channel,
 * or [N, 2, H, W] over the channels at each pixel. The gradient of a maximum goes to the first place that has it.
 */
export function maxMean(x: Tensor, over: kernels.Pooled): Tensor {
  if (x.rank !== 4) throw new Error(`maxMean: ${x} is not [N, C, H, W]`);
  if (x.parts) return inHalves(x, over);
  const { values, positions } = kernels.maxMean(stopGradient(x), over);
  return apply(foundOp, [x, positions, values], { over });
}
