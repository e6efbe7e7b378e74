import source from '../../../shaders/channel_gate.wgsl';
import gradientSource from '../../../shaders/channel_gate_gradient.wgsl';
import weightsSource from '../../../shaders/channel_gate_weights.wgsl';
import { floatBits } from '../device.ts';
import type { Tensor } from '../tensor.ts';

const GATE = { name: 'channel_gate', source };
const GRADIENT = { name: 'channel_gate_gradient', source: gradientSource };
const WEIGHTS = { name: 'channel_gate_weights', source: weightsSource };
const WORKGROUP = 64;

/** Hidden units, counted in each pool, that the kernels have room for. */
export const MAX_HIDDEN = 256;

/** A perceptron of one hidden layer: w1 [H, C], b1 [H], w2 [C, H], b2 [C]; both biases or none. */
export interface GateWeights {
  readonly w1: Tensor;
  readonly w2: Tensor;
  readonly b1?: Tensor;
  readonly b2?: Tensor;
}

/** σ(Σ over pools of w2 relu(w1 pool + b1) + b2), of pools [P, N, C]: [N, C]. */
export function channelGate(pooled: Tensor, { w1, w2, b1, b2 }: GateWeights): Tensor {
  const { device, shape } = pooled;
  const [pools, samples, channels] = shape;
  const gate = device.empty([samples, channels]);
  const kernel = device.kernel(GATE, { constants: { BIASED: b1 ? 1 : 0 } });
  const words = [samples, channels, w1.shape[0], pools];
  device.dispatch(
    kernel,
    [pooled, w1, b1 ?? w1, w2, b2 ?? w2, gate],
    words,
    [samples],
    2 * (pools + 1) * samples * w1.size,
  );
  return gate;
}

/**
 * The gradients of channelGate, g [N, C] being that of the gate: in the pools, that of the last one, a mean over
 * `pixels`, divided by their number; and, on demand, in the weights.
 */
export function channelGateGradient(
  g: Tensor,
  gate: Tensor,
  pooled: Tensor,
  { w1, w2, b1 }: GateWeights,
  pixels: number,
): { pooled: Tensor; weights: () => Required<GateWeights> } {
  const { device, shape } = pooled;
  const [pools, samples, channels] = shape;
  const hidden = w1.shape[0];
  const constants = { BIASED: b1 ? 1 : 0 };
  const gradient = device.empty(shape);
  const state = device.empty([samples, pools + 1, hidden]);
  const words = [samples, channels, hidden, pools];
  const flop = 2 * (2 * pools + 1) * samples * w1.size;
  const bindings = [g, gate, pooled, w1, b1 ?? w1, w2, gradient, state];
  device.dispatch(device.kernel(GRADIENT, { constants }), bindings, [...words, floatBits(1 / pixels)], [samples], flop);
  const weights = () => {
    const d1 = device.empty(w1.shape);
    const d2 = device.empty(w2.shape);
    const db1 = device.empty([hidden]);
    const db2 = device.empty([channels]);
    const groups = [Math.ceil((hidden * channels) / WORKGROUP)];
    const bindings = [g, gate, pooled, state, d1, d2, db1, db2];
    device.dispatch(device.kernel(WEIGHTS, { constants }), bindings, words, groups, flop);
    return { w1: d1, w2: d2, b1: db1, b2: db2 };
  };
  return { pooled: gradient, weights };
}
