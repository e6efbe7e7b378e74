import { cast } from '../../runtime/kernels/cast.ts';
import { full, stridedCopy } from '../../runtime/kernels/copy.ts';
import { binary, ternary, unary } from '../../runtime/kernels/elementwise.ts';
import { oneHot } from '../../runtime/kernels/oneHot.ts';
import { random } from '../../runtime/kernels/random.ts';
import { unravel } from '../../runtime/reference.ts';
import { type Shape, sizeOf, stridesOf } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type Entry, numbers, plain } from './entry.ts';
import { MAP, mapOf } from './map.ts';

/** An entry whose operands are all of one shape, and its result as well, computed element by element. */
function elementwise(
  entry: Pick<Entry, 'name' | 'about' | 'shaders'>,
  count: number,
  flop: number,
  run: (operands: readonly Tensor[]) => Tensor,
  formula: (...values: number[]) => number,
): Entry {
  return {
    ...entry,
    shape: MAP,
    problem: ({ shapes: [shape] }) =>
      plain(entry.name, {
        operands: numbers(Array<Shape>(count).fill(shape)),
        flop: flop * sizeOf(shape),
        run,
        reference: operands => ({ shape, at: i => formula(...operands.map(values => values[i])) }),
      }),
  };
}

export const elementEntries: readonly Entry[] = [
  elementwise(
    { name: 'unary', about: 'x²', shaders: ['unary'] },
    1,
    1,
    ([x]) => unary(x, 'x * x'),
    x => x * x,
  ),
  elementwise(
    { name: 'binary', about: 'x + y', shaders: ['broadcast'] },
    2,
    1,
    ([x, y]) => binary(x, y, 'x + y'),
    (x, y) => x + y,
  ),
  elementwise(
    { name: 'ternary', about: 'x y + z', shaders: ['broadcast'] },
    3,
    2,
    ([x, y, z]) => ternary(x, y, z, 'x * y + z'),
    (x, y, z) => x * y + z,
  ),
  elementwise(
    { name: 'fill', about: 'a number everywhere', shaders: ['fill'] },
    1,
    0,
    ([x]) => full(x.device, x.shape, 3),
    () => 3,
  ),
  {
    name: 'cast',
    about: 'f32 to f16',
    shaders: ['cast'],
    shape: MAP,
    problem: ({ shapes: [shape] }) =>
      plain('cast', {
        operands: numbers([shape]),
        flop: 0,
        run: ([x]) => cast(x, 'f16'),
        reference: ([x]) => ({ shape, at: i => x[i] }),
      }),
  },
  {
    name: 'strided_copy',
    about: 'NCHW to NHWC',
    shaders: ['strided_copy'],
    shape: MAP,
    problem(spec) {
      const { n, c, height, width, shape, pixels } = mapOf(spec);
      const target = [n, height, width, c];
      return plain('strided_copy', {
        operands: numbers([shape]),
        flop: 0,
        run([x]) {
          const y = x.device.empty(target);
          const walk = { start: 0, strides: [pixels * c, 1, width * c, c] };
          stridedCopy(x, { start: 0, strides: stridesOf(shape) }, y, walk, shape);
          return y;
        },
        reference: ([x]) => ({
          shape: target,
          at(index) {
            const [sample, row, column, channel] = unravel(index, target);
            return x[((sample * c + channel) * height + row) * width + column];
          },
        }),
      });
    },
  },
  {
    name: 'one_hot',
    about: '1 where the class is the label, [N, C, H, W] of labels [N, H, W]',
    shaders: ['one_hot'],
    shape: '8x19x64x64',
    problem(spec) {
      const { n, c, height, width, shape, size, pixels } = mapOf(spec);
      const labels = Float32Array.from({ length: size / c }, (_, i) => (i * 7) % c);
      return plain('one_hot', {
        operands: [{ shape: [n, height, width], dtype: 'u32', values: labels }],
        flop: 0,
        run: ([x]) => oneHot(x, shape),
        reference: () => ({
          shape,
          at: i => Number(labels[Math.floor(i / (c * pixels)) * pixels + (i % pixels)] === Math.floor(i / pixels) % c),
        }),
      });
    },
  },
  {
    name: 'random',
    about: 'normal numbers of Philox; no formula, all must be finite',
    shaders: ['random'],
    shape: MAP,
    problem: ({ shapes: [shape] }) =>
      plain('random', {
        operands: [{ shape: [1], dtype: 'u32', values: Float32Array.of(1) }],
        flop: 0,
        run: ([step]) => random(step.device, shape, 'normal', { seed: 1, stream: 'kernel', step }),
      }),
  },
];
