import adaptiveSource from '../../../shaders/adaptive_pool.wgsl';
import adaptiveGradientSource from '../../../shaders/adaptive_pool_gradient.wgsl';
import maxSource from '../../../shaders/max_pool2d.wgsl';
import scatterSource from '../../../shaders/max_pool2d_scatter.wgsl';
import spreadSource from '../../../shaders/max_pool2d_spread.wgsl';
import gatherSource from '../../../shaders/plane_gather.wgsl';
import subsampleSource from '../../../shaders/subsample.wgsl';
import { grid } from '../device.ts';
import { overPlanes } from '../parts.ts';
import type { Shape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';

const MAX = { name: 'max_pool2d', source: maxSource };
const GATHER = { name: 'plane_gather', source: gatherSource };
const SCATTER = { name: 'max_pool2d_scatter', source: scatterSource };
const SPREAD = { name: 'max_pool2d_spread', source: spreadSource };
const ADAPTIVE = { name: 'adaptive_pool', source: adaptiveSource };
const ADAPTIVE_GRADIENT = { name: 'adaptive_pool_gradient', source: adaptiveGradientSource };
const SUBSAMPLE = { name: 'subsample', source: subsampleSource };
const WORKGROUP = 64;

/** Windows of a pooling: [vertical, horizontal] size, step and padding, and whether a last partial window counts. */
export interface Windows {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly ceilMode: boolean;
}

/**
 * The maximum of each window of x [N, C, H, W], and where it is found first: positions within the plane, u32. Both are
 * [N, C, OH, OW].
 */
export function maxPool(x: Tensor, windows: Windows): { values: Tensor; positions: Tensor } {
  const { kernel, stride, padding, ceilMode } = windows;
  const [n, c, height, width] = x.shape;
  if (padding.some((pixels, i) => 2 * pixels > kernel[i]))
    throw new Error(`maxPool2d: padding ${padding.join('×')} is over half of the window ${kernel.join('×')}`);
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
  if (x.parts) {
    overPlanes([x], positions, ([planes]) => maxPool(planes, windows).positions);
    return { values: gatherPlanes(x, positions), positions };
  }
  const values = device.empty(positions.shape);
  const words = [positions.size, height, width, ...outputs, ...kernel, ...stride, ...padding];
  const flop = kernel[0] * kernel[1] * positions.size;
  device.dispatch(device.kernel(MAX), [x, values, positions], words, grid(positions.size, WORKGROUP), flop);
  return { values, positions };
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

/** The adjoint of gatherPlanes for the positions of maxPool: sums x into planes of `shape`. */
export function scatterPlanes(x: Tensor, positions: Tensor, shape: Shape, windows: Windows): Tensor {
  const { kernel, stride, padding } = windows;
  const { device } = x;
  const y = device.empty(shape);
  if (y.parts) {
    const planes = ([g, at]: readonly Tensor[]) => scatterPlanes(g, at, [1, g.shape[1], ...shape.slice(2)], windows);
    return overPlanes([x, positions], y, planes);
  }
  const isDisjoint = kernel.every((length, i) => length === stride[i] && padding[i] === 0);
  if (isDisjoint) {
    const [down, across] = kernel.map((length, i) => Math.ceil(shape[2 + i] / length));
    const size = shape[0] * shape[1] * down * across;
    const spread = device.kernel(SPREAD, { constants: { KERNEL_Y: kernel[0], KERNEL_X: kernel[1] } });
    const words = [size, down, across, shape[2], shape[3], x.shape[2], x.shape[3]];
    device.dispatch(spread, [x, positions, y], words, grid(size, WORKGROUP));
    return y;
  }
  const words = [y.size, shape[2], shape[3], x.shape[2], x.shape[3], ...kernel, ...stride, ...padding];
  device.dispatch(device.kernel(SCATTER), [x, positions, y], words, grid(y.size, WORKGROUP));
  return y;
}

type Size = readonly [number, number];

/** The mean over each bin of x [N, C, H, W]: [N, C, ...size]. */
export function adaptivePool(x: Tensor, [outHeight, outWidth]: Size): Tensor {
  const { device } = x;
  const [n, c, height, width] = x.shape;
  const y = device.empty([n, c, outHeight, outWidth]);
  if (x.parts || y.parts) return overPlanes([x], y, ([planes]) => adaptivePool(planes, [outHeight, outWidth]));
  const words = [y.size, height, width, outHeight, outWidth];
  device.dispatch(device.kernel(ADAPTIVE), [x, y], words, grid(y.size, WORKGROUP), x.size);
  return y;
}

/** The adjoint of adaptivePool: g [N, C, OH, OW] to [N, C, ...size]. */
export function adaptivePoolGradient(g: Tensor, [height, width]: Size): Tensor {
  const { device } = g;
  const [n, c, outHeight, outWidth] = g.shape;
  const h = device.empty([n, c, height, width]);
  if (g.parts || h.parts) return overPlanes([g], h, ([planes]) => adaptivePoolGradient(planes, [height, width]));
  const words = [h.size, height, width, outHeight, outWidth];
  device.dispatch(device.kernel(ADAPTIVE_GRADIENT), [g, h], words, grid(h.size, WORKGROUP), h.size);
  return h;
}

/** Every `step`-th pixel of x [N, C, H, W]. */
export function subsample(x: Tensor, step: number): Tensor {
  const { device } = x;
  const [n, c, height, width] = x.shape;
  const size = [Math.ceil(height / step), Math.ceil(width / step)];
  const y = device.empty([n, c, ...size]);
  if (x.parts) return overPlanes([x], y, ([planes]) => subsample(planes, step));
  const kernel = device.kernel(SUBSAMPLE, { constants: { STEP: step, SPREAD: 0 } });
  device.dispatch(kernel, [x, y], [y.size, ...size, height, width], grid(y.size, WORKGROUP));
  return y;
}

/** The adjoint of subsample: zeros [N, C, ...size] with g at every `step`-th pixel. */
export function spreadPixels(g: Tensor, step: number, [height, width]: Size): Tensor {
  const { device } = g;
  const [n, c, down, across] = g.shape;
  const y = device.empty([n, c, height, width]);
  if (y.parts) return overPlanes([g], y, ([planes]) => spreadPixels(planes, step, [height, width]));
  const kernel = device.kernel(SUBSAMPLE, { constants: { STEP: step, SPREAD: 1 } });
  device.dispatch(kernel, [g, y], [g.size, down, across, height, width], grid(g.size, WORKGROUP));
  return y;
}
