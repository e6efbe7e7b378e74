/** How near output images are to their targets. */
import * as ops from '../../autograd/index.ts';
import type { PerceptualDistance } from '../../models/lpips.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { cropFace } from '../losses.ts';
import { msssimHyperstyle } from '../ssim.ts';

/** A network that embeds faces: [N, 3, inputSize, inputSize] in [-1, 1] to unit vectors [N, E]. */
export interface FaceEmbedder {
  readonly inputSize: number;
  forward(faces: Tensor): Tensor;
}

/** How near each output image is to its target: an entry an image, on the device or read. */
export interface ImageMetrics<Values = Float32Array> {
  /** Mean squared difference in [-1, 1]. */
  readonly l2: Values;
  /** The perceptual network's distance; what it may be called depends on the network. */
  readonly lpips: Values;
  /** MS-SSIM on [-1, 1] with L = 2. */
  readonly msssim: Values;
  /** Cosine of the embeddings of the faces. */
  readonly id: Values;
}

/**
 * The metrics of outputs against targets [N, 3, S, S] in [-1, 1], [N] each. Outputs are clamped first, as they would be
 * when saved. The networks must be in evaluation mode, and `identity` another one than the loss uses.
 */
export function imageMetrics(
  output: Tensor,
  target: Tensor,
  { perceptual, identity }: { readonly perceptual: PerceptualDistance; readonly identity: FaceEmbedder },
): ImageMetrics<Tensor> {
  return output.device.scope('image metrics', () =>
    ops.noGrad(() => {
      const image = ops.clamp(output, { min: -1, max: 1 });
      const embed = (images: Tensor) => identity.forward(cropFace(images, identity.inputSize));
      return {
        l2: ops.mean(ops.square(ops.sub(image, target)), { axes: [1, 2, 3] }),
        lpips: perceptual.distance(perceptual.features(image), perceptual.features(target)),
        msssim: msssimHyperstyle(image, target),
        id: ops.sum(ops.mul(embed(image), embed(target)), { axes: [1] }),
      };
    }),
  );
}

/** Reads metrics back. */
export async function readMetrics(metrics: ImageMetrics<Tensor>): Promise<ImageMetrics> {
  const { l2, lpips, msssim, id } = metrics;
  const values = await Promise.all([l2, lpips, msssim, id].map(metric => metric.read()));
  return { l2: values[0], lpips: values[1], msssim: values[2], id: values[3] };
}

/** Mean and standard deviation (of the sample, n - 1) of finite values; NaN for none. */
export function meanAndDeviation(values: ArrayLike<number>): { mean: number; deviation: number } {
  const finite = Array.from(values).filter(Number.isFinite);
  const mean = average(finite);
  const squares = finite.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / Math.max(1, finite.length - 1)) };
}

/** The mean of numbers; NaN for none. */
export function average(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
