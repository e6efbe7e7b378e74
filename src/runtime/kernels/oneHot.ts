import source from '../../../shaders/one_hot.wgsl';
import { grid } from '../device.ts';
import { type Shape, shapeText, sizeOf } from '../shape.ts';
import type { Tensor } from '../tensor.ts';

const ONE_HOT = { name: 'one_hot', source };
const WORKGROUP = 64;

/** Labels u32 [N, …] as indicators f32 [N, C, …] along axis 1 of `shape`; of a label from C on, all are 0. */
export function oneHot(labels: Tensor, shape: Shape): Tensor {
  const { device } = labels;
  if (labels.size * shape[1] !== sizeOf(shape)) throw new Error(`${labels} are not the labels of ${shapeText(shape)}`);
  const output = device.empty(shape);
  const plane = output.size / (shape[0] * shape[1]);
  let start = 0;
  for (const part of output.parts ?? [output]) {
    const words = [start, part.size, shape[1], plane];
    device.dispatch(device.kernel(ONE_HOT), [labels, part], words, grid(part.size, WORKGROUP));
    start += part.size;
  }
  return output;
}
