import source from '../../../shaders/running_average.wgsl';
import { floatBits, grid } from '../device.ts';
import type { Tensor } from '../tensor.ts';

const RUNNING_AVERAGE = { name: 'running_average', source };
const WORKGROUP = 64;

/**
 * average += rate · (scale · x - average), in place, for the tensor x of the average's size.
 * `rate` [1] is a tensor, so that it may change from step to step; `gate` u32 [1] holds 0 if the step is finite, else nothing is done.
 */
export function updateRunningAverage(average: Tensor, x: Tensor, rate: Tensor, gate: Tensor, scale = 1): void {
  const { device } = x;
  const kernel = device.kernel(RUNNING_AVERAGE);
  const averages = average.parts ?? [average];
  (x.parts ?? [x]).forEach((part, i) => {
    const words = [part.size, floatBits(scale)];
    device.dispatch(kernel, [gate, rate, part, averages[i]], words, grid(part.size, WORKGROUP));
  });
}
