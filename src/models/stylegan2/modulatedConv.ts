import * as ops from '../../autograd/index.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { Module, type Parameter } from '../module.ts';
import { EqualLinear, Fir } from './layers.ts';

const EPSILON = 1e-8;

export interface ModulatedConvOptions {
  readonly kernel: number;
  /** Length of w. */
  readonly wDim: number;
  /** Normalise each output map by its expected deviation. Default true. */
  readonly demodulate?: boolean;
  /** Double the size; for 3×3 kernels. Default false. */
  readonly up?: boolean;
}

/**
 * Modulated convolution (Karras et al. 2020, section 2.2, equations 1 and 3), with styles s = A(w) and c = 1/√(I k²):
 *
 *     y = d ⊙ conv(x ⊙ s, c W),   d[b, o] = 1 / √(Σᵢ s[b, i]² Q[o, i] + 10⁻⁸),   Q[o, i] = Σₖ (c W[o, i, k])²
 *
 * It scales activations instead of weights, so that the whole batch shares one convolution. With demodulation c cancels
 * but in the epsilon; without it c goes into the styles.
 */
export class ModulatedConv extends Module {
  private readonly weight: Parameter;
  private readonly modulation: EqualLinear;
  private readonly blur: Fir | undefined;
  private readonly demodulate: boolean;
  private readonly c: number;

  constructor(
    inChannels: number,
    outChannels: number,
    { kernel, wDim, demodulate = true, up = false }: ModulatedConvOptions,
  ) {
    super();
    this.weight = this.parameter('weight', [1, outChannels, inChannels, kernel, kernel], { normal: 1 });
    if (up) this.blur = this.child('blur', new Fir({ pad: [1, 1] }, 4));
    this.modulation = this.child('modulation', new EqualLinear(wDim, inChannels, { bias: 1 }));
    this.demodulate = demodulate;
    this.c = 1 / Math.sqrt(inChannels * kernel * kernel);
  }

  /** [B, I, H, W], of f32 or f16 as what it gives, modulated by w [B, D] → [B, O, H, W] (twice the size with `up`), plus `offset` with broadcasting. */
  forward(x: Tensor, w: Tensor, offset?: Tensor): Tensor {
    const { styles, weight, demodulation } = this.parts(w, x.dtype === 'f16');
    const products = this.convolve(ops.mul(x, ops.overPixels(styles)), weight);
    if (!demodulation) return offset ? ops.add(products, offset) : products;
    const factor = ops.overPixels(demodulation);
    return offset ? ops.multiplyAdd(products, factor, offset) : ops.mul(products, factor);
  }

  /** √2 · lrelu(y + strength · noise + bias), slope 0.2, for a convolution with demodulation. */
  styled(x: Tensor, w: Tensor, following: Omit<ops.StyledOptions, 'demodulation'>): Tensor {
    const { styles, weight, demodulation } = this.parts(w, x.dtype === 'f16');
    const options = { ...following, demodulation: demodulation! };
    if (!this.blur) return ops.styledConv2d(x, ops.castLike(weight, x), { ...options, styles });
    return ops.styledActivation(this.convolve(ops.mul(x, ops.overPixels(styles)), weight), options);
  }

  /**
   * s [B, I], W and, where there is one, d [B, O]. With `half`, in which large products overflow, the largest style of
   * each sample becomes 1 and the largest weight of each output channel c: demodulation cancels both factors, which are
   * constants therefore.
   */
  private parts(w: Tensor, half: boolean): { styles: Tensor; weight: Tensor; demodulation?: Tensor } {
    const { c } = this;
    const weight = ops.reshape(this.weight.value, this.weight.shape.slice(1));
    const styles = this.modulation.forward(w);
    if (!this.demodulate) return { styles: ops.mul(styles, c), weight };
    const demodulated = (s: Tensor, v: Tensor, epsilon: number) => {
      const energy = ops.sumProduct(v, v, { axes: [2, 3] });
      return { styles: s, weight: v, demodulation: ops.demodulation(s, energy, epsilon) };
    };
    if (!half) return demodulated(styles, weight, EPSILON / c ** 2);
    const largest = ops.affine(reciprocalOfLargest(weight, [1, 2, 3]), c, 0);
    return demodulated(ops.mul(styles, reciprocalOfLargest(styles, [1])), ops.mul(weight, largest), EPSILON);
  }

  /** The weight is taken in the type of x. */
  private convolve(x: Tensor, weight: Tensor): Tensor {
    if (!this.blur) return ops.conv2d(x, ops.castLike(weight, x), undefined, { padding: (weight.shape[2] - 1) / 2 });
    const scattered = ops.castLike(ops.permute(weight, [1, 0, 2, 3]), x);
    return this.blur.forward(ops.convTranspose2d(x, scattered, undefined, { stride: 2 }));
  }
}

/** 1 / max |x| over axes, as a constant. */
function reciprocalOfLargest(x: Tensor, axes: readonly number[]): Tensor {
  const largest = ops.constantMax(ops.abs(ops.stopGradient(x)), { axes });
  return ops.reciprocal(ops.clamp(largest, { min: 1e-8 }));
}
