/** How well a recognition network tells people apart. */
import type { Features } from './frechet.ts';
import { average } from './pairs.ts';

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
