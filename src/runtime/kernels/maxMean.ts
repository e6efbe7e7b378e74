import source from '../../../shaders/max_mean.wgsl';
import gradientSource from '../../../shaders/max_mean_gradient.wgsl';
import { floatBits, grid } from '../device.ts';
import type { Shape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { lanesFor } from './vector.ts';

const MAX_MEAN = { name: 'max_mean', source };
const GRADIENT = { name: 'max_mean_gradient', source: gradientSource };
const WORKGROUP = 64;

/** What is pooled: the pixels of each channel, or the channels at each pixel. */
export type Pooled = 'pixels' | 'channels';

/**
 * x [N, C, H, W] as [outer, length, inner], of which the length is pooled, and where maximum and mean of (o, i) are.
 */
function layout([n, c, height, width]: Shape, over: Pooled) {
  const pixels = height * width;
  return over === 'pixels'
    ? { shape: [2, n, c], length: pixels, inner: 1, outerStride: 1, meanOffset: n * c }
    : { shape: [n, 2, height, width], length: c, inner: pixels, outerStride: 2 * pixels, meanOffset: pixels };
}

/**
 * Maximum and mean of x [N, C, H, W], in this order: [2, N, C] over the pixels, or [N, 2, H, W] over the channels; and
 * where the first maxima are, u32. Given these places, the values there take the place of the maxima.
 */
export function maxMean(x: Tensor, over: Pooled, given?: Tensor): { values: Tensor; positions: Tensor } {
  const { device } = x;
  const { shape, length, inner, outerStride, meanOffset } = layout(x.shape, over);
  const outputs = x.size / length;
  const values = device.empty(shape);
  const positions = given ?? device.empty([outputs], 'u32');
  const lanes = lanesFor(device, outputs, length);
  const kernel = device.kernel(MAX_MEAN, { constants: { ...lanes, GIVEN: given ? 1 : 0 } });
  const words = [outputs, length, inner, outerStride, meanOffset];
  device.dispatch(kernel, [x, values, positions], words, grid(outputs, lanes.WORKGROUP / lanes.LANES), 2 * x.size);
  return { values, positions };
}

/**
 * The gradient of maxMean in x of this shape. The gradient of the mean may be scaled already: it is multiplied by
 * `scale`. With `gated`, u [N, C, H, W] · gate [N, C] is added.
 */
export function maxMeanGradient(
  g: Tensor,
  positions: Tensor,
  shape: Shape,
  over: Pooled,
  { scale, gated }: { scale: number; gated?: { readonly u: Tensor; readonly gate: Tensor } },
): Tensor {
  const { device } = g;
  const { length, inner, outerStride, meanOffset } = layout(shape, over);
  const output = device.empty(shape);
  const kernel = device.kernel(GRADIENT, { constants: { GATED: gated ? 1 : 0 } });
  const words = [output.size, length, inner, outerStride, meanOffset, floatBits(scale)];
  const bindings = [g, positions, gated?.u ?? g, gated?.gate ?? g, output];
  device.dispatch(kernel, bindings, words, grid(output.size, WORKGROUP), (gated ? 3 : 1) * output.size);
  return output;
}
