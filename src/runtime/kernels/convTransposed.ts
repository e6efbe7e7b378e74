import storeSource from '../../../shaders/conv_store.wgsl';
import source from '../../../shaders/conv_transpose2d.wgsl';
import subgroupSource from '../../../shaders/conv_transpose2d_subgroup.wgsl';
import { convTranspose2dReference } from '../reference.ts';
import type { Tile } from '../template.ts';
import type { Tensor } from '../tensor.ts';
import { type Family, loadingLanes, type Variant } from '../variants.ts';
import { type ConvSizes, inputShape, modulo, patchGrid, shapeClass, subgroupTiles, typeOf } from './convSizes.ts';

const DIRECT = { name: 'conv_transpose2d', source: source + storeSource };
const SUBGROUP = { name: 'conv_transpose2d_subgroup', source: subgroupSource + storeSource };

/**
 * direct: patches of pixels in registers, read straight from storage. subgroup: the same, its pixels loaded by a
 * subgroup together.
 */
export const CONV_TRANSPOSE2D: Family<ConvSizes> = {
  name: 'conv_transpose2d',
  shaders: [DIRECT, SUBGROUP],
  shapeClass,
  operands: ({ o, c, kh, kw, groups, ...sizes }) => [inputShape({ c, ...sizes }), [c, o / groups, kh, kw]],
  dtype: typeOf,
  run: ([x, w], sizes, variant) => correlateTransposed(x, w, sizes, variant),
  reference: convTranspose2dReference,
  flop: ({ n, c, height, width, o, kh, kw, groups }) => (2 * n * c * height * width * o * kh * kw) / groups,
  variants(sizes, device) {
    const { outHeight, outWidth, stride } = sizes;
    const [rows, columns] = [Math.ceil(outHeight / stride[0]), Math.ceil(outWidth / stride[1])];
    const direct = [
      { OUTPUTS: 4, ROWS: 1, VECTORS: 2, WORKGROUP: 8 },
      { OUTPUTS: 4, ROWS: 2, VECTORS: 1, WORKGROUP: 8 },
      { OUTPUTS: 4, ROWS: 1, VECTORS: 1, WORKGROUP: 8 },
      { OUTPUTS: 4, ROWS: 1, VECTORS: 1, WORKGROUP: 64 },
    ].filter(({ ROWS, VECTORS }) => ROWS <= rows && VECTORS * 4 < columns + 4);
    // More accumulators than these do not stay in registers.
    const few = (most: number) => (tile: Tile, i: number, all: readonly Tile[]) =>
      i === all.length - 1 || tile.ROWS * tile.VECTORS * stride[1] <= most;
    return [
      ...subgroupTiles(sizes, rows, columns, loadingLanes(device))
        .filter(few(16))
        .map(tile => ({ kernel: 'subgroup', tile })),
      ...direct.filter(few(4)).map(tile => ({ kernel: 'direct', tile })),
    ];
  },
};

/** y [N, O, OH, OW] */
export function correlateTransposed(x: Tensor, w: Tensor, sizes: ConvSizes, { kernel: name, tile }: Variant): Tensor {
  const { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups, half } = sizes;
  const { device } = x;
  const y = device.empty([n, o, outHeight, outWidth], half ? 'f16' : 'f32');
  const isDirect = name === 'direct';
  const vectorInput = width % 4 === 0;
  const first = Math.ceil((padding[1] - kw + 1) / stride[1]);
  const inVectors = { VECTOR_INPUT: Number(vectorInput), SHIFT: vectorInput ? modulo(first, 4) : 0 };
  const kernel = device.kernel(isDirect ? DIRECT : SUBGROUP, {
    tile: {
      ...tile,
      ...(isDirect ? inVectors : {}),
      STRIDE: stride[1],
      TAPS: kw,
      PAD: padding[1],
      FIRST: first,
      LAST: Math.floor((stride[1] - 1 + padding[1]) / stride[1]) + 1,
      VECTOR_OUTPUT: Number(outWidth % 4 === 0),
      HALF: Number(half),
      HALF_RESULT: Number(half),
    },
  });
  const across = Math.ceil(outWidth / (4 * tile.VECTORS * stride[1]));
  const count = n * Math.ceil(Math.ceil(outHeight / stride[0]) / tile.ROWS) * across;
  const words = [count, c, height, width, o, outHeight, outWidth, groups, kh, stride[0], padding[0]];
  const [gridX, blocks, gridZ] = patchGrid(sizes, count, tile);
  const flop = CONV_TRANSPOSE2D.flop(sizes);
  device.dispatch(kernel, [x, w, y], words, [gridX, blocks, stride[0] * gridZ], flop);
  return y;
}
