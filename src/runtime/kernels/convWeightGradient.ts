import source from '../../../shaders/conv2d_weight_gradient.wgsl';
import tapsSource from '../../../shaders/conv2d_weight_gradient_taps.wgsl';
import gemmInputSource from '../../../shaders/gemm_conv_input.wgsl';
import gemmSource from '../../../shaders/gemm_conv2d_weight_gradient.wgsl';
import { gemmShaders, gemmVariants, tileSize } from '../gemm.ts';
import { weightGradientReference } from '../reference.ts';
import { sizeOf } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { type Family, loadingLanes, type Variant } from '../variants.ts';
import {
  type ConvSizes,
  channelBlocks,
  cutSums,
  flopOf,
  inOrder,
  inputShape,
  modulo,
  shapeClass,
  typeOf,
} from './convSizes.ts';
import { reduce } from './reduce.ts';

const DIRECT = { name: 'conv2d_weight_gradient', source };
const TAPS = { name: 'conv2d_weight_gradient_taps', source: tapsSource };
const GEMM = gemmShaders('conv2d_weight_gradient', gemmSource + gemmInputSource);

/** Output and input channels whose taps a lane holds in registers. */
const REGISTER_TAPS = [
  [8, 4],
  [8, 2],
  [8, 1],
  [4, 1],
  [2, 1],
  [1, 1],
] as const;

/**
 * direct: a lane has all taps of some input and output channels in registers. taps: a lane is four neighbouring taps,
 * for large kernels and few channels, of f32. gemm: tiles in workgroup memory. All cut the sum over pixels into SPLITS.
 */
export const WEIGHT_GRADIENT: Family<ConvSizes> = {
  name: 'conv2d_weight_gradient',
  shaders: [DIRECT, TAPS, ...Object.values(GEMM)],
  shapeClass,
  operands: ({ n, o, outHeight, outWidth, ...sizes }) => [inputShape({ n, ...sizes }), [n, o, outHeight, outWidth]],
  dtype: typeOf,
  run: ([x, v], sizes, variant) => correlateWeight(x, v, sizes, variant),
  reference: weightGradientReference,
  flop: flopOf,
  variants(sizes, device) {
    const { n, c, o, outHeight, outWidth, kh, kw, groups } = sizes;
    const most = device.bindingLimit / 4 / (o * (c / groups) * kh * kw);
    const splits = (workgroups: number) =>
      Math.max(1, Math.min(n * outHeight, Math.floor(most), Math.floor((device.isCpu ? 64 : 512) / workgroups)));
    const lines = (lanes: number, block: number, widest: number, unit = 8) => {
      // As few idle lanes as whole subgroups, or vectors of 8, allow.
      const groupsX = Math.ceil(lanes / widest);
      const WORKGROUP = Math.ceil(lanes / groupsX / unit) * unit;
      return { WORKGROUP, SPLITS: splits(groupsX * channelBlocks(sizes, block)) };
    };
    // Pixel by pixel where no subgroup loads them together: up to 32 pixels a line that is 1.2 times as fast on
    // lavapipe, but for 1×1.
    const pixels = (subgroup: number) => (outWidth > (subgroup > 0 ? 3 : kh * kw > 1 ? 32 : 8) ? [4, 1] : [1, 4]);
    const registers = REGISTER_TAPS.filter(([outputs, inputs]) => outputs * inputs * kh * kw <= 72).slice(0, 2);
    const channels = [...new Set([loadingLanes(device), 0])].flatMap(SUBGROUP =>
      registers.flatMap(([OUTPUTS, CHANNELS]) =>
        pixels(SUBGROUP).map(PIXELS => ({
          kernel: 'direct',
          tile: {
            OUTPUTS,
            CHANNELS,
            PIXELS,
            SUBGROUP,
            ...lines(Math.ceil(c / groups / CHANNELS), OUTPUTS, 16, SUBGROUP || 8),
          },
        })),
      ),
    );
    const taps = { kernel: 'taps', tile: lines(Math.ceil(((c / groups) * kh * kw) / 4), 8, 64) };
    const gemm = gemmVariants(
      {
        count: groups,
        rows: o / groups,
        columns: (c / groups) * kh * kw,
        inner: n * outHeight * outWidth,
        half: sizes.half,
        mostSplits: most,
      },
      device,
    );
    const unrolled = kh * kw > 49 ? [] : channels;
    const direct = sizes.half ? unrolled : c / groups > 4 ? [...unrolled, taps] : [taps, ...unrolled];
    return inOrder(direct, gemm, device);
  },
};

/** u [O, C / groups, KH, KW], or with a first axis of length 1 */
export function correlateWeight(x: Tensor, v: Tensor, sizes: ConvSizes, variant: Variant): Tensor {
  const { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups, half } = sizes;
  const { device } = x;
  const { SPLITS, ...tile } = variant.tile;
  const shape = [o, c / groups, kh, kw];
  const words = [n, c, height, width, o, outHeight, outWidth, groups];
  const flop = flopOf(sizes);
  if (variant.kernel === 'gemm' || variant.kernel === 'matrix') {
    const [length, splits] = cutSums(n * outHeight * outWidth, SPLITS);
    const u = device.empty([splits, ...shape]);
    const geometry = { KH: kh, KW: kw, STRIDE_Y: stride[0], STRIDE_X: stride[1] };
    const kernel = device.kernel(variant.kernel === 'matrix' ? GEMM.matrix : GEMM.gemm, {
      tile: { ...tile, ...geometry, VECTOR_OUTPUT: Number(outWidth % 4 === 0), HALF: Number(half) },
    });
    const [tileRows, tileColumns] = tileSize(tile);
    const columns = Math.ceil(sizeOf(shape.slice(1)) / tileColumns);
    const grid = [columns, Math.ceil(o / groups / tileRows), groups * splits];
    device.dispatch(kernel, [x, v, u], [...words, ...padding, splits, length], grid, flop);
    return splits > 1 ? reduce(u, [0]) : u;
  }
  const rows = n * outHeight;
  const rowsPerSplit = Math.ceil(rows / Math.min(SPLITS, rows));
  const splits = Math.ceil(rows / rowsPerSplit);
  const u = device.empty([splits, ...shape]);
  if (variant.kernel === 'direct') {
    const inVectors = tile.PIXELS === 4 && width % 4 === 0;
    const vectors = {
      VECTOR_INPUT: Number(inVectors),
      VECTOR_OUTPUT: Number(tile.SUBGROUP === 0 && tile.PIXELS === 4 && outWidth % 4 === 0),
      SHIFT: inVectors ? modulo(-padding[1], 4) : 0,
      HALF: Number(half),
    };
    const kernel = device.kernel(DIRECT, { tile: { ...tile, KH: kh, KW: kw, STRIDE: stride[1], ...vectors } });
    const grid = [Math.ceil(c / groups / tile.CHANNELS / tile.WORKGROUP), channelBlocks(sizes, tile.OUTPUTS), splits];
    device.dispatch(kernel, [x, v, u], [...words, stride[0], ...padding, rowsPerSplit], grid, flop);
  } else {
    const kernel = device.kernel(TAPS, { tile });
    const lanes = Math.ceil(sizeOf(shape.slice(1)) / 4);
    const grid = [Math.ceil(lanes / tile.WORKGROUP), channelBlocks(sizes, 8), splits];
    device.dispatch(kernel, [x, v, u], [...words, kh, kw, ...stride, ...padding, rowsPerSplit], grid, flop);
  }
  return splits > 1 ? reduce(u, [0]) : u;
}
