import * as convKernels from '../../runtime/kernels/conv.ts';
import * as kernels from '../../runtime/kernels/styled.ts';
import { type Shape, shapeText } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, isRecording, isTracked, type Op } from '../graph.ts';
import type { Activation } from './activation.ts';
import { conv2d } from './conv.ts';
import { biasedLeakyRelu, leakyMask, mul, multiplyAdd, square } from './elementwise.ts';
import { matmul } from './linear.ts';
import { sumProductTo, sumTo } from './reduce.ts';
import { expand, overPixels, perChannel, reshape } from './shape.ts';

/** √2 · lrelu, slope 0.2. */
const LRELU = { slope: 0.2, gain: Math.SQRT2 };

/** Inputs: x, demodulation, bias and, if there is noise, noise and strength. */
const styledOp: Op<Required<Activation>> = {
  name: 'styledActivation',
  half: true,
  forward: ([x, demodulation, bias, noise, strength], attributes) =>
    kernels.styledActivation(x, { demodulation, bias, noise, strength, ...attributes }),
  vjp: (g, { inputs: [x, demodulation, bias, noise, strength], output, attributes, needs }) => {
    if (!isRecording() && !needs[3]) {
      const all = kernels.styledGradient(g, output, x, { demodulation, noise, ...attributes });
      const [inBias, inStrength] = [needs[2] ? all.bias() : undefined, needs[4] ? all.strength() : undefined];
      return [all.input, all.demodulation, inBias, undefined, inStrength];
    }
    // Linear in g with a frozen mask: in ops that can be differentiated again.
    const masked = leakyMask(g, output, attributes);
    const factor = overPixels(demodulation);
    return [
      needs[0] ? mul(masked, factor) : undefined,
      needs[1] ? reshape(sumProductTo(masked, x, factor.shape), demodulation.shape) : undefined,
      needs[2] ? reshape(sumTo(masked, [1, bias.size, 1, 1]), bias.shape) : undefined,
      needs[3] ? mul(sumTo(masked, noise.shape), strength) : undefined,
      needs[4] ? sumProductTo(masked, noise, [1]) : undefined,
    ];
  },
};

export interface StyledOptions {
  /** What each map is multiplied by, [N, C]. */
  readonly demodulation: Tensor;
  /** [C] */
  readonly bias: Tensor;
  /** [1 or N, 1, H, W], times `strength` [1]. Default: none. */
  readonly noise?: { readonly map: Tensor; readonly strength: Tensor };
}

function refuseMisfit([n, c, height, width]: Shape, { demodulation, bias, noise }: StyledOptions): void {
  const [samples, channels, ...size] = noise?.map.shape ?? [1, 1, height, width];
  const isNoise = (samples === 1 || samples === n) && channels === 1 && size[0] === height && size[1] === width;
  if (!isNoise || demodulation.size !== n * c || bias.size !== c) {
    const maps = shapeText([n, c, height, width]);
    throw new Error(`styledActivation: ${demodulation}, ${bias} and noise ${noise?.map} do not fit maps ${maps}`);
  }
}

/**
 * √2 · lrelu(x · demodulation + strength · noise + bias), slope 0.2, of x [N, C, H, W]: what follows the convolution of
 * a styled layer (Karras et al. 2020, section 2.2), in one pass.
 */
export function styledActivation(x: Tensor, options: StyledOptions): Tensor {
  refuseMisfit(x.shape, options);
  const { demodulation, bias, noise } = options;
  if (x.parts) {
    const factor = overPixels(demodulation);
    const y = noise ? multiplyAdd(x, factor, mul(noise.map, noise.strength)) : mul(x, factor);
    return biasedLeakyRelu(y, perChannel(bias, x));
  }
  const inputs = [x, demodulation, bias, ...(noise ? [noise.map, noise.strength] : [])];
  return apply(styledOp, inputs, LRELU);
}

export interface StyledConvOptions extends StyledOptions {
  /** What each map of x is multiplied by, [N, I]. */
  readonly styles: Tensor;
}

/**
 * styledActivation of x ⊙ styles, x [1 or N, I, H, W], correlated with weight [O, I, K, K], K odd, size kept. Where no
 * gradient is wanted all of it is one kernel; else the convolution is kept, as the gradient of the demodulation needs
 * it.
 */
export function styledConv2d(x: Tensor, weight: Tensor, { styles, ...options }: StyledConvOptions): Tensor {
  const [samples, channels, ...size] = x.shape;
  const [n] = styles.shape;
  const [outputs, , kernel] = weight.shape;
  const isModulated = (samples === n || samples === 1) && styles.size === n * channels;
  if (!isModulated || kernel % 2 === 0 || kernel !== weight.shape[3]) {
    throw new Error(`styledConv2d: styles ${styles} and weight ${weight} do not fit ${x}`);
  }
  refuseMisfit([n, outputs, ...size], options);
  const padding = (kernel - 1) / 2;
  const { demodulation, bias, noise } = options;
  const all = [x, weight, styles, demodulation, bias, ...(noise ? [noise.map, noise.strength] : [])];
  if (isRecording() && all.some(isTracked)) {
    return styledActivation(conv2d(mul(x, overPixels(styles)), weight, undefined, { padding }), options);
  }
  const geometry = { stride: [1, 1], padding: [padding, padding], groups: 1 } as const;
  const images = expand(x, [n, channels, ...size]);
  const epilogue = { ...LRELU, bias, scale: demodulation, noise };
  return convKernels.conv2d(images, weight, geometry, { styles, epilogue });
}

const demodulationOp: Op<{ epsilon: number }> = {
  name: 'demodulation',
  forward: ([styles, energy], { epsilon }) => kernels.demodulation(styles, energy, epsilon),
  vjp: (g, { inputs: [styles, energy], output: d, needs }) => {
    if (!isRecording() && !needs[1]) return [kernels.demodulationGradient(g, d, styles, energy)];
    const inSum = mul(mul(g, -0.5), mul(square(d), d));
    return [
      needs[0] ? mul(matmul(inSum, energy), mul(styles, 2)) : undefined,
      needs[1] ? matmul(inSum, square(styles), { transposeA: true }) : undefined,
    ];
  },
};

/**
 * 1 / √(Σᵢ styles[b, i]² energy[o, i] + ε): [B, O], of styles [B, I] and the energies [O, I] of a convolution's kernels
 * (Karras et al. 2020, equation 3).
 */
export function demodulation(styles: Tensor, energy: Tensor, epsilon: number): Tensor {
  if (styles.shape[1] !== energy.shape[1]) throw new Error(`demodulation: ${styles} and ${energy} do not fit`);
  return apply(demodulationOp, [styles, energy], { epsilon });
}
