import * as kernels from '../../runtime/kernels/perceptual.ts';
import { sameShape } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, isRecording, type Op } from '../graph.ts';
import { l2Norm } from './composed.ts';
import { composedVjp } from './composedVjp.ts';
import { add, affine, div, greater, mul, square, sub } from './elementwise.ts';
import { sum } from './reduce.ts';
import { perChannel } from './shape.ts';

/** Inputs: the first map of every layer, the second of every layer, the weights of every layer. */
const perceptualDistanceOp: Op<{ layers: number }> = {
  name: 'perceptualDistance',
  forward: (inputs, { layers }) => kernels.perceptualDistance(...thirds(inputs, layers)),
  vjp: (g, { inputs, needs, attributes: { layers } }) => {
    if (isRecording() || needs.slice(2 * layers).includes(true)) {
      return composedVjp(g, { inputs, needs }, (...all) => composed(...thirds(all, layers)));
    }
    const [xs, ys, weights] = thirds(inputs, layers);
    return [...xs, ...ys].map((x, i) => {
      const other = i < layers ? ys[i] : xs[i - layers];
      return needs[i] ? kernels.perceptualGradient(g, x, other, weights[i % layers]) : undefined;
    });
  },
};

type Maps = readonly Tensor[];

function thirds(inputs: Maps, layers: number): [Maps, Maps, Maps] {
  return [inputs.slice(0, layers), inputs.slice(layers, 2 * layers), inputs.slice(2 * layers)];
}

function composed(xs: Maps, ys: Maps, weights: Maps): Tensor {
  const terms = xs.map((x, layer) => {
    const difference = square(sub(unitChannels(x), unitChannels(ys[layer])));
    const total = sum(mul(difference, perChannel(weights[layer], x)), { axes: [1, 2, 3] });
    return affine(total, 1 / (x.shape[2] * x.shape[3]), 0);
  });
  return terms.reduce((a, b) => add(a, b));
}

/** f / (‖f‖₂ + 1e-10) over the channels of [N, C, H, W]. No gradient flows to a pixel whose channels are all zero. */
export function unitChannels(f: Tensor): Tensor {
  const norm = l2Norm(f, [1]);
  return mul(f, div(greater(norm, 0), affine(norm, 1, 1e-10)));
}

/**
 * [N]: for L pairs of maps [N, C, H, W] and weights of C elements each, Σ over layers of the mean over pixels of
 * Σ_c w[c] (x̂ - ŷ)², where x̂ and ŷ are each pixel's channels at unit length (LPIPS, Zhang et al. 2018, equation 1).
 * One pass over each pair.
 */
export function perceptualDistance(xs: Maps, ys: Maps, weights: Maps): Tensor {
  if (xs.length !== ys.length || xs.length !== weights.length) {
    const counts = `${xs.length}, ${ys.length} and ${weights.length}`;
    throw new Error(`perceptualDistance: ${counts} maps and weights are not of the same layers`);
  }
  const [samples] = xs[0].shape;
  xs.forEach((x, i) => {
    const isMap = x.rank === 4 && x.shape[0] === samples;
    if (!isMap || !sameShape(x.shape, ys[i].shape) || weights[i].size !== x.shape[1]) {
      throw new Error(`perceptualDistance: ${x}, ${ys[i]} and weights ${weights[i]} do not fit one another`);
    }
  });
  if ([...xs, ...ys].some(({ parts }) => parts)) return composed(xs, ys, weights);
  return apply(perceptualDistanceOp, [...xs, ...ys, ...weights], { layers: xs.length });
}
