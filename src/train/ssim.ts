import * as ops from '../autograd/index.ts';
import { unary } from '../runtime/kernels/elementwise.ts';
import type { Tensor } from '../runtime/tensor.ts';

export interface SsimOptions {
  /**
   * The length L of the images' value range. 'auto' detects it over the whole batch of the first image, and again at
   * every scale, as HyperStyle's code does: (255 if max > 128 else 1) - (-1 if min < -0.5 else 0).
   */
  readonly range: number | 'auto';
}

/** Weights of the scales of MS-SSIM (Wang et al. 2003); they sum to 1.0001. */
const SCALE_WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

const WINDOW = 11;

/** A Gaussian of standard deviation 1.5, normalised. */
function gaussian(length: number): number[] {
  const values = Array.from({ length }, (_, i) => Math.exp(-((i - Math.floor(length / 2)) ** 2) / 4.5));
  const total = values.reduce((a, b) => a + b, 0);
  return values.map(value => value / total);
}

/** The constant (k L)² as a tensor [1]. */
function stabilizer(x: Tensor, k: number, range: number | 'auto'): Tensor | number {
  if (range !== 'auto') return (k * range) ** 2;
  const axes = x.shape.map((_, axis) => axis);
  const max = unary(ops.constantMax(x, { axes }), 'select(ELEMENT(1.0), ELEMENT(255.0), x > ELEMENT(128.0))');
  const min = unary(
    ops.constantMax(unary(x, '-x'), { axes }),
    'select(ELEMENT(0.0), ELEMENT(-1.0), -x < ELEMENT(-0.5))',
  );
  return ops.affine(ops.square(ops.stopGradient(ops.sub(max, min))), k * k, 0).view([1]);
}

/** SSIM and its contrast-structure factor, each the mean over pixels and channels of an image: [N]. */
function similarity(x: Tensor, y: Tensor, { range }: SsimOptions): { ssim: Tensor; contrast: Tensor } {
  const taps = gaussian(Math.min(WINDOW, x.shape[2], x.shape[3]));
  const filter = (image: Tensor) => ops.separableFilter(image, taps);
  const c1 = stabilizer(x, 0.01, range);
  const c2 = stabilizer(x, 0.03, range);
  const muX = filter(x);
  const muY = filter(y);
  const squares = ops.add(ops.square(muX), ops.square(muY));
  const product = ops.mul(muX, muY);
  const variances = ops.sub(filter(ops.add(ops.square(x), ops.square(y))), squares);
  const covariance = ops.sub(filter(ops.mul(x, y)), product);
  const contrast = ops.div(ops.add(ops.affine(covariance, 2, 0), c2), ops.add(variances, c2));
  const luminance = ops.div(ops.add(ops.affine(product, 2, 0), c1), ops.add(squares, c1));
  const perImage = (map: Tensor) => ops.mean(map, { axes: [1, 2, 3] });
  return { ssim: perImage(ops.mul(luminance, contrast)), contrast: perImage(contrast) };
}

/**
 * Structural similarity (Wang et al. 2004) of images [N, C, H, W]: [N]. An 11-tap Gaussian window of σ = 1.5, smaller
 * where the image is, over the pixels where it fits; the mean over them and the channels.
 */
export function ssim(x: Tensor, y: Tensor, options: SsimOptions): Tensor {
  return similarity(x, y, options).ssim;
}

/** How many scales, of five, still hold the whole window; at least one. */
function scalesOf({ shape }: Tensor): number {
  const side = Math.min(shape[2], shape[3]);
  return Math.max(1, Math.min(SCALE_WEIGHTS.length, Math.floor(Math.log2(side / WINDOW)) + 1));
}

/** max(x, 0)ᵃ with derivative 0 where x ≤ 0. */
function positivePower(x: Tensor, exponent: number): Tensor {
  const positive = ops.greater(x, 0);
  const base = ops.add(ops.mul(x, positive), ops.affine(positive, -1, 1));
  return ops.mul(ops.pow(base, exponent), positive);
}

/**
 * Multi-scale structural similarity (Wang et al. 2003, eq. 7) of images [N, C, H, W]: [N]. Images under 176 pixels have
 * fewer than five scales, whose weights are renormalised: 3 scales at 64, 2 at 32. A negative factor counts as 0.
 */
export function msssim(x: Tensor, y: Tensor, options: SsimOptions): Tensor {
  const scales = scalesOf(x);
  const total = SCALE_WEIGHTS.slice(0, scales).reduce((a, b) => a + b, 0);
  const weights = SCALE_WEIGHTS.map(weight => (scales === SCALE_WEIGHTS.length ? weight : weight / total));
  let result: Tensor | undefined;
  for (let scale = 0; scale < scales; scale++) {
    const last = scale === scales - 1;
    const { ssim, contrast } = similarity(x, y, options);
    const factor = positivePower(last ? ssim : contrast, weights[scale]);
    result = result ? ops.mul(result, factor) : factor;
    if (last) break;
    x = ops.avgPool2d(x, 2);
    y = ops.avgPool2d(y, 2);
  }
  return result!;
}

/** MS-SSIM of images in [-1, 1] as they are, L = 2: the convention of HyperStyle's tables. */
export function msssimHyperstyle(x: Tensor, y: Tensor): Tensor {
  return msssim(x, y, { range: 2 });
}

/** MS-SSIM of images in [-1, 1] mapped to [0, 1], L = 1: the convention of image processing. Its values are higher. */
export function msssimUnit(x: Tensor, y: Tensor): Tensor {
  const toUnit = (image: Tensor) => ops.affine(image, 0.5, 0.5);
  return msssim(toUnit(x), toUnit(y), { range: 1 });
}
