import source from '../../../shaders/running_average.wgsl';
import { floatBits, grid } from '../device.ts';
import { take } from '../parts.ts';
import type { Tensor } from '../tensor.ts';

const RUNNING_AVERAGE = { name: 'running_average', source };
const WORKGROUP = 64;

/**
 * average += rate · (scale · x - average), in place, for the tensor x of the average's size.
 * `rate` [1] is a tensor, so that it may change from step to step; `gate` u32 [1] holds 0 if the step is finite, else
 * nothing is done.
 */
export function updateRunningAverage(average: Tensor, x: Tensor, rate: Tensor, gate: Tensor, scale = 1): void {
  const { device } = x;
  const kernel = device.kernel(RUNNING_AVERAGE);
  let start = 0;
  for (const part of average.parts ?? [average]) {
    const from = take(x, start, part.shape);
    device.dispatch(kernel, [gate, rate, from, part], [part.size, floatBits(scale)], grid(part.size, WORKGROUP));
    start += part.size;
  }
}
