import type { Features } from './frechet.ts';
import { type Multiply, tiles } from './products.ts';

/** Neighbours that span the manifold of a set. */
const NEIGHBOURS = 3;

export interface PrecisionRecall {
  /** The share of generated images that lie within the manifold of the real ones. */
  readonly precision: number;
  /** The share of real images that lie within the manifold of the generated ones. */
  readonly recall: number;
}

/**
 * Improved precision and recall (Kynkäänniemi et al. 2019): the manifold of a set is the union of the balls around its
 * points that reach to the third nearest other point of the set.
 */
export async function precisionRecall(
  multiply: Multiply,
  real: Features,
  generated: Features,
): Promise<PrecisionRecall> {
  const least = Math.min(real.rows, generated.rows);
  if (least <= NEIGHBOURS)
    throw new Error(`precision and recall need ${NEIGHBOURS + 1} points of either, not ${least}`);
  const radii = { real: await squaredRadii(multiply, real), generated: await squaredRadii(multiply, generated) };
  const [precise, recalled] = [new Uint8Array(generated.rows), new Uint8Array(real.rows)];
  await squaredDistances(multiply, real, generated, (i, j, squared) => {
    if (squared <= radii.real[i]) precise[j] = 1;
    if (squared <= radii.generated[j]) recalled[i] = 1;
  });
  const share = (found: Uint8Array) => found.reduce((a, b) => a + b, 0) / found.length;
  return { precision: share(precise), recall: share(recalled) };
}

/** The squared distance of each point to its third nearest other one. */
async function squaredRadii(multiply: Multiply, set: Features): Promise<Float64Array> {
  // Each row's nearest ones so far, ascending.
  const nearest = new Float64Array(set.rows * NEIGHBOURS).fill(Number.POSITIVE_INFINITY);
  await squaredDistances(multiply, set, set, (i, j, squared) => {
    const start = i * NEIGHBOURS;
    let at = start + NEIGHBOURS - 1;
    if (i === j || squared >= nearest[at]) return;
    for (; at > start && nearest[at - 1] > squared; at--) nearest[at] = nearest[at - 1];
    nearest[at] = squared;
  });
  return Float64Array.from({ length: set.rows }, (_, i) => nearest[(i + 1) * NEIGHBOURS - 1]);
}

/** Tells ‖aᵢ - bⱼ‖² for every pair, as ‖aᵢ‖² + ‖bⱼ‖² - 2 ⟨aᵢ, bⱼ⟩. */
async function squaredDistances(
  multiply: Multiply,
  a: Features,
  b: Features,
  tell: (i: number, j: number, squared: number) => void,
): Promise<void> {
  const [first, second] = [squaredNorms(a), squaredNorms(b)];
  for (const rows of tiles(a)) {
    for (const columns of tiles(b)) {
      const { values, stride } = await multiply(rows, columns);
      for (let i = 0; i < rows.rows; i++) {
        const own = first[rows.first + i];
        for (let j = 0; j < columns.rows; j++) {
          tell(rows.first + i, columns.first + j, own + second[columns.first + j] - 2 * values[i * stride + j]);
        }
      }
    }
  }
}

function squaredNorms({ rows, values }: Features): Float64Array {
  const length = values.length / rows;
  const norms = new Float64Array(rows);
  for (let i = 0; i < values.length; i++) norms[Math.floor(i / length)] += values[i] ** 2;
  return norms;
}
