import source from '../../../shaders/one_hot.wgsl';
import { grid } from '../device.ts';
import type { Shape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';

const ONE_HOT = { name: 'one_hot', source };
const WORKGROUP = 64;

/** Labels u32 [N, …] as indicators f32 [N, C, …] along axis 1 of `shape`. */
export function oneHot(labels: Tensor, shape: Shape): Tensor {
  const { device } = labels;
  const output = device.empty(shape);
  const words = [output.size, shape[1], output.size / (shape[0] * shape[1])];
  device.dispatch(device.kernel(ONE_HOT), [labels, output], words, grid(output.size, WORKGROUP));
  return output;
}
