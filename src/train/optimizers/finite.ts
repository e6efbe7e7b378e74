import source from '../../../shaders/non_finite.wgsl';
import { grid } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';

const NON_FINITE = { name: 'non_finite', source };
const PER_WORKGROUP = 16 * 64;

/**
 * Sets `gate` u32 [1] to 1 if one of the tensors (losses, flat gradients) has an element that is infinite or not a
 * number, and leaves it as it is otherwise. The trainer writes 0 there before a step; all that the step changes looks
 * at it.
 */
export function checkFinite(tensors: readonly Tensor[], gate: Tensor): void {
  for (const tensor of tensors) {
    const { device } = tensor;
    for (const part of tensor.parts ?? [tensor]) {
      device.dispatch(device.kernel(NON_FINITE), [part, gate], [part.size], grid(part.size, PER_WORKGROUP));
    }
  }
}
