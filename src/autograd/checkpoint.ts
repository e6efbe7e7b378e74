import type { Tensor } from '../runtime/tensor.ts';
import { pendingEffects, withoutEffects } from './effects.ts';
import { backward, isMadeSince, isRecording, nextOrder, noteSegment, type Segment, traceSince } from './graph.ts';

/**
 * Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174): computes `f` of the inputs, at least one, and forgets
 * what lies between. When gradients are taken, `f` is computed again right before them. Values and first derivatives
 * are equal bit for bit to those without it; derivatives of higher order repeat the backward pass as well.
 *
 * Gradients reach the inputs and everything else that `f` uses, such as the weights of a module. Random numbers are
 * repeated, since they depend on their stream and the step alone; effects, such as running statistics, are not. `f`
 * must do the same until the gradients are taken: a module must not be frozen or change its mode in between. What it
 * gives counts as made at once: no gradient of one of its results is taken with respect to another.
 *
 * @throws when the gradients are taken and `f` did not repeat the operations that it did at first
 */
export function checkpoint<I extends readonly [Tensor, ...Tensor[]], O extends Tensor | readonly Tensor[]>(
  f: (...inputs: I) => O,
  ...inputs: I
): O {
  if (!isRecording()) return f(...inputs);
  const { device } = inputs[0];
  const moment = nextOrder();
  // What the effects noted meanwhile use must live until they are carried out.
  const { result } = device.scope('checkpoint', () => ({ result: f(...inputs), effects: pendingEffects() }));
  const all = listOf(result);
  const made = all.flatMap((tensor, i) => (isMadeSince(tensor, moment) && all.indexOf(tensor) === i ? [i] : []));
  const outputs = made.map(i => all[i]);
  const trace = traceSince(outputs, moment);
  if (trace.inputs.length === 0) return result;

  const repeat = () => {
    const again = listOf(withoutEffects(() => f(...inputs)));
    return made.map(i => again[i]);
  };
  const segment: Segment = {
    ...trace,
    outputs,
    repeat,
    differentiate: (given, wanted) => {
      let reached: number[] = [];
      const results = checkpoint(() => {
        const again = repeat();
        const gradients = new Map<Tensor, Tensor>();
        again.forEach((output, i) => {
          if (given[i]) gradients.set(output, given[i]);
        });
        backward(again, new Set(wanted), gradients, segment);
        reached = wanted.flatMap((input, i) => (gradients.has(input) ? [i] : []));
        return reached.map(i => gradients.get(wanted[i])!);
      }, wanted[0]);
      return wanted.map((_, i) => results[reached.indexOf(i)]);
    },
  };
  noteSegment(segment);
  return result;
}

function listOf(result: Tensor | readonly Tensor[]): readonly Tensor[] {
  return Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor];
}
