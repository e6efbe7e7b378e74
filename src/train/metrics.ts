import { covariance, EigenvalueDecomposition, Matrix } from 'ml-matrix';
import * as ops from '../autograd/index.ts';
import type { PerceptualDistance } from '../models/lpips.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { cropFace } from './losses.ts';
import { msssimHyperstyle } from './ssim.ts';

// Pairs of images

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

function average(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

// Distributions of images

/** Feature vectors, one a row: [rows, values.length / rows]. */
export interface Features {
  readonly rows: number;
  readonly values: ArrayLike<number>;
}

function toMatrix({ rows, values }: Features): Matrix {
  return Matrix.from1DArray(rows, values.length / rows, values as ArrayLike<number> & number[]);
}

/**
 * The Fréchet distance between the Gaussians of two feature sets, ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½) (Heusel et al.
 * 2017). It is biased upwards for small sets. With features that the project trained itself it is 'FID-like(self)'.
 */
export function frechetDistance(a: Features, b: Features): number {
  const [x, y] = [toMatrix(a), toMatrix(b)];
  const difference = Matrix.sub(Matrix.rowVector(x.mean('column')), Matrix.rowVector(y.mean('column')));
  const [s1, s2] = [covariance(x), covariance(y)];
  // (Σ₁ Σ₂)^½ has the trace of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric.
  const root = squareRoot(s1);
  const product = root.mmul(s2).mmul(root);
  const trace = eigen(product).values.reduce((sum, value) => sum + Math.sqrt(value), 0);
  return difference.norm() ** 2 + s1.trace() + s2.trace() - 2 * trace;
}

/**
 * Eigenvalues (negative ones, which are rounding errors of a covariance, as 0) and eigenvectors of a symmetric matrix.
 */
function eigen(matrix: Matrix): { values: number[]; vectors: Matrix } {
  const symmetric = Matrix.add(matrix, matrix.transpose()).mul(0.5);
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(symmetric, { assumeSymmetric: true });
  return { values: realEigenvalues.map(value => Math.max(0, value)), vectors: eigenvectorMatrix };
}

function squareRoot(matrix: Matrix): Matrix {
  const { values, vectors } = eigen(matrix);
  return vectors.mmul(Matrix.diag(values.map(Math.sqrt))).mmul(vectors.transpose());
}

/**
 * The kernel distance of two feature sets: the unbiased estimate of the squared maximum mean discrepancy with the
 * kernel (⟨x, y⟩ / d + 1)³ (Bińkowski et al. 2018). It can be negative. With features of our own it is
 * 'KID-like(self)'.
 */
export function kernelDistance(a: Features, b: Features): number {
  const [x, y] = [toMatrix(a), toMatrix(b)];
  const kernel = (p: Matrix, q: Matrix) =>
    p
      .mmul(q.transpose())
      .div(p.columns)
      .add(1)
      .apply(function (this: Matrix, i, j) {
        this.set(i, j, this.get(i, j) ** 3);
      });
  const within = (p: Matrix) => {
    const values = kernel(p, p);
    return (values.sum() - values.trace()) / (p.rows * (p.rows - 1));
  };
  return within(x) + within(y) - (2 * kernel(x, y).sum()) / (x.rows * y.rows);
}

// Recognition

/** Similarities of pairs of faces, and whether each pair shows one person. */
export interface VerificationPairs {
  readonly similarities: ArrayLike<number>;
  readonly same: ArrayLike<boolean>;
}

const FOLDS = 10;

/**
 * The accuracy of telling by a threshold on the similarity whether two faces are of one person, by 10-fold
 * cross-validation: each fold is judged by the threshold that is best for the other nine (the protocol of LFW, Huang et
 * al. 2007).
 */
export function verificationAccuracy({ similarities, same }: VerificationPairs): number {
  const counts = { same: 0, different: 0 };
  // Each fold has its share of both kinds, however the pairs are ordered.
  const pairs = Array.from(similarities, (similarity, i) => ({
    similarity,
    same: same[i],
    fold: counts[same[i] ? 'same' : 'different']++ % FOLDS,
  }));
  let correct = 0;
  for (let fold = 0; fold < FOLDS; fold++) {
    const threshold = bestThreshold(pairs.filter(pair => pair.fold !== fold));
    const held = pairs.filter(pair => pair.fold === fold);
    correct += held.filter(pair => pair.similarity >= threshold === pair.same).length;
  }
  return correct / pairs.length;
}

/** The threshold that classifies the most pairs rightly, halfway between two neighbouring similarities. */
function bestThreshold(pairs: readonly { readonly similarity: number; readonly same: boolean }[]): number {
  const sorted = [...pairs].sort((a, b) => a.similarity - b.similarity);
  // Below every similarity: all pairs count as the same person.
  let right = sorted.filter(pair => pair.same).length;
  let best = right;
  let threshold = Number.NEGATIVE_INFINITY;
  sorted.forEach(({ similarity, same }, i) => {
    right += same ? -1 : 1;
    const next = sorted[i + 1]?.similarity ?? Number.POSITIVE_INFINITY;
    if (right > best && next > similarity) {
      best = right;
      threshold = next === Number.POSITIVE_INFINITY ? next : (similarity + next) / 2;
    }
  });
  return threshold;
}

/** The mean similarity of pairs of one person less that of pairs of two. */
export function similarityGap({ similarities, same }: VerificationPairs): number {
  const all = Array.from(similarities);
  return average(all.filter((_, i) => same[i])) - average(all.filter((_, i) => !same[i]));
}

/** The dot products of chosen pairs of rows: of unit vectors, their cosines. */
export function pairSimilarities(
  { rows, values }: Features,
  pairs: readonly (readonly [number, number])[],
): Float64Array {
  const length = values.length / rows;
  return Float64Array.from(pairs, ([i, j]) => {
    let dot = 0;
    for (let k = 0; k < length; k++) dot += values[i * length + k] * values[j * length + k];
    return dot;
  });
}

// Segmentation

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
