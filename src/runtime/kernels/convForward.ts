import epilogueSource from '../../../shaders/conv_epilogue.wgsl';
import storeSource from '../../../shaders/conv_store.wgsl';
import convSource from '../../../shaders/conv2d.wgsl';
import smallMapsSource from '../../../shaders/conv2d_small_maps.wgsl';
import subgroupSource from '../../../shaders/conv2d_subgroup.wgsl';
import gemmInputSource from '../../../shaders/gemm_conv_input.wgsl';
import gemmSource from '../../../shaders/gemm_conv2d.wgsl';
import { floatBits, type Shader } from '../device.ts';
import { gemmShaders, gemmVariants, tileSize } from '../gemm.ts';
import { conv2dReference } from '../reference.ts';
import type { Tile } from '../template.ts';
import type { Tensor } from '../tensor.ts';
import { type Family, loadingLanes, type Variant } from '../variants.ts';
import {
  type ConvSizes,
  cutSums,
  flopOf,
  inOrder,
  inputShape,
  modulo,
  patchGrid,
  shapeClass,
  subgroupTiles,
  typeOf,
} from './convSizes.ts';
import { withType } from './matmul.ts';
import { reduce } from './reduce.ts';

const DIRECT = { name: 'conv2d', source: convSource + storeSource + epilogueSource };
const SUBGROUP = { name: 'conv2d_subgroup', source: subgroupSource + storeSource + epilogueSource };
const SMALL_MAPS = { name: 'conv2d_small_maps', source: smallMapsSource + epilogueSource };
const GEMM = gemmShaders('conv2d', gemmSource + gemmInputSource + epilogueSource);

/** Kernels up to this width are unrolled. */
const MOST_TAPS = 7;

/** How conv2d walks through a weight: the steps to the next group, output channel, input channel and tap. */
export interface WeightSteps {
  readonly group: number;
  readonly output: number;
  readonly channel: number;
  /** Where the first tap is. */
  readonly start: number;
  readonly tap: number;
}

/**
 * gain · lrelu(sum · scale + strength · noise + bias), lrelu(v) = v where v > 0, else slope · v: what follows a
 * convolution.
 */
export interface Epilogue {
  /** [O] */
  readonly bias: Tensor;
  readonly slope: number;
  readonly gain: number;
  /** [N, O] */
  readonly scale?: Tensor;
  /** A map [1 or N, 1, OH, OW], and a number [1]. */
  readonly noise?: { readonly map: Tensor; readonly strength: Tensor };
}

/** A convolution of x with w, and what follows it. */
export interface Correlation {
  readonly x: Tensor;
  readonly w: Tensor;
  readonly sizes: ConvSizes;
  readonly steps: WeightSteps;
  readonly epilogue?: Epilogue;
  /** What each map of x is multiplied by first (modulation), [N, C]. */
  readonly styles?: Tensor;
}

/** The steps through a weight [o, c / groups, kh, kw] as it lies in memory. */
export function plainSteps({ c, o, kh, kw, groups }: ConvSizes): WeightSteps {
  const taps = kh * kw;
  const inputs = c / groups;
  return { group: (o / groups) * inputs * taps, output: inputs * taps, channel: taps, start: 0, tap: 1 };
}

/** What follows a fused convolution when it is measured or checked. */
const MEASURED_EPILOGUE = { slope: 0.25, gain: 2 };

/**
 * direct: patches of pixels in registers, read straight from storage. subgroup: the same, its pixels loaded by a
 * subgroup together. small: whole maps of a few pixels in registers. gemm and matrix: tiles in workgroup memory.
 */
export const CONV2D: Family<ConvSizes> = {
  name: 'conv2d',
  shaders: [DIRECT, SUBGROUP, SMALL_MAPS, ...Object.values(GEMM)],
  shapeClass,
  operands: ({ o, c, kh, kw, groups, fused, ...sizes }) => [
    inputShape({ c, ...sizes }),
    [o, c / groups, kh, kw],
    ...(fused ? [[o]] : []),
  ],
  dtype: typeOf,
  run([x, w, bias], sizes, variant) {
    const epilogue = bias && { ...MEASURED_EPILOGUE, bias };
    return correlate({ x, w, sizes, steps: plainSteps(sizes), epilogue }, variant);
  },
  reference: conv2dReference,
  flop: flopOf,
  variants(sizes, device) {
    const { n, c, o, outHeight, outWidth, kh, kw, groups, stride } = sizes;
    const outputs = kw === 1 || kw > MOST_TAPS ? 8 : 4;
    // Long lines share most of their loads where taps overlap: 1.15 to 1.45 times as fast as squares on both CPU
    // drivers.
    const inLines = stride[1] === 1 && kw > 1 && kw <= MOST_TAPS && outWidth >= 16;
    const [line, square] = [
      { OUTPUTS: outputs, ROWS: 1, VECTORS: 4, WORKGROUP: 8 },
      { OUTPUTS: outputs, ROWS: 2, VECTORS: 2, WORKGROUP: 8 },
    ];
    const direct = [
      ...(inLines ? [line, square] : [square, line]),
      { OUTPUTS: outputs, ROWS: 4, VECTORS: 1, WORKGROUP: 8 },
      { OUTPUTS: outputs, ROWS: 1, VECTORS: 2, WORKGROUP: 8 },
      { OUTPUTS: outputs, ROWS: 1, VECTORS: 1, WORKGROUP: 8 },
      { OUTPUTS: 4, ROWS: 2, VECTORS: 1, WORKGROUP: 64 },
    ].filter(({ ROWS, VECTORS }) => ROWS <= outHeight && 4 * VECTORS < outWidth + 4);
    const gemm = gemmVariants(
      {
        count: groups,
        rows: o / groups,
        columns: n * outHeight * outWidth,
        inner: (c / groups) * kh * kw,
        half: sizes.half,
        mostSplits: sizes.fused ? 1 : device.bindingLimit / 4 / (n * o * outHeight * outWidth),
      },
      device,
    );
    const small = smallMaps(sizes).map(tile => ({ kernel: 'small', tile }));
    const patches = [
      ...subgroupTiles(sizes, outHeight, outWidth, loadingLanes(device)).map(tile => ({ kernel: 'subgroup', tile })),
      ...direct.map(tile => ({ kernel: 'direct', tile })),
    ];
    const isTiny = sizes.height * sizes.width <= 9;
    return inOrder(isTiny ? [...small, ...patches] : [...patches, ...small], gemm, device);
  },
};

/** Tiles of conv2d_small_maps.wgsl: as many samples as keep a lane's pixels in registers. */
function smallMaps({ n, height, width, outHeight, outWidth, kh, kw }: ConvSizes): Tile[] {
  const pixels = Math.max(height * width, outHeight * outWidth);
  if (pixels > 16 || kh * kw > 25) return [];
  return [{ SAMPLES: Math.min(n, Math.floor(32 / pixels)), WORKGROUP: 8 }];
}

/** y [N, O, OH, OW] */
export function correlate(correlation: Correlation, variant: Variant): Tensor {
  const { kernel, tile } = variant;
  if (kernel === 'direct' || kernel === 'subgroup') return correlatePatches(correlation, variant);
  if (kernel === 'small') return correlateSmallMaps(correlation, tile);
  return correlateGemm(correlation, tile, kernel === 'matrix' ? GEMM.matrix : GEMM.gemm);
}

/** What stands before and behind a convolution: numbers of the templates, tensors to bind, words of the parameters. */
function fusionOf({ epilogue, styles, sizes }: Correlation): {
  numbers: Tile;
  tensors: readonly Tensor[];
  words: number[];
} {
  const { bias, slope = 0, gain = 0, scale, noise } = epilogue ?? {};
  const flags = { EPILOGUE: bias, SCALED: scale, NOISY: noise, STYLED: styles };
  const optional = [bias, scale, noise?.map, noise?.strength, styles];
  const noiseStride = noise && noise.map.shape[0] > 1 ? sizes.outHeight * sizes.outWidth : 0;
  return {
    numbers: Object.fromEntries(Object.entries(flags).map(([name, tensor]) => [name, Number(tensor !== undefined)])),
    tensors: optional.filter(tensor => tensor !== undefined),
    words: [floatBits(slope), floatBits(gain), noiseStride],
  };
}

function correlatePatches(correlation: Correlation, { kernel: name, tile }: Variant): Tensor {
  const { x, w, sizes, steps } = correlation;
  const { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups, half } = sizes;
  const { device } = x;
  const y = device.empty([n, o, outHeight, outWidth], half ? 'f16' : 'f32');
  const fusion = fusionOf(correlation);
  const isDirect = name === 'direct';
  // Wide kernels take their taps one by one.
  const taps = kw <= MOST_TAPS ? kw : 1;
  const vectorInput = width % 4 === 0 && taps === kw;
  const inVectors = { VECTOR_INPUT: Number(vectorInput), SHIFT: vectorInput ? modulo(-padding[1], 4) : 0 };
  const kernel = device.kernel(isDirect ? DIRECT : SUBGROUP, {
    tile: {
      ...tile,
      ...(isDirect ? inVectors : {}),
      STRIDE: stride[1],
      TAPS: taps,
      VECTOR_OUTPUT: Number(outWidth % 4 === 0),
      HALF: Number(half),
      HALF_RESULT: Number(half),
      ...fusion.numbers,
    },
  });
  const patches = n * Math.ceil(outHeight / tile.ROWS) * Math.ceil(outWidth / (4 * tile.VECTORS));
  const words = [patches, c, height, width, o, outHeight, outWidth, groups, kh, kw, stride[0], ...padding];
  words.push(steps.group, steps.output, steps.channel, steps.start, steps.tap, ...fusion.words);
  device.dispatch(kernel, [x, w, y, ...fusion.tensors], words, patchGrid(sizes, patches, tile), flopOf(sizes));
  return y;
}

function correlateSmallMaps(correlation: Correlation, tile: Tile): Tensor {
  const { x, w, sizes, steps } = correlation;
  const { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups, half } = sizes;
  const { device } = x;
  const y = device.empty([n, o, outHeight, outWidth], half ? 'f16' : 'f32');
  const fusion = fusionOf(correlation);
  const maps = { H: height, W: width, OH: outHeight, OW: outWidth, KH: kh, KW: kw };
  const geometry = { STRIDE_Y: stride[0], STRIDE_X: stride[1], PAD_Y: padding[0], PAD_X: padding[1] };
  const numbers = { HALF: Number(half), HALF_RESULT: Number(half), ...fusion.numbers };
  const kernel = device.kernel(SMALL_MAPS, { tile: { ...tile, ...maps, ...geometry, ...numbers } });
  const words = [n, c, o, groups, steps.group, steps.output, steps.channel, steps.start, steps.tap, ...fusion.words];
  const groupsOf = [Math.ceil(o / groups / tile.WORKGROUP), Math.ceil(n / tile.SAMPLES), groups];
  device.dispatch(kernel, [x, w, y, ...fusion.tensors], words, groupsOf, flopOf(sizes));
  return y;
}

function correlateGemm(correlation: Correlation, { SPLITS, ...tile }: Tile, shader: Shader): Tensor {
  const { x, w, sizes, steps } = correlation;
  const { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups, half } = sizes;
  const { device } = x;
  const [length, splits] = cutSums((c / groups) * kh * kw, SPLITS);
  const shape = [n, o, outHeight, outWidth];
  const resultType = half && splits === 1 ? 'f16' : 'f32';
  const y = device.empty(splits > 1 ? [splits, ...shape] : shape, resultType);
  const geometry = { KH: kh, KW: kw, STRIDE_Y: stride[0], STRIDE_X: stride[1] };
  const fusion = fusionOf(correlation);
  const numbers = { HALF: Number(half), HALF_RESULT: Number(resultType === 'f16'), ...fusion.numbers };
  const kernel = device.kernel(shader, {
    tile: { ...tile, ...geometry, ...numbers, VECTOR_OUTPUT: Number(outWidth % 4 === 0) },
  });
  const words = [n, c, height, width, o, outHeight, outWidth, groups, ...padding];
  words.push(steps.group, steps.output, steps.channel, steps.start, steps.tap, ...fusion.words, splits, length);
  const [tileRows, tileColumns] = tileSize(tile);
  const columns = Math.ceil((n * outHeight * outWidth) / tileColumns);
  const grid = [columns, Math.ceil(o / groups / tileRows), groups * splits];
  device.dispatch(kernel, [x, w, y, ...fusion.tensors], words, grid, flopOf(sizes));
  return splits > 1 ? withType(reduce(y, [0]), half).view(shape) : y;
}
