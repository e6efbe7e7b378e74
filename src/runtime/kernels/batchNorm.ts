import applySource from '../../../shaders/batch_norm.wgsl';
import gradientSource from '../../../shaders/batch_norm_gradient.wgsl';
import statisticsSource from '../../../shaders/batch_norm_statistics.wgsl';
import sumsSource from '../../../shaders/batch_norm_sums.wgsl';
import { floatBits, grid } from '../device.ts';
import type { Tensor } from '../tensor.ts';

const APPLY = { name: 'batch_norm', source: applySource };
const GRADIENT = { name: 'batch_norm_gradient', source: gradientSource };
const STATISTICS = { name: 'batch_norm_statistics', source: statisticsSource };
const SUMS = { name: 'batch_norm_sums', source: sumsSource };
const WORKGROUP = 64;

/** Samples, channels and elements a plane of x [N, C, …]. */
function axes(x: Tensor): [samples: number, channels: number, plane: number] {
  return [x.shape[0], x.shape[1], x.size / (x.shape[0] * x.shape[1])];
}

/** Mean and biased variance of each channel of x [N, C, …]. */
export function batchStatistics(x: Tensor): { mean: Tensor; variance: Tensor } {
  const { device } = x;
  const [samples, channels, plane] = axes(x);
  const mean = device.empty([channels], 'f32', 'batch mean');
  const variance = device.empty([channels], 'f32', 'batch variance');
  device.dispatch(device.kernel(STATISTICS), [x, mean, variance], [samples, channels, plane], [channels], 4 * x.size);
  return { mean, variance };
}

export interface NormParameters {
  readonly mean: Tensor;
  readonly variance: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly epsilon: number;
}

/** (x - mean) / √(variance + ε) · weight + bias, channel by channel. */
export function normalize(x: Tensor, { mean, variance, weight, bias, epsilon }: NormParameters): Tensor {
  const { device } = x;
  const [, channels, plane] = axes(x);
  const y = device.empty(x.shape);
  const words = [x.size, channels, plane, floatBits(epsilon)];
  const bindings = [x, mean, variance, weight, bias, y];
  device.dispatch(device.kernel(APPLY), bindings, words, grid(x.size, WORKGROUP * 4), 3 * x.size);
  return y;
}

/** The gradients in bias and weight. */
export function normSums(
  g: Tensor,
  x: Tensor,
  { mean, variance, epsilon }: Pick<NormParameters, 'mean' | 'variance' | 'epsilon'>,
): { bias: Tensor; weight: Tensor } {
  const { device } = x;
  const [samples, channels, plane] = axes(x);
  const bias = device.empty([channels]);
  const weight = device.empty([channels]);
  const words = [samples, channels, plane, floatBits(epsilon)];
  device.dispatch(device.kernel(SUMS), [g, x, mean, variance, bias, weight], words, [channels], 4 * x.size);
  return { bias, weight };
}

/** The gradient in the input: through mean and variance too, given the sums, when they are those of the batch itself. */
export function normInputGradient(
  g: Tensor,
  x: Tensor,
  { mean, variance, weight, epsilon }: Omit<NormParameters, 'bias'>,
  sums?: { bias: Tensor; weight: Tensor },
): Tensor {
  const { device } = x;
  const [, channels, plane] = axes(x);
  const y = device.empty(x.shape);
  // Given statistics do not depend on x: the kernel's sums then count for nothing, and anything finite may stand there.
  const words = [x.size, channels, plane, floatBits(epsilon), floatBits(sums ? channels / x.size : 0)];
  const bindings = [g, x, mean, variance, weight, sums?.bias ?? mean, sums?.weight ?? mean, y];
  device.dispatch(device.kernel(GRADIENT), bindings, words, grid(x.size, WORKGROUP * 4), 7 * x.size);
  return y;
}
