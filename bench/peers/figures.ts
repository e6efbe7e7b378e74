/** The arithmetic of the comparison: nothing here runs anything. */

export interface Comparison {
  /** Milliseconds of ours, the median of the rounds; null where ours failed. */
  readonly ours: number | null;
  /** Milliseconds of each peer; null where it has none that counts. */
  readonly peers: Readonly<Record<string, number | null>>;
  /** The peer with the smallest median. */
  readonly fastest: string | null;
  /**
   * How many times as fast as that peer ours is: the median, over the rounds, of its time by ours of the same round.
   */
  readonly ratio: number | null;
  /** The first and the third quartile of the rounds' ratios. */
  readonly spread: readonly [number, number] | null;
  readonly target: number;
  /** Whether the lower end of the spread reaches the target. */
  readonly met: boolean;
}

/**
 * Compares the times of the rounds, in milliseconds: entry i of each list is of round i, and all lists are as long.
 * Without a time of ours or of any peer there is no ratio, and the target is not met.
 */
export function compare(
  ours: readonly number[] | null,
  peers: Readonly<Record<string, readonly number[] | null>>,
  target: number,
): Comparison {
  const medians = Object.fromEntries(Object.entries(peers).map(([name, times]) => [name, times && median(times)]));
  const names = Object.keys(medians).filter(name => medians[name] !== null);
  const fastest = names.length > 0 ? names.reduce((a, b) => (medians[b]! < medians[a]! ? b : a)) : null;
  const compared = { ours: ours && median(ours), peers: medians, fastest, target };
  if (!ours || !fastest) return { ...compared, ratio: null, spread: null, met: false };
  const ratios = peers[fastest]!.map((ms, round) => ms / ours[round]);
  const spread = [quantile(ratios, 0.25), quantile(ratios, 0.75)] as const;
  return { ...compared, ratio: median(ratios), spread, met: spread[0] >= target };
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which a fraction `q` of the values lies, interpolated linearly between the two nearest. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}
