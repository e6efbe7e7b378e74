import { defer } from '../autograd/effects.ts';
import * as ops from '../autograd/index.ts';
import { constant } from '../models/layers.ts';
import { updateRunningAverage } from '../runtime/kernels/runningAverage.ts';
import type { Tensor } from '../runtime/tensor.ts';

/** The step by which the running mean of path lengths follows a batch's. */
const PATH_LENGTH_DECAY = 0.01;

/**
 * The discriminator's logistic loss (Goodfellow et al. 2014): mean softplus(-D(real)) + mean softplus(D(fake)), of
 * logits.
 */
export function dLogistic(real: Tensor, fake: Tensor): Tensor {
  return ops.add(dLogisticReal(real), dLogisticFake(fake));
}

/** Its first term, mean softplus(-D(real)). */
export function dLogisticReal(real: Tensor): Tensor {
  return ops.mean(ops.softplus(ops.neg(real)));
}

/** Its second term, mean softplus(D(fake)). */
export function dLogisticFake(fake: Tensor): Tensor {
  return ops.mean(ops.softplus(fake));
}

/** The generator's non-saturating loss (Goodfellow et al. 2014): mean softplus(-D(fake)), of logits. */
export function gNonSaturating(fake: Tensor): Tensor {
  return ops.mean(ops.softplus(ops.neg(fake)));
}

/**
 * The R1 penalty (Mescheder et al. 2018, arXiv 1801.04406, equation 9) without its factor γ/2: the mean over images
 * [B, 3, S, S] of the squared norm of the gradient of the sum of logits in the image. Differentiable in the
 * discriminator's weights.
 */
export function r1Penalty(
  discriminate: (images: Tensor) => Tensor,
  images: Tensor,
): { penalty: Tensor; logits: Tensor } {
  const x = ops.variable(images);
  const logits = discriminate(x);
  const [gradient] = ops.grad(ops.sum(logits), [x], { createGraph: true });
  return { penalty: ops.mul(ops.sum(ops.square(gradient)), 1 / images.shape[0]), logits };
}

/**
 * Path length regularisation (Karras et al. 2020, section 3.2, equation 4) without its weight. With J the gradient of
 * Σ image · y / √(H W) in the latents and y normal noise of the image's shape:
 *
 *     ℓ_b = √(mean over latents of ‖J_b‖²),   a' = a + 0.01 (mean ℓ - a),   penalty = mean (ℓ_b - a')²
 *
 * `latents` [B, n, D] are what `synthesize` makes images of; `average` [1] holds a and moves to a' when the step is
 * known to be finite. The penalty depends on ℓ through a' too, as in the reference implementations.
 */
export function pathLengthPenalty(
  synthesize: (latents: Tensor) => Tensor,
  latents: Tensor,
  noise: Tensor,
  average: Tensor,
): { penalty: Tensor; mean: Tensor; lengths: Tensor } {
  const w = ops.isTracked(latents) ? latents : ops.variable(latents);
  const images = synthesize(w);
  const [, , height, width] = images.shape;
  const projected = ops.mul(ops.sum(ops.mul(images, noise)), 1 / Math.sqrt(height * width));
  const [jacobian] = ops.grad(projected, [w], { createGraph: true });
  const lengths = ops.sqrt(ops.mul(ops.sum(ops.square(jacobian), { axes: [1, 2] }), 1 / latents.shape[1]));
  const batchMean = ops.mean(lengths);
  const mean = ops.add(ops.mul(average, 1 - PATH_LENGTH_DECAY), ops.mul(batchMean, PATH_LENGTH_DECAY));
  defer([batchMean], gate =>
    updateRunningAverage(average, batchMean, constant(average.device, PATH_LENGTH_DECAY), gate),
  );
  return { penalty: ops.mean(ops.square(ops.sub(lengths, mean))), mean, lengths };
}
