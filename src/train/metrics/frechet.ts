import { EigenvalueDecomposition, Matrix } from 'ml-matrix';

/** Feature vectors, one a row: [rows, values.length / rows]. */
export interface Features {
  readonly rows: number;
  readonly values: ArrayLike<number>;
}

/** Rows that are gathered at a time, so that the columns of a block stay in the cache. */
const BLOCK = 64;

/**
 * Mean and covariance of features, in f64. The covariance is the sample's, divided by N - 1, as NumPy's and so
 * pytorch-fid's is; NVlabs' divides by N.
 */
export class Gaussian {
  readonly mean: Float64Array;
  readonly covariance: Matrix;
  private squareRoot: Matrix | undefined;

  constructor(features: Features) {
    const { rows, values } = features;
    const length = values.length / rows;
    this.mean = new Float64Array(length);
    for (let i = 0; i < values.length; i++) this.mean[i % length] += values[i] / rows;
    this.covariance = covarianceOf(features, this.mean);
  }

  /** Σ^½ */
  get root(): Matrix {
    if (!this.squareRoot) {
      const { values, vectors } = eigen(this.covariance);
      this.squareRoot = vectors.mmul(Matrix.diag(values.map(Math.sqrt))).mmul(vectors.transpose());
    }
    return this.squareRoot;
  }
}

function covarianceOf({ rows, values }: Features, mean: Float64Array): Matrix {
  const length = mean.length;
  const sums = new Float64Array(length * length);
  const columns = new Float64Array(length * BLOCK);
  for (let first = 0; first < rows; first += BLOCK) {
    const n = Math.min(BLOCK, rows - first);
    for (let i = 0; i < length; i++) {
      for (let s = 0; s < n; s++) columns[i * BLOCK + s] = values[(first + s) * length + i] - mean[i];
    }
    for (let i = 0; i < length; i++) {
      for (let j = i; j < length; j++) {
        let sum = 0;
        for (let s = 0; s < n; s++) sum += columns[i * BLOCK + s] * columns[j * BLOCK + s];
        sums[i * length + j] += sum;
      }
    }
  }
  const covariance = new Matrix(length, length);
  for (let i = 0; i < length; i++) {
    for (let j = i; j < length; j++) {
      const value = sums[i * length + j] / (rows - 1);
      covariance.set(i, j, value);
      covariance.set(j, i, value);
    }
  }
  return covariance;
}

/**
 * Eigenvalues (negative ones, which are rounding errors of a covariance, as 0) and eigenvectors of a symmetric matrix.
 */
function eigen(matrix: Matrix): { values: number[]; vectors: Matrix } {
  const symmetric = Matrix.add(matrix, matrix.transpose()).mul(0.5);
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(symmetric, { assumeSymmetric: true });
  return { values: realEigenvalues.map(value => Math.max(0, value)), vectors: eigenvectorMatrix };
}

/**
 * The Fréchet distance of two Gaussians, ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½) (Heusel et al. 2017): FID on the
 * features of Inception-v3. It is biased upwards for small sets.
 */
export function frechetDistance(a: Gaussian, b: Gaussian): number {
  const shift = a.mean.reduce((sum, value, i) => sum + (value - b.mean[i]) ** 2, 0);
  // (Σ₁ Σ₂)^½ has the trace of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric.
  const product = a.root.mmul(b.covariance).mmul(a.root);
  const trace = eigen(product).values.reduce((sum, value) => sum + Math.sqrt(value), 0);
  return shift + a.covariance.trace() + b.covariance.trace() - 2 * trace;
}
