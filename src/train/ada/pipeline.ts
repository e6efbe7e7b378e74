import source from '../../../shaders/ada_transforms.wgsl';
import { floatBits } from '../../runtime/device.ts';
import type { AffineMap } from '../../runtime/kernels/affineSample.ts';
import { type RandomSource, random } from '../../runtime/kernels/random.ts';
import type { Tensor } from '../../runtime/tensor.ts';

const TRANSFORMS = { name: 'ada_transforms', source };
/** Uniform draws of an image: a gate for each of 13 transforms, and 8 values. */
export const UNIFORM_DRAWS = 21;
/** Normal draws of an image. */
export const NORMAL_DRAWS = 7;

/** What the images of a batch [N, 3, H, W] become. */
export interface Transforms extends Omit<AffineMap, 'filter'> {
  /** [N, 3, 3] and [N, 3, 1]: C · rgb + o. */
  readonly colours: Tensor;
  readonly offsets: Tensor;
}

/** The random numbers behind the transforms of a batch. */
export interface Draws {
  /** [N, UNIFORM_DRAWS], in (-1, 1]. */
  readonly uniform: Tensor;
  /** [N, NORMAL_DRAWS] */
  readonly normal: Tensor;
}

/** Draws for a batch of images, of the streams 'NAME uniform' and 'NAME normal'. */
export function drawTransforms(batch: number, p: Tensor, { seed, stream, step }: RandomSource): Draws {
  const source = (kind: string) => ({ seed, stream: `${stream} ${kind}`, step });
  return {
    uniform: random(p.device, [batch, UNIFORM_DRAWS], 'uniform', source('uniform')),
    normal: random(p.device, [batch, NORMAL_DRAWS], 'normal', source('normal')),
  };
}

/**
 * The transforms 'bgc' of Karras et al. 2020 (arXiv 2006.06676, appendix B): pixel blitting (flips, turns of 90°, whole
 * shifts), general geometry (scales, rotations, fractional shifts) and colour (brightness, contrast, luma flip, hue,
 * saturation), each with probability p [1], for images of a size.
 */
export function makeTransforms(
  { uniform, normal }: Draws,
  p: Tensor,
  [height, width]: readonly [number, number],
): Transforms {
  const { device } = p;
  const [batch] = uniform.shape;
  const maps = device.empty([batch, 2, 3], 'f32', 'maps');
  const colours = device.empty([batch, 3, 3], 'f32', 'colours');
  const offsets = device.empty([batch, 3, 1], 'f32', 'offsets');
  const margins = device.empty([4], 'u32', 'margins');
  const words = [batch, floatBits(height), floatBits(width)];
  device.dispatch(device.kernel(TRANSFORMS), [p, uniform, normal, maps, colours, offsets, margins], words, [1]);
  return { maps, colours, offsets, margins };
}
