/** Kernels of layers and of training, with their formulas where these are short. */
import { FACE_SIZE } from '../../data/facePacking.ts';
import { packFaces, renderFaces, sampleFaces } from '../../data/faces.ts';
import { initialize, Module, zeros } from '../../models/module.ts';
import { activationGradient } from '../../runtime/kernels/activation.ts';
import * as norm from '../../runtime/kernels/batchNorm.ts';
import { full } from '../../runtime/kernels/copy.ts';
import * as pool from '../../runtime/kernels/pool.ts';
import { resample2d, upfirdn2d } from '../../runtime/kernels/resample.ts';
import { styledActivation } from '../../runtime/kernels/styled.ts';
import { type Reference, unravel } from '../../runtime/reference.ts';
import { sizeOf } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { Adam, checkFinite, type Optimizer, Ranger, replaceNonFinite, Sgd } from '../../train/optimizers.ts';
import { type Entry, numbers, plain } from './entry.ts';
import { MAP, type MapSizes, mapOf, sum } from './map.ts';
import { demand, pairOf, type Spec } from './spec.ts';

const EPSILON = 1e-5;

/** x [N, C, H, W] normalised by statistics of its own, computed before. */
function normEntry(
  name: string,
  about: string,
  run: (x: Tensor) => Tensor,
  formula: (x: Float32Array, at: number, mean: number, variance: number) => number,
  perChannel: boolean,
): Entry {
  return {
    name,
    about,
    shaders: [name, ...(name === 'batch_norm' ? [] : ['batch_norm_merge'])],
    shape: MAP,
    problem(spec) {
      const { shape, n, c, pixels, size } = mapOf(spec);
      const channels = new Map<number, [number, number]>();
      const count = n * pixels;
      const statistics = (x: Float32Array, channel: number): [number, number] => {
        const known = channels.get(channel);
        if (known) return known;
        const at = (k: number) => x[(Math.floor(k / pixels) * c + channel) * pixels + (k % pixels)];
        const mean = sum(count, at) / count;
        const found: [number, number] = [mean, sum(count, k => (at(k) - mean) ** 2) / count];
        channels.set(channel, found);
        return found;
      };
      return plain(name, {
        operands: numbers([shape]),
        flop: 5 * size,
        run: ([x]) => run(x),
        reference: ([x]): Reference => ({
          shape: perChannel ? [c] : shape,
          at: i => formula(x, i, ...statistics(x, perChannel ? i : Math.floor(i / pixels) % c)),
        }),
      });
    },
  };
}

function normalized(x: Tensor): Tensor {
  const c = x.shape[1];
  const { mean, variance } = norm.batchStatistics(x);
  const [weight, bias] = [full(x.device, [c], 2), full(x.device, [c], 1)];
  return norm.normalize(x, { mean, variance, weight, bias, epsilon: EPSILON });
}

const norms: readonly Entry[] = [
  normEntry(
    'batch_norm',
    '2 (x - mean) / sqrt(variance + 1e-5) + 1, with the statistics of x',
    normalized,
    (x, i, mean, variance) => (2 * (x[i] - mean)) / Math.sqrt(variance + EPSILON) + 1,
    false,
  ),
  normEntry(
    'batch_norm_statistics',
    'the variance of each channel',
    x => norm.batchStatistics(x).variance,
    (_, __, ___, variance) => variance,
    true,
  ),
  {
    name: 'batch_norm_gradient',
    about: 'the gradient of batch_norm in x, of g and x; no formula, all must be finite',
    shaders: ['batch_norm_sums', 'batch_norm_gradient', 'batch_norm_fixed_gradient'],
    shape: MAP,
    problem: ({ shapes: [shape] }) =>
      plain('batch_norm_gradient', {
        operands: [...numbers([shape, shape])],
        flop: 9 * sizeOf(shape),
        run([g, x]) {
          const given = { ...norm.batchStatistics(x), weight: full(x.device, [x.shape[1]], 2), epsilon: EPSILON };
          return norm.normInputGradient(g, x, given, norm.normSums(g, x, given));
        },
      }),
  },
  {
    name: 'styled_activation',
    about: '√2 lrelu(x d[n, c] + b[c]) of slope 0.2, of maps [N, C, H, W]',
    shaders: ['styled_activation', 'styled_gradient'],
    shape: MAP,
    problem(spec) {
      const { shape, n, c, pixels, size } = mapOf(spec);
      return plain('styled_activation', {
        operands: numbers([shape, [n, c], [c]]),
        flop: 5 * size,
        run: ([x, d, bias]) => styledActivation(x, { demodulation: d, bias, slope: 0.2, gain: Math.SQRT2 }),
        reference: ([x, d, bias]) => ({
          shape,
          at(i) {
            const plane = Math.floor(i / pixels);
            const value = x[i] * d[plane] + bias[plane % c];
            return Math.SQRT2 * (value > 0 ? value : 0.2 * value);
          },
        }),
      });
    },
  },
  {
    name: 'activation_gradient',
    about: '√2 g (1 where y > 0, else 0.2), of maps [N, C, H, W], with its sums',
    shaders: ['activation_gradient'],
    shape: MAP,
    problem: ({ shapes: [shape] }) =>
      plain('activation_gradient', {
        operands: numbers([shape, shape]),
        flop: 3 * sizeOf(shape),
        run: ([g, y]) => activationGradient(g, y, { slope: 0.2, gain: Math.SQRT2 }).input,
        reference: ([g, y]) => ({ shape, at: i => Math.SQRT2 * g[i] * (y[i] > 0 ? 1 : 0.2) }),
      }),
  },
];

const planes: readonly Entry[] = [
  {
    name: 'upfirdn2d',
    about: 'zeros between pixels, padding, a filter, every d-th pixel; of x [N, C, H, W] and f [KH, KW]',
    shaders: ['upfirdn2d', 'upfirdn2d_double', 'upfirdn2d_half', 'blur4x4'],
    shape: `${MAP},4x4,u2,p2x1`,
    letters: { u: 'up', d: 'down', p: 'padding before and behind, p2x1' },
    problem(spec) {
      const { n, c, height, width } = mapOf(spec);
      const [kh, kw] = spec.shapes[1];
      const [[up], [down], [before, behind]] = [pairOf(spec, 'u', 1), pairOf(spec, 'd', 1), pairOf(spec, 'p', 0)];
      demand(Math.min(up, down) > 0, 'up and down are over 0');
      const out = ([height, kh]: number[]) => Math.floor((height * up + before + behind - kh + down) / down);
      const result = [n, c, out([height, kh]), out([width, kw])];
      demand(Math.min(...result) > 0, 'the filter is larger than the padded map');
      return plain('upfirdn2d', {
        operands: numbers(spec.shapes),
        flop: (2 * kh * kw * sizeOf(result)) / up ** 2,
        run: ([x, f]) =>
          upfirdn2d(x, f, {
            up: [up, up],
            down: [down, down],
            pad: [before, behind, before, behind],
            flip: false,
            gain: 1,
          }),
        reference: ([x, f]) => ({
          shape: result,
          at(index) {
            const [sample, channel, row, column] = unravel(index, result);
            const plane = (sample * c + channel) * height * width;
            return sum(kh * kw, t => {
              const [y, z] = [row * down + Math.floor(t / kw) - before, column * down + (t % kw) - before];
              const inside = y >= 0 && z >= 0 && y < height * up && z < width * up && y % up === 0 && z % up === 0;
              return inside ? x[plane + (y / up) * width + z / up] * f[kh * kw - 1 - t] : 0;
            });
          },
        }),
      });
    },
  },
  {
    name: 'resample2d',
    about: 'half the size, by the mean of 2 x 2 pixels',
    shaders: ['resample2d'],
    shape: MAP,
    problem: spec =>
      halved(
        'resample2d',
        spec,
        4,
        (x, { height, width }) => {
          const table = (size: number) => ({
            inputs: size,
            rows: Array.from(
              { length: size >> 1 },
              (_, i) =>
                [
                  [2 * i, 0.5],
                  [2 * i + 1, 0.5],
                ] as const,
            ),
          });
          return resample2d(x, table(height), table(width));
        },
        values => values.reduce((a, b) => a + b) / 4,
      ),
  },
  {
    name: 'adaptive_pool',
    about: 'the mean of 2 x 2 pixels',
    shaders: ['adaptive_pool', 'adaptive_pool_gradient'],
    shape: MAP,
    problem: spec =>
      halved(
        'adaptive_pool',
        spec,
        4,
        (x, { height, width }) => pool.adaptivePool(x, [height >> 1, width >> 1]),
        values => values.reduce((a, b) => a + b) / 4,
      ),
  },
  {
    name: 'max_pool2d',
    about: 'the maximum of 2 x 2 pixels',
    shaders: ['max_pool2d', 'plane_gather', 'max_pool2d_scatter', 'max_pool2d_spread'],
    shape: MAP,
    problem: spec =>
      halved(
        'max_pool2d',
        spec,
        4,
        x => pool.maxPool(x, { kernel: [2, 2], stride: [2, 2], padding: [0, 0], ceilMode: false }).values,
        values => Math.max(...values),
      ),
  },
  {
    name: 'subsample',
    about: 'every second pixel of every second row',
    shaders: ['subsample'],
    shape: MAP,
    problem: spec =>
      halved(
        'subsample',
        spec,
        0,
        x => pool.subsample(x, 2),
        ([value]) => value,
      ),
  },
];

/** A map of half the height and width, each pixel computed of 2 × 2. */
function halved(
  name: string,
  spec: Spec,
  flop: number,
  run: (x: Tensor, sizes: MapSizes) => Tensor,
  formula: (values: readonly number[]) => number,
) {
  const sizes = mapOf(spec);
  const { n, c, height, width } = sizes;
  demand(height % 2 === 0 && width % 2 === 0, 'height and width are even');
  const shape = [n, c, height / 2, width / 2];
  return plain(name, {
    operands: numbers([sizes.shape]),
    flop: flop * sizeOf(shape),
    run: ([x]) => run(x, sizes),
    reference: ([x]) => ({
      shape,
      at(i) {
        const at = Math.floor(i / shape[3]) * 2 * width + (i % shape[3]) * 2;
        return formula([x[at], x[at + 1], x[at + width], x[at + width + 1]]);
      },
    }),
  });
}

/**
 * A step of an optimiser on a weight of this shape; no formula, the weight must be finite afterwards.
 * @param words those of one parameter and its state, read or written
 */
function optimizerEntry(
  name: string,
  shaders: readonly string[],
  words: number,
  make: (module: Module) => Optimizer,
): Entry {
  return {
    name,
    about: 'a step of the optimiser on one weight; no formula, all must be finite',
    shaders,
    shape: '1024x1024',
    problem: ({ shapes: [shape] }) => {
      class Weight extends Module {
        readonly weight = this.parameter('weight', shape, zeros);
      }
      let made: { module: Weight; optimizer: Optimizer } | undefined;
      return plain(name, {
        operands: [
          ...numbers([shape]),
          { shape: [1], dtype: 'f32', values: Float32Array.of(1e-3) },
          { shape: [1], dtype: 'u32', values: Float32Array.of(0) },
        ],
        flop: 10 * sizeOf(shape),
        // The gradient is copied, looked through and used.
        bytes: 4 * (words + 4) * sizeOf(shape),
        run([gradient, rate, gate]) {
          if (!made) throw new Error(`${name} is not prepared`);
          const { module, optimizer } = made;
          optimizer.collect([gradient]);
          checkFinite(optimizer.gradients, gate);
          optimizer.step(rate, gate);
          return module.weight.value;
        },
        prepare(device) {
          const module = new Weight();
          initialize(module, device);
          made = { module, optimizer: make(module) };
        },
      });
    },
  };
}

const rest: readonly Entry[] = [
  {
    name: 'replace_non_finite',
    about: 'f16 gradients: NaN becomes 0, ±∞ becomes ±1e5',
    shaders: ['replace_non_finite'],
    shape: '1024x1024',
    problem: ({ shapes: [shape] }) =>
      plain('replace_non_finite', {
        operands: numbers([shape]),
        flop: 0,
        bytes: 8 * sizeOf(shape),
        run([x]) {
          replaceNonFinite([x]);
          return x;
        },
        reference: ([x]) => ({ shape, at: i => x[i] }),
      }),
  },
  optimizerEntry('adam', ['adam', 'optimizer_step', 'non_finite'], 6, module => new Adam(module)),
  optimizerEntry('ranger', ['ranger', 'centralize_gradient'], 8, module => new Ranger(module)),
  optimizerEntry('sgd', ['sgd'], 4, module => new Sgd(module, { momentum: 0.9 })),
  {
    name: 'faces',
    about: 'procedural faces, N of S pixels a side; no formula, all must be finite',
    shaders: ['faces', 'facesHead', 'facesHair'],
    shape: '8x32',
    problem({ shapes: [shape] }) {
      demand(shape.length === 2, 'give N x S');
      const [n, side] = shape;
      return plain('faces', {
        operands: [{ shape: [n, FACE_SIZE], dtype: 'f32', values: packFaces(sampleFaces(1, n)) }],
        flop: 0,
        run: ([faces]) => renderFaces(faces.device, faces, side).image,
      });
    },
  },
];

export const layerEntries: readonly Entry[] = [...norms, ...planes, ...rest];
