import { withoutEffects } from '../../autograd/effects.ts';
import * as ops from '../../autograd/index.ts';
import type { Generator } from '../../models/stylegan2/generator.ts';
import type { Device } from '../../runtime/device.ts';
import { random } from '../../runtime/kernels/random.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import type { Compute } from '../training.ts';

/** The step along a path in W. */
export const EPSILON = 1e-4;

export interface PathLengthOptions {
  readonly device: Device;
  /**
   * The two images [batch, 3, S, S] of each of a batch of paths, a step ε of the path apart; `step` u32 [1] numbers the
   * batch. It is run as part of a program.
   */
  readonly ends: (step: Tensor) => readonly [Tensor, Tensor];
  /** Between images, [batch]. */
  readonly distance: (a: Tensor, b: Tensor) => Tensor;
  readonly batch: number;
  readonly count: number;
}

/**
 * Perceptual path length (Karras et al. 2019, section 4.1): the mean of d(end, other end) / ε² over `count` paths,
 * without those below the 1st and over the 99th percentile. With LPIPS on VGG-16 as the distance it is PPL.
 */
export function pathLength(options: PathLengthOptions): (compute: Compute) => Promise<number> {
  const { device, ends, distance, batch, count } = options;
  const step = device.keep(device.empty([1], 'u32', 'number of the paths'));
  const measured = () =>
    device.scope('path length', () => ops.noGrad(() => withoutEffects(() => distance(...ends(step)))));
  return async compute => {
    const distances: number[] = [];
    for (let first = 0; first < count; first += batch) {
      device.write(step, [first]);
      const values = await (await compute('metrics: path length', measured)).read();
      distances.push(...values.subarray(0, count - first));
    }
    return trimmedMean(distances) / EPSILON ** 2;
  };
}

/** The mean of what lies between the 1st percentile, rounded down to a value, and the 99th, rounded up. */
export function trimmedMean(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const last = sorted.length - 1;
  const [least, most] = [sorted[Math.floor(0.01 * last)], sorted[Math.ceil(0.99 * last)]];
  const kept = sorted.filter(value => value >= least && value <= most);
  return kept.reduce((a, b) => a + b, 0) / kept.length;
}

/**
 * Paths in W from w(z₀) a step towards w(z₁), as NVlabs measures them by default (`ppl2_wend`); both images have the
 * same noise, another for each path.
 */
export function stylePaths(
  generator: Generator,
  { seed, batch }: { seed: number; batch: number },
): PathLengthOptions['ends'] {
  return step => {
    const w = [0, 1].map(i => {
      const source = { seed, stream: `path ${i}`, step };
      return generator.mapping.forward(random(step.device, [batch, generator.config.wDim], 'normal', source));
    });
    const noise = { fresh: { seed, stream: 'path', step } };
    const next = ops.add(w[0], ops.affine(ops.sub(w[1], w[0]), EPSILON, 0));
    return [generator.forward(w[0], { noise }), generator.forward(next, { noise })];
  };
}
