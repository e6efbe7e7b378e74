import distanceSource from '../../../shaders/cosine_distance.wgsl';
import gradientSource from '../../../shaders/cosine_gradient.wgsl';
import momentsSource from '../../../shaders/cosine_moments.wgsl';
import { floatBits } from '../device.ts';
import type { Tensor } from '../tensor.ts';
import { collectText, splitsOf, vectorText, workgroupFor } from './vector.ts';

const MOMENTS = { name: 'cosine_moments', source: momentsSource };
const DISTANCE = { name: 'cosine_distance', source: distanceSource };
const GRADIENT = { name: 'cosine_gradient', source: gradientSource };
const WORKGROUP = 64;

/**
 * Of pairs of tensors [N, …], one pair a layer, the sums that the cosine of each sample consists of:
 * [layers, N, splits, 4].
 */
export function cosineMoments(xs: readonly Tensor[], ys: readonly Tensor[]): Tensor {
  const { device } = xs[0];
  const rows = xs[0].shape[0];
  const splits = splitsOf(Math.max(...xs.map(x => x.size / rows)));
  const moments = device.empty([xs.length, rows, splits, 4], 'f32', 'cosine moments');
  xs.forEach((x, layer) => {
    const { lanes, text } = vectorText(x.size / rows);
    const length = x.size / rows / lanes;
    const splitLength = Math.ceil(length / splits);
    const kernel = device.kernel(MOMENTS, {
      text: { ...text, COLLECT: collectText(lanes) },
      constants: { WORKGROUP: workgroupFor(device, splitLength) },
    });
    const words = [length, splits, splitLength, layer * rows];
    device.dispatch(kernel, [x, ys[layer], moments], words, [splits, rows], 6 * x.size);
  });
  return moments;
}

/** 1 - the mean cosine of each layer [layers], from their moments. */
export function cosineDistance(moments: Tensor, epsilon: number): Tensor {
  const { device, shape } = moments;
  const [layers, rows, splits] = shape;
  const distance = device.empty([layers]);
  device.dispatch(device.kernel(DISTANCE), [moments, distance], [rows, splits, floatBits(epsilon)], [layers]);
  return distance;
}

/** The gradient of one layer's distance in x, or with `swapped` in the second tensor, which is then given first. */
export function cosineGradient(
  g: Tensor,
  moments: Tensor,
  x: Tensor,
  y: Tensor,
  { layer, swapped, epsilon }: { layer: number; swapped: boolean; epsilon: number },
): Tensor {
  const { device } = x;
  const [, rows, splits] = moments.shape;
  const { lanes, text } = vectorText(x.size / rows);
  const length = x.size / rows / lanes;
  const output = device.empty(x.shape);
  const words = [length, splits, layer, rows, swapped ? 1 : 0, floatBits(epsilon)];
  const groups = [Math.ceil(length / (4 * WORKGROUP)), rows];
  device.dispatch(device.kernel(GRADIENT, { text }), [g, moments, x, y, output], words, groups, 3 * x.size);
  return output;
}
