import transposeSource from '../../../shaders/conv_transpose2d.wgsl';
import convSource from '../../../shaders/conv2d.wgsl';
import weightSource from '../../../shaders/conv2d_weight_gradient.wgsl';
import weight3x3Source from '../../../shaders/conv2d_weight_gradient_3x3.wgsl';
import { grid } from '../device.ts';
import { isOversized } from '../parts.ts';
import { type Shape, sizeOf } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { convolveInSlices, weightGradientInSlices } from './convSlices.ts';
import { reduce } from './reduce.ts';

const CONV = { name: 'conv2d', source: convSource };
const TRANSPOSE = { name: 'conv_transpose2d', source: transposeSource };
const WEIGHT = { name: 'conv2d_weight_gradient', source: weightSource };
const WEIGHT_3X3 = { name: 'conv2d_weight_gradient_3x3', source: weight3x3Source };
/** Kernels up to this width are unrolled. */
const MOST_TAPS = 7;
/** Lanes of a workgroup: the vectors of the CPU drivers. */
const WORKGROUP = 8;
const CHANNELS = 8;
const TAPS = 4;

/** Geometry of a convolution: [vertical, horizontal] strides and zero padding, and the number of groups. */
export interface ConvGeometry {
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly groups: number;
}

/** y [N, O, OH, OW] = x [N, C, H, W] correlated with w [O, C / groups, KH, KW]. */
export function conv2d(x: Tensor, w: Tensor, geometry: ConvGeometry): Tensor {
  const { stride, padding, groups } = geometry;
  const [n, c, height, width] = x.shape;
  const [o, groupChannels, kh, kw] = w.shape;
  if (x.rank !== 4 || w.rank !== 4 || groupChannels * groups !== c || o % groups !== 0) {
    throw new Error(`conv2d: ${x} and weight ${w} do not fit with ${groups} groups`);
  }
  const outHeight = Math.floor((height + 2 * padding[0] - kh) / stride[0]) + 1;
  const outWidth = Math.floor((width + 2 * padding[1] - kw) / stride[1]) + 1;
  if (outHeight < 1 || outWidth < 1) throw new Error(`conv2d: ${x} is smaller than the kernel ${kh}×${kw}`);
  const shape: Shape = [n, o, outHeight, outWidth];
  if (x.parts || isOversized(x, shape)) {
    const run = (xs: Tensor, ws: Tensor, g: number) => conv2d(xs, ws, { ...geometry, groups: g });
    return convolveInSlices(x, w, shape, groups, { inputAxis: 1, outputAxis: 0, run });
  }
  const taps = kh * kw;
  const group = (o / groups) * groupChannels * taps;
  return correlate(x, w, shape, geometry, { group, output: groupChannels * taps, channel: taps, start: 0, tap: 1 });
}

/** How conv2d.wgsl walks through a weight: the steps to the next group, output channel, input channel and tap. */
interface WeightSteps {
  readonly group: number;
  readonly output: number;
  readonly channel: number;
  /** Where the first tap is. */
  readonly start: number;
  readonly tap: number;
}

function correlate(
  x: Tensor,
  w: Tensor,
  shape: Shape,
  { stride, padding, groups }: ConvGeometry,
  { group, output, channel, start, tap }: WeightSteps,
): Tensor {
  const [, c, height, width] = x.shape;
  const [n, o, outHeight, outWidth] = shape;
  const [, , kh, kw] = w.shape;
  const { device } = x;
  const y = device.empty(shape);
  // Wide kernels take their taps one by one.
  const taps = kw <= MOST_TAPS ? kw : 1;
  const vectorInput = width % 4 === 0 && taps === kw;
  const vectors = outWidth > 4 ? 2 : 1;
  const rows = Math.min(4 / vectors, outHeight);
  const outputs = taps === 1 ? 8 : 4;
  const kernel = device.kernel(CONV, {
    constants: { WORKGROUP },
    tile: {
      OUTPUTS: outputs,
      ROWS: rows,
      VECTORS: vectors,
      STRIDE: stride[1],
      TAPS: taps,
      VECTOR_INPUT: Number(vectorInput),
      VECTOR_OUTPUT: Number(outWidth % 4 === 0),
      SHIFT: vectorInput ? modulo(-padding[1], 4) : 0,
    },
  });
  const patches = n * Math.ceil(outHeight / rows) * Math.ceil(outWidth / (4 * vectors));
  const [gridX, gridY] = grid(patches, WORKGROUP);
  const sizes = [patches, c, height, width, o, outHeight, outWidth, groups, kh, kw, stride[0], ...padding];
  const words = [...sizes, group, output, channel, start, tap];
  device.dispatch(kernel, [x, w, y], words, [gridX, channelBlocks(o, groups, outputs), gridY]);
  return y;
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
  if (stride[0] === 1 && stride[1] === 1) {
    // The plain convolution with input and output channels exchanged and the taps turned round.
    const full = [kh - 1 - padding[0], kw - 1 - padding[1]] as const;
    const taps = kh * kw;
    const steps = { group: (c / groups) * groupOutputs * taps, output: taps, channel: groupOutputs * taps };
    return correlate(x, w, shape, { stride, padding: full, groups }, { ...steps, start: taps - 1, tap: -1 });
  }
  const y = device.empty(shape);
  const vectorInput = width % 4 === 0;
  const first = Math.ceil((padding[1] - kw + 1) / stride[1]);
  const vectors = outWidth > 4 * stride[1] ? Math.ceil(4 / stride[1] ** 2) : 1;
  const rows = vectors === 1 && stride[1] < 4 ? 2 : 1;
  const kernel = device.kernel(TRANSPOSE, {
    constants: { WORKGROUP },
    tile: {
      ROWS: rows,
      VECTORS: vectors,
      STRIDE: stride[1],
      TAPS: kw,
      PAD: padding[1],
      FIRST: first,
      LAST: Math.floor((stride[1] - 1 + padding[1]) / stride[1]) + 1,
      VECTOR_INPUT: Number(vectorInput),
      VECTOR_OUTPUT: Number(outWidth % 4 === 0),
      SHIFT: vectorInput ? modulo(first, 4) : 0,
    },
  });
  const across = Math.ceil(outWidth / (4 * vectors * stride[1]));
  const patches = n * Math.ceil(Math.ceil(outHeight / stride[0]) / rows) * across;
  const words = [patches, c, height, width, o, outHeight, outWidth, groups, kh, stride[0], padding[0]];
  const [gridX, gridY] = grid(patches, WORKGROUP);
  device.dispatch(kernel, [x, w, y], words, [gridX, channelBlocks(o, groups, 4), stride[0] * gridY]);
  return y;
}

/** u [O, C / groups, KH, KW]: the gradient of conv2d(x, w) in w, `v` being the gradient of its output. */
export function conv2dWeightGradient(
  x: Tensor,
  v: Tensor,
  geometry: ConvGeometry,
  kernelSize: readonly [number, number],
): Tensor {
  const { stride, padding, groups } = geometry;
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
  const is3x3 = kh === 3 && kw === 3 && stride[0] === stride[1] && stride[0] <= 2 && c / groups > 4;
  // Lanes are input channels, or quads of taps; as few idle ones as whole vectors of 8 allow.
  const lanes = is3x3 ? c / groups : Math.ceil(((c / groups) * kh * kw) / TAPS);
  const groupsX = Math.ceil(lanes / (is3x3 ? 16 : 64));
  const workgroup = Math.ceil(lanes / groupsX / 8) * 8;
  const blocks = channelBlocks(o, groups);
  const rows = n * outHeight;
  // Enough workgroups to fill the device: the sum over pixels is the only axis left to cut.
  const most = Math.min(64 / (groupsX * blocks), device.bindingLimit / 4 / sizeOf(shape));
  const splits = Math.max(1, Math.min(rows, Math.floor(most)));
  const rowsPerSplit = Math.ceil(rows / splits);
  const output = device.empty(splits > 1 ? [splits, ...shape] : shape);
  const sizes = [n, c, height, width, o, outHeight, outWidth, groups];
  if (is3x3) {
    const kernel = device.kernel(WEIGHT_3X3, { constants: { WORKGROUP: workgroup, STRIDE: stride[0] } });
    device.dispatch(kernel, [x, v, output], [...sizes, ...padding, rowsPerSplit], [groupsX, blocks, splits]);
  } else {
    const kernel = device.kernel(WEIGHT, { constants: { WORKGROUP: workgroup } });
    const words = [...sizes, kh, kw, ...stride, ...padding, rowsPerSplit];
    device.dispatch(kernel, [x, v, output], words, [groupsX, blocks, splits]);
  }
  return splits > 1 ? reduce(output, [0]).view(shape) : output;
}

/** Blocks of output channels, which do not cross groups. */
function channelBlocks(channels: number, groups: number, block = CHANNELS): number {
  return groups * Math.ceil(channels / groups / block);
}

/** The remainder from 0 on, also of a negative number. */
function modulo(a: number, b: number): number {
  return ((a % b) + b) % b;
}
