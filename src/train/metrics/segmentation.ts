/** How well a parser labels pixels. */
import { meanAndDeviation } from './pairs.ts';

/** The class with the highest logit at each pixel of [N, C, H, W], the first of equals: [N, H, W]. */
export function labelMap(logits: ArrayLike<number>, shape: readonly number[]): Uint8Array {
  const [n, classes, height, width] = shape;
  const plane = height * width;
  return Uint8Array.from({ length: n * plane }, (_, i) => {
    const start = Math.floor(i / plane) * classes * plane + (i % plane);
    let best = 0;
    for (let c = 1; c < classes; c++) {
      if (logits[start + c * plane] > logits[start + best * plane]) best = c;
    }
    return best;
  });
}

/**
 * Intersection over union of each class over all pixels, NaN for a class that is in neither map, and the mean over the
 * others.
 */
export function meanIoU(
  predicted: ArrayLike<number>,
  truth: ArrayLike<number>,
  classes: number,
): { mean: number; perClass: number[] } {
  const intersection = new Float64Array(classes);
  const total = new Float64Array(classes);
  for (let i = 0; i < truth.length; i++) {
    total[predicted[i]]++;
    total[truth[i]]++;
    if (predicted[i] === truth[i]) intersection[truth[i]]++;
  }
  const perClass = Array.from(intersection, (common, c) => common / (total[c] - common));
  return { mean: meanAndDeviation(perClass).mean, perClass };
}
