import distanceSource from '../../../shaders/perceptual_distance.wgsl';
import gradientSource from '../../../shaders/perceptual_gradient.wgsl';
import { floatBits, grid } from '../device.ts';
import type { Tensor } from '../tensor.ts';
import { reduce } from './reduce.ts';
import { collectText, vectorText, workgroupFor } from './vector.ts';

const DISTANCE = { name: 'perceptual_distance', source: distanceSource };
const GRADIENT = { name: 'perceptual_gradient', source: gradientSource };
const WORKGROUP = 64;
/** Pixels that one workgroup adds up. */
const SPLIT = 1024;

/** Σ over layers of the mean over pixels of Σ_c w[c] (x̂ - ŷ)², of maps [N, C, H, W] and weights of C elements: [N]. */
export function perceptualDistance(xs: readonly Tensor[], ys: readonly Tensor[], weights: readonly Tensor[]): Tensor {
  const { device, shape } = xs[0];
  const pixels = xs.map(x => x.size / (x.shape[0] * x.shape[1]));
  const splits = pixels.map(count => Math.min(64, Math.ceil(count / SPLIT)));
  const columns = splits.reduce((a, b) => a + b);
  const partial = device.empty([shape[0], columns]);
  let first = 0;
  xs.forEach((x, layer) => {
    const { lanes, text } = vectorText(pixels[layer]);
    const length = pixels[layer] / lanes;
    const splitLength = Math.ceil(length / splits[layer]);
    const kernel = device.kernel(DISTANCE, {
      text: { ...text, COLLECT: collectText(lanes) },
      constants: { WORKGROUP: workgroupFor(device, splitLength) },
    });
    const words = [x.shape[1], length, splitLength, columns, first, floatBits(1 / pixels[layer])];
    device.dispatch(kernel, [x, ys[layer], weights[layer], partial], words, [splits[layer], shape[0]], 10 * x.size);
    first += splits[layer];
  });
  return reduce(partial, [1]).view([shape[0]]);
}

/** The gradient of one layer's distance in x, g [N] being that of the distance. */
export function perceptualGradient(g: Tensor, x: Tensor, y: Tensor, weight: Tensor): Tensor {
  const { device, shape } = x;
  const pixels = x.size / (shape[0] * shape[1]);
  const { lanes, text } = vectorText(pixels);
  const output = device.empty(shape);
  const size = (shape[0] * pixels) / lanes;
  const words = [size, shape[1], pixels / lanes, floatBits(2 / pixels)];
  device.dispatch(
    device.kernel(GRADIENT, { text }),
    [g, x, y, weight, output],
    words,
    grid(size, WORKGROUP),
    16 * x.size,
  );
  return output;
}
