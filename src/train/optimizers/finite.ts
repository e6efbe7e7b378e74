import source from '../../../shaders/non_finite.wgsl';
import replaceSource from '../../../shaders/replace_non_finite.wgsl';
import { floatBits, grid } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';

const NON_FINITE = { name: 'non_finite', source };
const PER_WORKGROUP = 16 * 64;
const REPLACE = { name: 'replace_non_finite', source: replaceSource };

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

/**
 * Puts 0 for every NaN and ± `limit` for every infinite element of flat gradients: what NVlabs' trainings do in f16 in
 * place of scaling losses (stylegan2-ada-pytorch, training_loop.py).
 */
export function replaceNonFinite(gradients: readonly Tensor[], limit = 1e5): void {
  for (const tensor of gradients) {
    const { device } = tensor;
    const words = [tensor.size, floatBits(limit)];
    device.dispatch(device.kernel(REPLACE), [tensor], words, grid(tensor.size, 4 * 64));
  }
}
