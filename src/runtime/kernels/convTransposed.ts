import source from '../../../shaders/conv_transpose2d.wgsl';
import { grid } from '../device.ts';
import { convTranspose2dReference } from '../reference.ts';
import type { Tensor } from '../tensor.ts';
import type { Family, Variant } from '../variants.ts';
import { type ConvSizes, channelBlocks, inputShape, modulo, shapeClass, typeOf } from './convSizes.ts';

const DIRECT = { name: 'conv_transpose2d', source };

/** direct: patches of pixels in registers, read straight from storage. */
export const CONV_TRANSPOSE2D: Family<ConvSizes> = {
  name: 'conv_transpose2d',
  shaders: [DIRECT],
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
  const kernel = device.kernel(DIRECT, {
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
