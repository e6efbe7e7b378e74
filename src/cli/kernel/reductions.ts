import { channelGate } from '../../runtime/kernels/channelGate.ts';
import { cosineDistance, cosineMoments } from '../../runtime/kernels/cosine.ts';
import { maxMean } from '../../runtime/kernels/maxMean.ts';
import { perceptualDistance } from '../../runtime/kernels/perceptual.ts';
import { reduce } from '../../runtime/kernels/reduce.ts';
import { demodulation } from '../../runtime/kernels/styled.ts';
import { unravel } from '../../runtime/reference.ts';
import { sizeOf, stridesOf } from '../../runtime/shape.ts';
import { type Entry, numbers, plain, positive } from './entry.ts';
import { MAP, mapOf, sum } from './map.ts';
import { demand } from './spec.ts';

export const reductionEntries: readonly Entry[] = [
  {
    name: 'reduce',
    about: 'the sum over axes',
    shaders: ['reduce'],
    shape: `${MAP},a2x3`,
    letters: { a: 'axes, a1 or a0x2x3' },
    problem({ shapes: [shape], numbers: { a: axes = [shape.length - 1] } }) {
      demand(
        axes.every(axis => axis < shape.length),
        `there are axes 0 to ${shape.length - 1}`,
      );
      const kept = shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
      const reduced = shape.map((size, axis) => (axes.includes(axis) ? size : 1));
      const strides = stridesOf(shape);
      const place = (indices: readonly number[]) => indices.reduce((at, index, axis) => at + index * strides[axis], 0);
      return plain('reduce', {
        operands: numbers([shape]),
        flop: sizeOf(shape),
        run: ([x]) => reduce(x, axes),
        reference: ([x]) => ({
          shape: kept,
          at: i => sum(sizeOf(reduced), k => x[place(unravel(i, kept)) + place(unravel(k, reduced))]),
        }),
      });
    },
  },
  {
    name: 'max_mean',
    about: 'maximum and mean over the pixels, [2, N, C]',
    shaders: ['max_mean', 'max_mean_gradient'],
    shape: MAP,
    problem(spec) {
      const { shape, n, c, pixels, size } = mapOf(spec);
      return plain('max_mean', {
        operands: numbers([shape]),
        flop: 2 * size,
        run: ([x]) => maxMean(x, 'pixels').values,
        reference: ([x]) => ({
          shape: [2, n, c],
          at(i) {
            const plane = (i % (n * c)) * pixels;
            if (i >= n * c) return sum(pixels, k => x[plane + k]) / pixels;
            return x.subarray(plane, plane + pixels).reduce((a, b) => Math.max(a, b));
          },
        }),
      });
    },
  },
  {
    name: 'cosine_distance',
    about: '1 - mean over n of cos(x[n], y[n]), of x and y [N, D]: [1]',
    shaders: ['cosine_moments', 'cosine_distance', 'cosine_gradient'],
    shape: '8x65536',
    problem({ shapes: [shape] }) {
      demand(shape.length === 2, 'vectors have two sizes');
      const [n, d] = shape;
      const dot = (a: Float32Array, b: Float32Array, row: number) => sum(d, i => a[row * d + i] * b[row * d + i]);
      return plain('cosine_distance', {
        operands: numbers([shape, shape]),
        flop: 6 * n * d,
        run: ([x, y]) => cosineDistance(cosineMoments([x], [y]), 1e-8),
        reference: ([x, y]) => ({
          shape: [1],
          at: () => 1 - sum(n, r => dot(x, y, r) / Math.sqrt(dot(x, x, r) * dot(y, y, r))) / n,
        }),
      });
    },
  },
  {
    name: 'perceptual_distance',
    about: 'mean over pixels of sum over c of w[c] (x / |x| - y / |y|)², of maps [N, C, H, W]: [N]',
    shaders: ['perceptual_distance', 'perceptual_gradient'],
    shape: MAP,
    problem(spec) {
      const { shape, n, c, pixels, size } = mapOf(spec);
      const norm = (x: Float32Array, at: number) => Math.sqrt(sum(c, i => x[at + i * pixels] ** 2)) + 1e-10;
      return plain('perceptual_distance', {
        operands: [...numbers([shape, shape]), positive([c])],
        flop: 9 * size,
        run: ([x, y, w]) => perceptualDistance([x], [y], [w]),
        reference: ([x, y, w]) => ({
          shape: [n],
          at: sample =>
            sum(pixels, pixel => {
              const at = sample * c * pixels + pixel;
              const [nx, ny] = [norm(x, at), norm(y, at)];
              return sum(c, i => w[i] * (x[at + i * pixels] / nx - y[at + i * pixels] / ny) ** 2);
            }) / pixels,
        }),
      });
    },
  },
  {
    name: 'channel_gate',
    about: 'sigmoid(W2 relu(W1 x)), of pooled x [1, N, C] and R hidden units: [N, C]',
    shaders: ['channel_gate', 'channel_gate_gradient', 'channel_gate_weights'],
    shape: '8x512x32',
    problem({ shapes: [shape] }) {
      demand(shape.length === 3, 'give N x C x R');
      const [n, c, hidden] = shape;
      return plain('channel_gate', {
        operands: numbers([
          [1, n, c],
          [hidden, c],
          [c, hidden],
        ]),
        flop: 4 * n * c * hidden,
        run: ([pooled, w1, w2]) => channelGate(pooled, { w1, w2 }),
        reference: ([x, w1, w2]) => ({
          shape: [n, c],
          at(i) {
            const [sample, channel] = unravel(i, [n, c]);
            const unit = (h: number) =>
              Math.max(
                0,
                sum(c, k => w1[h * c + k] * x[sample * c + k]),
              );
            return 1 / (1 + Math.exp(-sum(hidden, h => w2[channel * hidden + h] * unit(h))));
          },
        }),
      });
    },
  },
  {
    name: 'demodulation',
    about: '1 / sqrt(sum over i of s[b, i]² e[o, i] + 1e-8), of styles [B, I] and energy [O, I]: [B, O]',
    shaders: ['demodulation', 'demodulation_gradient'],
    shape: '8x512,512x512',
    problem({ shapes: [styles, energy] }) {
      demand(styles.length === 2 && energy.length === 2 && styles[1] === energy[1], 'give B x I and O x I');
      const [[b, inputs], [o]] = [styles, energy];
      return plain('demodulation', {
        operands: [...numbers([styles]), positive(energy)],
        flop: 3 * b * o * inputs,
        run: ([s, e]) => demodulation(s, e, 1e-8),
        reference: ([s, e]) => ({
          shape: [b, o],
          at(i) {
            const [row, output] = unravel(i, [b, o]);
            return 1 / Math.sqrt(sum(inputs, k => s[row * inputs + k] ** 2 * e[output * inputs + k]) + 1e-8);
          },
        }),
      });
    },
  },
];
