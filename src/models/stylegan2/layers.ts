import * as ops from '../../autograd/index.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { constant } from '../layers.ts';
import { Module, type Parameter } from '../module.ts';

/** outer([1, 3, 3, 1]) / 64: the low-pass filter of all resampling in StyleGAN2. */
const FILTER = [1, 3, 3, 1].flatMap(a => [1, 3, 3, 1].map(b => (a * b) / 64));

interface Resampling {
  readonly pad: readonly [number, number];
  readonly up?: number;
  readonly down?: number;
}

/**
 * The filter as a module, resampling by `up` or `down`; the gain is part of the stored kernel, as in official files.
 */
export class Fir extends Module {
  private readonly kernel: Parameter;

  constructor(
    private readonly options: Resampling,
    gain = 1,
  ) {
    super();
    this.kernel = this.buffer('kernel', [4, 4], { values: FILTER.map(tap => tap * gain) });
  }

  /** [N, C, H, W] → [N, C, H', W'] */
  forward(x: Tensor, options: Resampling = this.options): Tensor {
    return ops.upfirdn2d(x, this.kernel.value, options);
  }
}

/**
 * gain · lrelu(scale · x + bias), slope 0.2. Because lrelu(s x + b) = s · lrelu(x + b / s), the equalised-learning-rate
 * constant costs a product with the bias instead of one with the weight or with x. The bias broadcasts to x.
 */
export function scaledLeakyRelu(x: Tensor, bias: Tensor, scale: number, gain: number = Math.SQRT2): Tensor {
  return ops.biasedLeakyRelu(x, ops.mul(bias, 1 / scale), { gain: gain * scale });
}

/** x limited to ± `limit`, if there is one. */
export function clamped(x: Tensor, limit: number | undefined): Tensor {
  return limit === undefined ? x : ops.clamp(x, { min: -limit, max: limit });
}

export interface EqualLinearOptions {
  /** The bias's initial value. Default 0. */
  readonly bias?: number;
  /** Learning-rate multiplier of weight and bias, which are stored divided by it and not, respectively. Default 1. */
  readonly lrMul?: number;
  /** Follow with √2 · lrelu. Default false. */
  readonly activate?: boolean;
}

/**
 * A dense layer with equalised learning rate (Karras et al. 2018), W ~ N(0, 1/m²):
 * y [N, O] = m (x [N, I] · W [O, I]ᵀ / √I + b [O]).
 */
export class EqualLinear extends Module {
  private readonly weight: Parameter;
  private readonly bias: Parameter;
  private readonly scale: number;
  private readonly lrMul: number;
  private readonly activate: boolean;

  constructor(inputs: number, outputs: number, { bias = 0, lrMul = 1, activate = false }: EqualLinearOptions = {}) {
    super();
    this.weight = this.parameter('weight', [outputs, inputs], { normal: 1 / lrMul });
    this.bias = this.parameter('bias', [outputs], { constant: bias });
    this.scale = 1 / Math.sqrt(inputs);
    this.lrMul = lrMul;
    this.activate = activate;
  }

  forward(x: Tensor): Tensor {
    const { scale, lrMul } = this;
    const product = ops.matmul(x, this.weight.value, { transposeB: true });
    if (this.activate) return scaledLeakyRelu(product, this.bias.value, scale, Math.SQRT2 * lrMul);
    const y = ops.multiplyAdd(product, constant(x.device, scale), this.bias.value);
    return lrMul === 1 ? y : ops.mul(y, lrMul);
  }
}
