import demodulationSource from '../../../shaders/demodulation.wgsl';
import demodulationGradientSource from '../../../shaders/demodulation_gradient.wgsl';
import source from '../../../shaders/styled_activation.wgsl';
import gradientSource from '../../../shaders/styled_gradient.wgsl';
import { floatBits, grid } from '../device.ts';
import type { Tensor } from '../tensor.ts';
import { narrow } from './copy.ts';
import { reduce } from './reduce.ts';
import { collectText, halfTile, lanesFor, splitsOf, storedType, vectorText } from './vector.ts';

const ACTIVATION = { name: 'styled_activation', source };
const GRADIENT = { name: 'styled_gradient', source: gradientSource };
const DEMODULATION = { name: 'demodulation', source: demodulationSource };
const DEMODULATION_GRADIENT = { name: 'demodulation_gradient', source: demodulationGradientSource };
const WORKGROUP = 64;

export interface Styled {
  /** [N, C] */
  readonly demodulation: Tensor;
  /** [C] */
  readonly bias: Tensor;
  /** [1 or N, 1, H, W], with its strength [1]; both or none */
  readonly noise?: Tensor;
  readonly strength?: Tensor;
  readonly slope: number;
  readonly gain: number;
}

function walk(x: Tensor, noise: Tensor | undefined) {
  const [samples, channels] = x.shape;
  const elements = x.size / (samples * channels);
  const { lanes, text } = vectorText(elements);
  const types = { ...text, STORED: storedType(lanes, x.dtype), NOISE: storedType(lanes, (noise ?? x).dtype) };
  const plane = elements / lanes;
  return {
    lanes,
    text: types,
    planes: samples * channels,
    channels,
    plane,
    noiseStride: noise?.shape[0] === 1 ? 0 : plane,
  };
}

/** gain · lrelu(x · demodulation + strength · noise + bias), of x [N, C, H, W]. */
export function styledActivation(x: Tensor, { demodulation, bias, noise, strength, slope, gain }: Styled): Tensor {
  const { device } = x;
  const { text, planes, channels, plane, noiseStride } = walk(x, noise);
  const y = device.empty(x.shape, x.dtype);
  const kernel = device.kernel(ACTIVATION, { text, tile: halfTile(x), constants: { NOISY: noise ? 1 : 0 } });
  const words = [planes * plane, channels, plane, noiseStride, floatBits(slope), floatBits(gain)];
  const bindings = [x, demodulation, noise ?? x, strength ?? bias, bias, y];
  device.dispatch(kernel, bindings, words, grid(planes * plane, WORKGROUP * 4), 6 * x.size);
  return y;
}

/** The gradients of styledActivation, y being its output; those in bias and strength on demand. */
export function styledGradient(
  g: Tensor,
  y: Tensor,
  x: Tensor,
  { demodulation, noise, slope, gain }: Omit<Styled, 'bias' | 'strength'>,
): { input: Tensor; demodulation: Tensor; bias: () => Tensor; strength: () => Tensor } {
  const { device, shape } = x;
  const { lanes, text, planes, channels, plane, noiseStride } = walk(x, noise);
  const splits = splitsOf(plane * lanes);
  const splitLength = Math.ceil(plane / splits);
  const input = device.empty(shape, x.dtype);
  const inputSum = device.empty([planes, splits]);
  const sums = device.empty([2, planes / channels, channels, splits]);
  const along = lanesFor(device, planes * splits, splitLength);
  const kernel = device.kernel(GRADIENT, {
    text: { ...text, COLLECT: collectText(lanes) },
    tile: halfTile(x),
    constants: { ...along, NOISY: noise ? 1 : 0 },
  });
  const words = [planes, channels, plane, splitLength, noiseStride, floatBits(slope), floatBits(gain)];
  const [gx, gy] = grid(planes, along.WORKGROUP / along.LANES);
  device.dispatch(
    kernel,
    [g, y, x, demodulation, noise ?? x, input, inputSum, sums],
    words,
    [gx, gy, splits],
    8 * x.size,
  );
  return {
    input,
    demodulation: (splits > 1 ? reduce(inputSum, [1]) : inputSum).view(demodulation.shape),
    bias: () => reduce(narrow(sums, 0, 0, 1), [0, 1, 3]).view([channels]),
    strength: () => reduce(narrow(sums, 0, 1, 2), [0, 1, 2, 3]).view([1]),
  };
}

/** 1 / √(Σᵢ styles[b, i]² energy[o, i] + ε), of styles [B, I] and energy [O, I]: [B, O]. */
export function demodulation(styles: Tensor, energy: Tensor, epsilon: number): Tensor {
  const { device } = styles;
  const [batch, inputs] = styles.shape;
  const outputs = energy.shape[0];
  const d = device.empty([batch, outputs]);
  const words = [d.size, outputs, inputs, floatBits(epsilon)];
  device.dispatch(
    device.kernel(DEMODULATION),
    [styles, energy, d],
    words,
    [Math.ceil(d.size / WORKGROUP)],
    3 * inputs * d.size,
  );
  return d;
}

/** The gradient of demodulation, whose output is d, in the styles. */
export function demodulationGradient(g: Tensor, d: Tensor, styles: Tensor, energy: Tensor): Tensor {
  const { device, shape } = styles;
  const h = device.empty(shape);
  const words = [h.size, energy.shape[0], shape[1]];
  const groups = [Math.ceil(h.size / WORKGROUP)];
  device.dispatch(
    device.kernel(DEMODULATION_GRADIENT),
    [g, d, styles, energy, h],
    words,
    groups,
    5 * d.shape[1] * h.size,
  );
  return h;
}
