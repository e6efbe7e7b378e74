import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Context, grad, isRecording, isTracked, type Op, setRecording } from '../graph.ts';

/** The same values as another tensor of the graph. */
const identityOp: Op<null> = {
  name: 'identity',
  half: true,
  forward: ([x]) => x.alias(),
  vjp: g => [g],
};

/**
 * The vjp of a fused op by way of ops that compute the same and can be differentiated again. Fused kernels serve the
 * first derivative; where that is differentiated itself, which few losses ask for, this takes their place.
 */
export function composedVjp(
  g: Tensor,
  { inputs, needs }: Pick<Context<unknown>, 'inputs' | 'needs'>,
  compose: (...inputs: Tensor[]) => Tensor,
): (Tensor | undefined)[] {
  const createGraph = isRecording();
  // Each input stands for itself, even where one is computed from another.
  const { own, output } = setRecording(true, () => {
    const own = inputs.map(input => (isTracked(input) ? apply(identityOp, [input], null) : input));
    return { own, output: compose(...own) };
  });
  const wanted = own.filter((_, i) => needs[i]);
  const gradients = grad(output, wanted, { gradient: g, createGraph, unused: 'none' });
  return own.map((own, i) => (needs[i] ? gradients[wanted.indexOf(own)] : undefined));
}
