import applySource from '../../../shaders/batch_norm.wgsl';
import fixedGradientSource from '../../../shaders/batch_norm_fixed_gradient.wgsl';
import gradientSource from '../../../shaders/batch_norm_gradient.wgsl';
import mergeSource from '../../../shaders/batch_norm_merge.wgsl';
import statisticsSource from '../../../shaders/batch_norm_statistics.wgsl';
import sumsSource from '../../../shaders/batch_norm_sums.wgsl';
import runningSource from '../../../shaders/running_statistics.wgsl';
import { floatBits, grid } from '../device.ts';
import type { Tensor } from '../tensor.ts';
import { reduce } from './reduce.ts';
import { channelWalk, collectText, workgroupFor } from './vector.ts';

const APPLY = { name: 'batch_norm', source: applySource };
const GRADIENT = { name: 'batch_norm_gradient', source: gradientSource };
const FIXED_GRADIENT = { name: 'batch_norm_fixed_gradient', source: fixedGradientSource };
const STATISTICS = { name: 'batch_norm_statistics', source: statisticsSource };
const MERGE = { name: 'batch_norm_merge', source: mergeSource };
const SUMS = { name: 'batch_norm_sums', source: sumsSource };
const RUNNING = { name: 'running_statistics', source: runningSource };
const WORKGROUP = 64;

/** Mean and biased variance of each channel of x [N, C, …]. */
export function batchStatistics(x: Tensor): { mean: Tensor; variance: Tensor } {
  const { device } = x;
  const { lanes, text, samples, channels, plane, splits, splitLength } = channelWalk(x);
  const pair = (shape: number[]) => ({
    mean: device.empty(shape, 'f32', 'batch mean'),
    variance: device.empty(shape, 'f32', 'batch variance'),
  });
  const found = pair(splits > 1 ? [channels, splits] : [channels]);
  const kernel = device.kernel(STATISTICS, {
    text: { ...text, COLLECT: collectText(lanes), LANE_COUNT: `${lanes}.0` },
    constants: { WORKGROUP: workgroupFor(device, samples * splitLength) },
  });
  const words = [samples, channels, plane, splitLength];
  device.dispatch(kernel, [x, found.mean, found.variance], words, [splits, channels], 4 * x.size);
  if (splits === 1) return found;
  const merged = pair([channels]);
  const bindings = [found.mean, found.variance, merged.mean, merged.variance];
  const groups = [Math.ceil(channels / WORKGROUP)];
  device.dispatch(device.kernel(MERGE), bindings, [channels, splits, plane, splitLength], groups);
  return merged;
}

export interface NormParameters {
  readonly mean: Tensor;
  readonly variance: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly epsilon: number;
  /** [C], added to x before everything else. */
  readonly offset?: Tensor;
  /** What negative results are multiplied by; 1, the default, for no activation. */
  readonly slope?: number;
}

/** act((x + offset - mean) / √(variance + ε) · weight + bias), channel by channel. */
export function normalize(
  x: Tensor,
  { mean, variance, weight, bias, epsilon, offset, slope = 1 }: NormParameters,
): Tensor {
  const { device } = x;
  const { text, size, channels, plane } = channelWalk(x);
  const y = device.empty(x.shape);
  const words = [size, channels, plane, floatBits(epsilon), floatBits(slope)];
  const kernel = device.kernel(APPLY, { text, constants: { OFFSET: offset ? 1 : 0 } });
  const bindings = [x, mean, variance, weight, bias, offset ?? mean, y];
  device.dispatch(kernel, bindings, words, grid(size, WORKGROUP * 4), 3 * x.size);
  return y;
}

/** The gradients in bias and weight. */
export function normSums(
  g: Tensor,
  x: Tensor,
  { mean, variance, epsilon }: Pick<NormParameters, 'mean' | 'variance' | 'epsilon'>,
): { bias: Tensor; weight: Tensor } {
  const { device } = x;
  const { lanes, text, samples, channels, plane, splits, splitLength } = channelWalk(x);
  const [bias, weight] = [0, 1].map(() => device.empty([channels, splits]));
  const words = [samples, channels, plane, splitLength, floatBits(epsilon)];
  const kernel = device.kernel(SUMS, {
    text: { ...text, COLLECT: collectText(lanes) },
    constants: { WORKGROUP: workgroupFor(device, samples * splitLength) },
  });
  device.dispatch(kernel, [g, x, mean, variance, bias, weight], words, [splits, channels], 4 * x.size);
  const whole = (parts: Tensor) => (splits > 1 ? reduce(parts, [1]) : parts).view([channels]);
  return { bias: whole(bias), weight: whole(weight) };
}

/** The gradient in the input through mean and variance too, which are those of the batch itself, given the sums. */
export function normInputGradient(
  g: Tensor,
  x: Tensor,
  { mean, variance, weight, epsilon }: Pick<NormParameters, 'mean' | 'variance' | 'weight' | 'epsilon'>,
  sums: { bias: Tensor; weight: Tensor },
): Tensor {
  const { device } = x;
  const { text, size, channels, plane } = channelWalk(x);
  const y = device.empty(x.shape);
  const words = [size, channels, plane, floatBits(epsilon), floatBits(channels / x.size)];
  const bindings = [g, x, mean, variance, weight, sums.bias, sums.weight, y];
  device.dispatch(device.kernel(GRADIENT, { text }), bindings, words, grid(size, WORKGROUP * 4), 5 * x.size);
  return y;
}

/** The gradient in the input where mean and variance are given; y is the output of normalize. */
export function normFixedGradient(
  g: Tensor,
  y: Tensor,
  { variance, weight, epsilon, slope = 1 }: Pick<NormParameters, 'variance' | 'weight' | 'epsilon' | 'slope'>,
): Tensor {
  const { device } = g;
  const { text, size, channels, plane } = channelWalk(g);
  const h = device.empty(g.shape);
  const words = [size, channels, plane, floatBits(epsilon), floatBits(slope)];
  const activated = slope !== 1;
  const kernel = device.kernel(FIXED_GRADIENT, { text, constants: { ACTIVATED: activated ? 1 : 0 } });
  device.dispatch(kernel, [g, activated ? y : g, variance, weight, h], words, grid(size, WORKGROUP * 4), 2 * g.size);
  return h;
}

/**
 * Moves the running mean and variance towards a batch's by `rate`, its variance times `correction`, and counts the
 * batch; nothing happens if `gate` u32 [1] is not 0.
 */
export function updateRunningStatistics(
  running: { readonly mean: Tensor; readonly variance: Tensor; readonly batches: Tensor },
  batch: { readonly mean: Tensor; readonly variance: Tensor },
  { rate, correction, gate }: { readonly rate: number; readonly correction: number; readonly gate: Tensor },
): void {
  const { device, size } = running.mean;
  const bindings = [gate, batch.mean, batch.variance, running.mean, running.variance, running.batches];
  const words = [size, floatBits(rate), floatBits(correction)];
  device.dispatch(device.kernel(RUNNING), bindings, words, [Math.ceil(size / WORKGROUP)]);
}
