import { isOversized } from '../parts.ts';
import type { Shape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { CONV2D, correlate, type Epilogue, plainSteps } from './convForward.ts';
import type { ConvGeometry } from './convSizes.ts';
import { convolveInSlices, weightGradientInSlices } from './convSlices.ts';
import { CONV_TRANSPOSE2D, correlateTransposed } from './convTransposed.ts';
import { correlateWeight, WEIGHT_GRADIENT } from './convWeightGradient.ts';
import { binary, unary } from './elementwise.ts';
import { isHalf } from './matmul.ts';

/** What the kernel of a convolution does beside it. */
export interface Fusion {
  /** What follows. */
  readonly epilogue?: Epilogue;
  /** What each map of x is multiplied by first (modulation), [N, C]. */
  readonly styles?: Tensor;
}

/**
 * y [N, O, OH, OW] = x [N, C, H, W] correlated with w [O, C / groups, KH, KW], with what stands before and behind it.
 */
export function conv2d(x: Tensor, w: Tensor, geometry: ConvGeometry, { epilogue, styles }: Fusion = {}): Tensor {
  const { stride, padding, groups } = geometry;
  const [n, c, height, width] = x.shape;
  const [o, groupChannels, kh, kw] = w.shape;
  if (x.rank !== 4 || w.rank !== 4 || groupChannels * groups !== c || o % groups !== 0) {
    throw new Error(`conv2d: ${x} and weight ${w} do not fit with ${groups} groups`);
  }
  const outHeight = Math.floor((height + 2 * padding[0] - kh) / stride[0]) + 1;
  const outWidth = Math.floor((width + 2 * padding[1] - kw) / stride[1]) + 1;
  if (outHeight < 1 || outWidth < 1) throw new Error(`conv2d: ${x} is smaller than the kernel ${kh}×${kw}`);
  const { device } = x;
  const shape: Shape = [n, o, outHeight, outWidth];
  if (x.parts || isOversized(x, shape)) {
    const run = (xs: Tensor, ws: Tensor, g: number) => conv2d(xs, ws, { ...geometry, groups: g });
    const modulated = styles ? binary(x, styles.view([n, c, 1, 1]), 'x * y') : x;
    const y = convolveInSlices(modulated, w, shape, groups, { inputAxis: 1, outputAxis: 0, run });
    return epilogue ? finish(y, epilogue) : y;
  }
  const half = isHalf('conv2d', x, w);
  const sizes = {
    n,
    c,
    height,
    width,
    o,
    outHeight,
    outWidth,
    kh,
    kw,
    ...geometry,
    half,
    fused: epilogue !== undefined,
  };
  return correlate({ x, w, sizes, steps: plainSteps(sizes), epilogue, styles }, device.choices.of(CONV2D, sizes));
}

/** An epilogue in passes of its own, for a result in parts. */
function finish(y: Tensor, { bias, slope, gain, scale, noise }: Epilogue): Tensor {
  const [n, o] = y.shape;
  let v = y;
  if (scale) v = binary(v, scale.view([n, o, 1, 1]), 'x * y');
  if (noise) v = binary(v, binary(noise.map, noise.strength, 'x * y'), 'x + y');
  v = binary(v, bias.view([1, o, 1, 1]), 'x + y');
  return unary(v, 'b * select(a * x, x, x > ELEMENT(0.0))', slope, gain);
}

/** y [N, O, *outputSize] from x [N, C, H, W] and w [C, O / groups, KH, KW]: the adjoint of conv2d in its input. */
export function convTranspose2d(
  x: Tensor,
  w: Tensor,
  geometry: ConvGeometry,
  outputSize: readonly [number, number],
): Tensor {
  const { stride, padding, groups } = geometry;
  const [n, c, height, width] = x.shape;
  const [wc, groupOutputs, kh, kw] = w.shape;
  if (x.rank !== 4 || w.rank !== 4 || wc !== c || c % groups !== 0) {
    throw new Error(`convTranspose2d: ${x} and weight ${w} do not fit with ${groups} groups`);
  }
  const [outHeight, outWidth] = outputSize;
  const o = groupOutputs * groups;
  const { device } = x;
  const shape: Shape = [n, o, outHeight, outWidth];
  if (x.parts || isOversized(x, shape)) {
    const run = (xs: Tensor, ws: Tensor, g: number) => convTranspose2d(xs, ws, { ...geometry, groups: g }, outputSize);
    return convolveInSlices(x, w, shape, groups, { inputAxis: 0, outputAxis: 1, run });
  }
  const half = isHalf('convTranspose2d', x, w);
  if (stride[0] === 1 && stride[1] === 1) {
    // The plain convolution with input and output channels exchanged and the taps turned round.
    const taps = kh * kw;
    const [group, channel] = [(c / groups) * groupOutputs * taps, groupOutputs * taps];
    const full = [kh - 1 - padding[0], kw - 1 - padding[1]] as const;
    const sizes = { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding: full, groups, half };
    const steps = { group, output: taps, channel, start: taps - 1, tap: -1 };
    return correlate({ x, w, sizes, steps }, device.choices.of(CONV2D, sizes));
  }
  const sizes = { n, c, height, width, o, outHeight, outWidth, kh, kw, ...geometry, half };
  return correlateTransposed(x, w, sizes, device.choices.of(CONV_TRANSPOSE2D, sizes));
}

/** u [O, C / groups, KH, KW]: the gradient of conv2d(x, w) in w, `v` being the gradient of its output. */
export function conv2dWeightGradient(
  x: Tensor,
  v: Tensor,
  geometry: ConvGeometry,
  kernelSize: readonly [number, number],
): Tensor {
  const { groups } = geometry;
  const [n, c, height, width] = x.shape;
  const [, o, outHeight, outWidth] = v.shape;
  const [kh, kw] = kernelSize;
  const { device } = x;
  const shape: Shape = [o, c / groups, kh, kw];
  if (x.parts || v.parts) {
    const run = (xs: Tensor, vs: Tensor, g: number) =>
      conv2dWeightGradient(xs, vs, { ...geometry, groups: g }, kernelSize);
    return weightGradientInSlices(x, v, shape, groups, run);
  }
  const half = isHalf('conv2dWeightGradient', x, v);
  const sizes = { n, c, height, width, o, outHeight, outWidth, kh, kw, ...geometry, half };
  return correlateWeight(x, v, sizes, device.choices.of(WEIGHT_GRADIENT, sizes)).view(shape);
}
