import * as kernels from '../../runtime/kernels/cosine.ts';
import { sameShape } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, isRecording, type Op } from '../graph.ts';
import { cosineSimilarity } from './composed.ts';
import { composedVjp } from './composedVjp.ts';
import { affine } from './elementwise.ts';
import { mean } from './reduce.ts';
import { reshape, stack } from './shape.ts';

/** Inputs: the first of every pair, the second of every pair, and the moments of all, which are constants. */
const cosineDistanceOp: Op<{ layers: number; epsilon: number }> = {
  name: 'cosineDistance',
  forward: (inputs, { epsilon }) => kernels.cosineDistance(inputs[inputs.length - 1], epsilon),
  vjp: (g, { inputs, needs, attributes: { layers, epsilon } }) => {
    if (isRecording()) {
      return composedVjp(g, { inputs, needs }, (...all) =>
        composed(all.slice(0, layers), all.slice(layers, 2 * layers), epsilon),
      );
    }
    const moments = inputs[2 * layers];
    return inputs.slice(0, 2 * layers).map((x, i) => {
      const swapped = i >= layers;
      const layer = i % layers;
      const other = inputs[swapped ? layer : layers + layer];
      return needs[i] ? kernels.cosineGradient(g, moments, x, other, { layer, swapped, epsilon }) : undefined;
    });
  },
};

function composed(xs: readonly Tensor[], ys: readonly Tensor[], epsilon: number): Tensor {
  const terms = xs.map((x, layer) => {
    const shape = [x.shape[0], x.size / x.shape[0]];
    const cosine = cosineSimilarity(reshape(x, shape), reshape(ys[layer], shape), 1, epsilon);
    return affine(mean(cosine), -1, 1);
  });
  return stack(terms, 0);
}

/**
 * [L]: for each of L pairs of tensors [N, …], the mean over samples of 1 - cos(x, y), the cosine ⟨x, y⟩ /
 * √((‖x‖² + ε)(‖y‖² + ε)) being over all that belongs to the sample. One pass over each pair.
 */
export function cosineDistance(
  xs: readonly Tensor[],
  ys: readonly Tensor[],
  { epsilon = 1e-12 }: { epsilon?: number } = {},
): Tensor {
  if (xs.length !== ys.length) throw new Error(`cosineDistance: ${xs.length} and ${ys.length} tensors are no pairs`);
  xs.forEach((x, i) => {
    if (!sameShape(x.shape, ys[i].shape) || x.shape[0] !== xs[0].shape[0]) {
      throw new Error(`cosineDistance: ${x} and ${ys[i]} are no pair of the same ${xs[0].shape[0]} samples`);
    }
  });
  if ([...xs, ...ys].some(({ parts }) => parts)) return composed(xs, ys, epsilon);
  const moments = kernels.cosineMoments(xs, ys);
  return apply(cosineDistanceOp, [...xs, ...ys, moments], { layers: xs.length, epsilon });
}
