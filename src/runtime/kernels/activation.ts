import source from '../../../shaders/activation_gradient.wgsl';
import { floatBits } from '../device.ts';
import type { Tensor } from '../tensor.ts';
import { reduce } from './reduce.ts';
import { channelWalk, collectText, halfTile, storedType, workgroupFor } from './vector.ts';

const GRADIENT = { name: 'activation_gradient', source };

/**
 * gain · g · (1 where `decider` > 0, else slope) of [N, C, …], and its sum over each channel [C]. Where slopes [C] are
 * given, these are the slopes, and the sum is the gradient in them: that of g · decider where `decider` ≤ 0.
 */
export function activationGradient(
  g: Tensor,
  decider: Tensor,
  { slope = 1, gain = 1, slopes }: { slope?: number; gain?: number; slopes?: Tensor },
): { input: Tensor; sums: Tensor } {
  const { device, shape } = g;
  const { lanes, text, samples, channels, plane, splits, splitLength } = channelWalk(g);
  const input = device.empty(shape, g.dtype);
  const sums = device.empty([channels, splits]);
  const kernel = device.kernel(GRADIENT, {
    text: { ...text, STORED: storedType(lanes, g.dtype), COLLECT: collectText(lanes) },
    tile: halfTile(g),
    constants: { LEARNED: slopes ? 1 : 0, WORKGROUP: workgroupFor(device, samples * splitLength) },
  });
  const words = [samples, channels, plane, splitLength, floatBits(slope), floatBits(gain)];
  device.dispatch(kernel, [g, decider, slopes ?? g, input, sums], words, [splits, channels], 3 * g.size);
  return { input, sums: (splits > 1 ? reduce(sums, [1]) : sums).view([channels]) };
}
