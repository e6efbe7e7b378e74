import epilogueSource from '../../../shaders/conv_epilogue.wgsl';
import transposeSource from '../../../shaders/conv_transpose2d.wgsl';
import convSource from '../../../shaders/conv2d.wgsl';
import smallMapsSource from '../../../shaders/conv2d_small_maps.wgsl';
import weightSource from '../../../shaders/conv2d_weight_gradient.wgsl';
import weightTapsSource from '../../../shaders/conv2d_weight_gradient_taps.wgsl';
import gemmConvSource from '../../../shaders/gemm_conv2d.wgsl';
import gemmWeightSource from '../../../shaders/gemm_conv2d_weight_gradient.wgsl';
import { type Device, floatBits, grid, type Shader } from '../device.ts';
import { gemmShaders, gemmVariants, tileSize } from '../gemm.ts';
import { conv2dReference, convTranspose2dReference, weightGradientReference } from '../reference.ts';
import { type Shape, sizeOf } from '../shape.ts';
import type { Tile } from '../template.ts';
import type { Tensor } from '../tensor.ts';
import { type Family, rounded, type Variant } from '../variants.ts';
import type { ConvGeometry } from './conv.ts';
import { withType } from './matmul.ts';
import { reduce } from './reduce.ts';

const CONV = { name: 'conv2d', source: convSource + epilogueSource };
const SMALL_MAPS = { name: 'conv2d_small_maps', source: smallMapsSource + epilogueSource };
const CONV_GEMM = gemmShaders('conv2d', gemmConvSource + epilogueSource);
const TRANSPOSE = { name: 'conv_transpose2d', source: transposeSource };
const WEIGHT = { name: 'conv2d_weight_gradient', source: weightSource };
const WEIGHT_TAPS = { name: 'conv2d_weight_gradient_taps', source: weightTapsSource };
const WEIGHT_GEMM = gemmShaders('conv2d_weight_gradient', gemmWeightSource);

/** Kernels up to this width are unrolled. */
const MOST_TAPS = 7;

/** Sizes of a convolution: c channels of height × width in, o of outHeight × outWidth out. */
export interface ConvSizes extends ConvGeometry {
  readonly n: number;
  readonly c: number;
  readonly height: number;
  readonly width: number;
  readonly o: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly kh: number;
  readonly kw: number;
  /** Whether the operands are f16; sums are f32. */
  readonly half: boolean;
  /** Whether an epilogue follows, which needs whole sums. */
  readonly fused?: boolean;
}

/** How conv2d walks through a weight: the steps to the next group, output channel, input channel and tap. */
export interface WeightSteps {
  readonly group: number;
  readonly output: number;
  readonly channel: number;
  /** Where the first tap is. */
  readonly start: number;
  readonly tap: number;
}

/** gain · lrelu(sum · scale + strength · noise + bias), lrelu(v) = v where v > 0, else slope · v: what follows a convolution. */
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

function shapeClass(sizes: ConvSizes): string {
  const { n, c, width, o, outHeight, outWidth, kh, kw, stride, padding, groups, half, fused } = sizes;
  const kernel = `k${kh}x${kw} s${stride.join('x')} p${padding.join('x')}`;
  const channels = `${rounded(c / groups)}-${rounded(o / groups)}${groups > 1 ? ` g${rounded(groups)}` : ''}`;
  const maps = `${rounded(n)}x${rounded(outHeight)}x${rounded(outWidth)}`;
  const vectors = [width, outWidth].map(size => (size % 4 === 0 ? 'v' : 's')).join('');
  return `${kernel} ${channels} ${maps} ${vectors}${half ? ' f16' : ''}${fused ? ' fused' : ''}`;
}

function flopOf({ n, c, o, outHeight, outWidth, kh, kw, groups }: ConvSizes): number {
  return 2 * n * o * (c / groups) * kh * kw * outHeight * outWidth;
}

function typeOf({ half }: ConvSizes): 'f16' | 'f32' {
  return half ? 'f16' : 'f32';
}

function inputShape({ n, c, height, width }: Pick<ConvSizes, 'n' | 'c' | 'height' | 'width'>): Shape {
  return [n, c, height, width];
}

/** The steps through a weight [o, c / groups, kh, kw] as it lies in memory. */
export function plainSteps({ c, o, kh, kw, groups }: ConvSizes): WeightSteps {
  const taps = kh * kw;
  const inputs = c / groups;
  return { group: (o / groups) * inputs * taps, output: inputs * taps, channel: taps, start: 0, tap: 1 };
}

/** Blocks of output channels, which do not cross groups. */
function channelBlocks({ o, groups }: ConvSizes, block: number): number {
  return groups * Math.ceil(o / groups / block);
}

function inOrder(direct: Variant[], gemm: Variant[], { adapter }: Device): Variant[] {
  return adapter.kind === 'gpu' ? [...gemm, ...direct] : [...direct, ...gemm];
}

// conv2d, also the input gradient at stride 1

/** What follows a fused convolution when it is measured or checked. */
const MEASURED_EPILOGUE = { slope: 0.25, gain: 2 };

/**
 * direct: patches of pixels in registers, read straight from storage. small: whole maps of a few pixels in registers.
 * gemm and matrix: tiles in workgroup memory.
 */
export const CONV2D: Family<ConvSizes> = {
  name: 'conv2d',
  shaders: [CONV, SMALL_MAPS, ...Object.values(CONV_GEMM)],
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
    const { n, c, o, outHeight, outWidth, kh, kw, groups } = sizes;
    const outputs = kw === 1 || kw > MOST_TAPS ? 8 : 4;
    const direct = [
      { OUTPUTS: outputs, ROWS: 2, VECTORS: 2, WORKGROUP: 8 },
      { OUTPUTS: outputs, ROWS: 4, VECTORS: 1, WORKGROUP: 8 },
      { OUTPUTS: outputs, ROWS: 1, VECTORS: 4, WORKGROUP: 8 },
      { OUTPUTS: outputs, ROWS: 1, VECTORS: 2, WORKGROUP: 8 },
      { OUTPUTS: outputs, ROWS: 1, VECTORS: 1, WORKGROUP: 8 },
      { OUTPUTS: 2, ROWS: 2, VECTORS: 2, WORKGROUP: 8 },
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
    const patches = direct.map(tile => ({ kernel: 'direct', tile }));
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
export function correlate(correlation: Correlation, { kernel, tile }: Variant): Tensor {
  if (kernel === 'direct') return correlateDirect(correlation, tile);
  if (kernel === 'small') return correlateSmallMaps(correlation, tile);
  return correlateGemm(correlation, tile, kernel === 'matrix' ? CONV_GEMM.matrix : CONV_GEMM.gemm);
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

function correlateDirect(correlation: Correlation, tile: Tile): Tensor {
  const { x, w, sizes, steps } = correlation;
  const { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups, half } = sizes;
  const { device } = x;
  const y = device.empty([n, o, outHeight, outWidth], half ? 'f16' : 'f32');
  const fusion = fusionOf(correlation);
  // Wide kernels take their taps one by one.
  const taps = kw <= MOST_TAPS ? kw : 1;
  const vectorInput = width % 4 === 0 && taps === kw;
  const kernel = device.kernel(CONV, {
    tile: {
      ...tile,
      STRIDE: stride[1],
      TAPS: taps,
      VECTOR_INPUT: Number(vectorInput),
      VECTOR_OUTPUT: Number(outWidth % 4 === 0),
      HALF: Number(half),
      HALF_RESULT: Number(half),
      SHIFT: vectorInput ? modulo(-padding[1], 4) : 0,
      ...fusion.numbers,
    },
  });
  const patches = n * Math.ceil(outHeight / tile.ROWS) * Math.ceil(outWidth / (4 * tile.VECTORS));
  const [gridX, gridY] = grid(patches, tile.WORKGROUP);
  const words = [patches, c, height, width, o, outHeight, outWidth, groups, kh, kw, stride[0], ...padding];
  words.push(steps.group, steps.output, steps.channel, steps.start, steps.tap, ...fusion.words);
  const groupsOf = [gridX, channelBlocks(sizes, tile.OUTPUTS), gridY];
  device.dispatch(kernel, [x, w, y, ...fusion.tensors], words, groupsOf, flopOf(sizes));
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

// The transposed convolution, also the input gradient at other strides

/** direct: patches of pixels in registers, read straight from storage. */
export const CONV_TRANSPOSE2D: Family<ConvSizes> = {
  name: 'conv_transpose2d',
  shaders: [TRANSPOSE],
  shapeClass,
  operands: ({ o, c, kh, kw, groups, ...sizes }) => [inputShape({ c, ...sizes }), [c, o / groups, kh, kw]],
  dtype: typeOf,
  run: ([x, w], sizes, variant) => correlateTransposed(x, w, sizes, variant),
  reference: convTranspose2dReference,
  flop: ({ n, c, height, width, o, kh, kw, groups }) => (2 * n * c * height * width * o * kh * kw) / groups,
  variants: ({ outHeight, outWidth, stride }) =>
    [
      { OUTPUTS: 4, ROWS: 1, VECTORS: 2, WORKGROUP: 8 },
      { OUTPUTS: 4, ROWS: 2, VECTORS: 1, WORKGROUP: 8 },
      { OUTPUTS: 4, ROWS: 1, VECTORS: 1, WORKGROUP: 8 },
      { OUTPUTS: 4, ROWS: 1, VECTORS: 1, WORKGROUP: 64 },
    ]
      .filter(
        ({ ROWS, VECTORS }) =>
          ROWS <= Math.ceil(outHeight / stride[0]) && VECTORS * 4 * stride[1] < outWidth + 4 * stride[1],
      )
      // More accumulators than these do not stay in registers.
      .filter(({ ROWS, VECTORS }, i, all) => i === all.length - 1 || ROWS * VECTORS * stride[1] <= 4)
      .map(tile => ({ kernel: 'direct', tile })),
};

/** y [N, O, OH, OW] */
export function correlateTransposed(x: Tensor, w: Tensor, sizes: ConvSizes, { tile }: Variant): Tensor {
  const { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups, half } = sizes;
  const { device } = x;
  const y = device.empty([n, o, outHeight, outWidth], half ? 'f16' : 'f32');
  const vectorInput = width % 4 === 0;
  const first = Math.ceil((padding[1] - kw + 1) / stride[1]);
  const kernel = device.kernel(TRANSPOSE, {
    tile: {
      ...tile,
      STRIDE: stride[1],
      TAPS: kw,
      PAD: padding[1],
      FIRST: first,
      LAST: Math.floor((stride[1] - 1 + padding[1]) / stride[1]) + 1,
      VECTOR_INPUT: Number(vectorInput),
      VECTOR_OUTPUT: Number(outWidth % 4 === 0),
      HALF: Number(half),
      HALF_RESULT: Number(half),
      SHIFT: vectorInput ? modulo(first, 4) : 0,
    },
  });
  const across = Math.ceil(outWidth / (4 * tile.VECTORS * stride[1]));
  const patches = n * Math.ceil(Math.ceil(outHeight / stride[0]) / tile.ROWS) * across;
  const words = [patches, c, height, width, o, outHeight, outWidth, groups, kh, stride[0], padding[0]];
  const [gridX, gridY] = grid(patches, tile.WORKGROUP);
  const flop = CONV_TRANSPOSE2D.flop(sizes);
  device.dispatch(kernel, [x, w, y], words, [gridX, channelBlocks(sizes, tile.OUTPUTS), stride[0] * gridY], flop);
  return y;
}

// The weight gradient

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
 * direct: a lane has all taps of some input and output channels in registers. taps: a lane is four neighbouring taps, for large
 * kernels and few channels, of f32. gemm: tiles in workgroup memory. All cut the sum over pixels into SPLITS.
 */
export const WEIGHT_GRADIENT: Family<ConvSizes> = {
  name: 'conv2d_weight_gradient',
  shaders: [WEIGHT, WEIGHT_TAPS, ...Object.values(WEIGHT_GEMM)],
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
      Math.max(
        1,
        Math.min(n * outHeight, Math.floor(most), Math.floor((device.adapter.kind === 'gpu' ? 512 : 64) / workgroups)),
      );
    const lines = (lanes: number, block: number, widest: number) => {
      // As few idle lanes as whole vectors of 8 allow.
      const groupsX = Math.ceil(lanes / widest);
      const WORKGROUP = Math.ceil(lanes / groupsX / 8) * 8;
      return { WORKGROUP, SPLITS: splits(groupsX * channelBlocks(sizes, block)) };
    };
    // Narrow lines are walked along pixel by pixel.
    const pixels = outWidth > 8 ? [4, 1] : [1, 4];
    const channels = REGISTER_TAPS.filter(([outputs, inputs]) => outputs * inputs * kh * kw <= 72)
      .slice(0, 3)
      .flatMap(([OUTPUTS, CHANNELS]) =>
        pixels.map(PIXELS => ({
          kernel: 'direct',
          tile: { OUTPUTS, CHANNELS, PIXELS, ...lines(Math.ceil(c / groups / CHANNELS), OUTPUTS, 16) },
        })),
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
    const kernel = device.kernel(variant.kernel === 'matrix' ? WEIGHT_GEMM.matrix : WEIGHT_GEMM.gemm, {
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
      VECTOR_OUTPUT: Number(tile.PIXELS === 4 && outWidth % 4 === 0),
      SHIFT: inVectors ? modulo(-padding[1], 4) : 0,
      HALF: Number(half),
    };
    const kernel = device.kernel(WEIGHT, { tile: { ...tile, KH: kh, KW: kw, STRIDE: stride[1], ...vectors } });
    const grid = [Math.ceil(c / groups / tile.CHANNELS / tile.WORKGROUP), channelBlocks(sizes, tile.OUTPUTS), splits];
    device.dispatch(kernel, [x, v, u], [...words, stride[0], ...padding, rowsPerSplit], grid, flop);
  } else {
    const kernel = device.kernel(WEIGHT_TAPS, { tile });
    const lanes = Math.ceil(sizeOf(shape.slice(1)) / 4);
    const grid = [Math.ceil(lanes / tile.WORKGROUP), channelBlocks(sizes, 8), splits];
    device.dispatch(kernel, [x, v, u], [...words, kh, kw, ...stride, ...padding, rowsPerSplit], grid, flop);
  }
  return splits > 1 ? reduce(u, [0]) : u;
}

/** A sum of `length` products cut into about `wanted` pieces, whose lengths are multiples of 4. */
function cutSums(length: number, wanted: number): [piece: number, count: number] {
  const piece = 4 * Math.ceil(length / wanted / 4);
  return [piece, Math.ceil(length / piece)];
}

/** The remainder from 0 on, also of a negative number. */
function modulo(a: number, b: number): number {
  return ((a % b) + b) % b;
}
