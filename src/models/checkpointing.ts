import { checkpoint } from '../autograd/index.ts';
import type { Tensor } from '../runtime/tensor.ts';

export interface CheckpointingOptions {
  /**
   * Gradient checkpointing: keep only what a network's layers or units hand on, and compute the rest again for the
   * gradients. Takes about half of the memory or less, and a forward pass more. Default false.
   */
  readonly checkpointing?: boolean;
}

/** A part of a network on its inputs: forgotten and computed again for the gradients, if the options say so. */
export function segment<I extends readonly [Tensor, ...Tensor[]], O extends Tensor | readonly Tensor[]>(
  { checkpointing = false }: CheckpointingOptions,
  part: (...inputs: I) => O,
  ...inputs: I
): O {
  return checkpointing ? checkpoint(part, ...inputs) : part(...inputs);
}
