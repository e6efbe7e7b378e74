import maxSource from '../../../shaders/max_pool2d.wgsl';
import scatterSource from '../../../shaders/max_pool2d_scatter.wgsl';
import gatherSource from '../../../shaders/plane_gather.wgsl';
import { grid } from '../device.ts';
import { overPlanes } from '../parts.ts';
import type { Shape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';

const MAX = { name: 'max_pool2d', source: maxSource };
const GATHER = { name: 'plane_gather', source: gatherSource };
const SCATTER = { name: 'max_pool2d_scatter', source: scatterSource };
const WORKGROUP = 64;

/** Windows of a pooling: [vertical, horizontal] size, step and padding, and whether a last partial window counts. */
export interface Windows {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly ceilMode: boolean;
}

/** Where each window of x [N, C, H, W] has its first maximum: positions within the plane, u32 [N, C, OH, OW]. */
export function maxPositions(x: Tensor, windows: Windows): Tensor {
  const { kernel, stride, padding, ceilMode } = windows;
  const [n, c, height, width] = x.shape;
  const outputs = [0, 1].map(i => {
    const span = x.shape[2 + i] + 2 * padding[i] - kernel[i];
    const count = (ceilMode ? Math.ceil(span / stride[i]) : Math.floor(span / stride[i])) + 1;
    // As in PyTorch, a window that would start in the padding behind the image is left out.
    return ceilMode && (count - 1) * stride[i] >= x.shape[2 + i] + padding[i] ? count - 1 : count;
  });
  if (outputs.some(count => count < 1))
    throw new Error(`maxPool2d: ${x} is smaller than the window ${kernel.join('×')}`);
  const { device } = x;
  const positions = device.empty([n, c, ...outputs], 'u32');
  if (x.parts) return overPlanes([x], positions, ([planes]) => maxPositions(planes, windows));
  const words = [positions.size, height, width, ...outputs, ...kernel, ...stride, ...padding];
  device.dispatch(device.kernel(MAX), [x, positions], words, grid(positions.size, WORKGROUP));
  return positions;
}

/** The elements of x [N, C, H, W] at these positions of its planes. */
export function gatherPlanes(x: Tensor, positions: Tensor): Tensor {
  const { device } = x;
  const y = device.empty(positions.shape);
  if (x.parts) return overPlanes([x, positions], y, ([planes, at]) => gatherPlanes(planes, at));
  const words = [y.size, positions.shape[2] * positions.shape[3], x.shape[2] * x.shape[3]];
  device.dispatch(device.kernel(GATHER), [x, positions, y], words, grid(y.size, WORKGROUP));
  return y;
}

/** The adjoint of gatherPlanes for the positions of maxPositions: sums x into planes of `shape`. */
export function scatterPlanes(x: Tensor, positions: Tensor, shape: Shape, windows: Windows): Tensor {
  const { kernel, stride, padding } = windows;
  const { device } = x;
  const y = device.empty(shape);
  if (y.parts) {
    const planes = ([g, at]: readonly Tensor[]) => scatterPlanes(g, at, [1, g.shape[1], ...shape.slice(2)], windows);
    return overPlanes([x, positions], y, planes);
  }
  const words = [y.size, shape[2], shape[3], x.shape[2], x.shape[3], ...kernel, ...stride, ...padding];
  device.dispatch(device.kernel(SCATTER), [x, positions, y], words, grid(y.size, WORKGROUP));
  return y;
}
