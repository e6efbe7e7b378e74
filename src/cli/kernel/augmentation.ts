/** Kernels of adaptive discriminator augmentation, at the places where their formulas are short. */
import { applyEffects } from '../../autograd/effects.ts';
import { initialize } from '../../models/module.ts';
import { affineSample, SAMPLE_MARGIN } from '../../runtime/kernels/affineSample.ts';
import { unravel } from '../../runtime/reference.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { AdaptiveAugmentation } from '../../train/ada/heuristic.ts';
import { makeTransforms, NORMAL_DRAWS, UNIFORM_DRAWS } from '../../train/ada/pipeline.ts';
import { type Entry, numbers, plain } from './entry.ts';
import { mapOf, sum } from './map.ts';
import { demand } from './spec.ts';

const TAPS = 12;
/** Images of the kernels that see none. */
const IMAGES = '64';

const f32 = (shape: readonly number[], values: ArrayLike<number>) =>
  ({ shape, dtype: 'f32', values: Float32Array.from(values) }) as const;

export const augmentationEntries: readonly Entry[] = [
  {
    name: 'affine_sample',
    about: 'images [N, 3, H, W] doubled by a filter, where they are',
    shaders: ['affine_sample'],
    shape: '8x3x64x64',
    problem(spec) {
      const { n, c, height, width, shape } = mapOf(spec);
      demand(c === 3, 'images have three channels');
      const target = [n, c, 2 * (height + SAMPLE_MARGIN), 2 * (width + SAMPLE_MARGIN)];
      const [x, filter] = numbers([shape, [TAPS]]);
      const identity = Array.from({ length: n }, () => [1, 0, 0, 0, 1, 0]).flat();
      return plain('affine_sample', {
        operands: [
          x,
          f32([n, 2, 3], identity),
          { shape: [4], dtype: 'u32', values: new Float32Array(4) },
          { ...filter, values: filter.values.map(value => value / TAPS) },
        ],
        flop: 7 * 7 * 2 * n * c * target[2] * target[3],
        run: ([images, maps, margins, taps]) => affineSample(images, { maps, margins, filter: taps }),
        reference: ([images, , , taps]) => ({
          shape: target,
          at(index) {
            const [sample, channel, row, column] = unravel(index, target);
            const [v, u] = [row - SAMPLE_MARGIN, column - SAMPLE_MARGIN];
            if (v < 0 || v >= 2 * height || u < 0 || u >= 2 * width) return 0;
            const tap = (z: number) => 2 * (taps[z + 5] ?? 0);
            const plane = (sample * c + channel) * height * width;
            return sum(height, i =>
              tap(v - 2 * i) === 0
                ? 0
                : sum(width, j => tap(v - 2 * i) * tap(u - 2 * j) * images[plane + i * width + j]),
            );
          },
        }),
      });
    },
  },
  {
    name: 'ada_transforms',
    about: 'the maps of N images, none of which is changed',
    shaders: ['ada_transforms'],
    shape: IMAGES,
    problem({ shapes: [shape] }) {
      demand(shape.length === 1, 'give N');
      const [n] = shape;
      return plain('ada_transforms', {
        operands: [
          ...numbers([
            [n, UNIFORM_DRAWS],
            [n, NORMAL_DRAWS],
          ]),
          f32([1], [0]),
        ],
        flop: 0,
        run: ([uniform, normal, p]) => makeTransforms({ uniform, normal }, p, [64, 64]).maps,
        reference: () => ({ shape: [n, 2, 3], at: i => Number(i % 6 === 0 || i % 6 === 4) }),
      });
    },
  },
  {
    name: 'ada_heuristic',
    about: 'the mean sign of the logits of N images',
    shaders: ['ada_heuristic'],
    shape: IMAGES,
    problem({ shapes: [shape] }) {
      demand(shape.length === 1, 'give N');
      let made: AdaptiveAugmentation | undefined;
      return plain('ada_heuristic', {
        operands: [...numbers([shape]), { shape: [1], dtype: 'u32', values: new Float32Array(1) }],
        flop: 0,
        run([logits, gate]: readonly Tensor[]) {
          if (!made) throw new Error('ada_heuristic is not prepared');
          made.observe(logits);
          applyEffects(gate);
          return made.r.value;
        },
        prepare(device) {
          // A window is of four steps: here of one.
          made = new AdaptiveAugmentation({ target: 0.6, kimg: Number.POSITIVE_INFINITY, batch: shape[0] / 4 });
          initialize(made, device);
        },
        reference: ([logits]) => ({
          shape: [1],
          at: () => sum(shape[0], i => Math.sign(logits[i])) / shape[0],
        }),
      });
    },
  },
];
