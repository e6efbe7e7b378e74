/** How far two results are from each other. */
export interface Difference {
  /** NaN where one of the results has a NaN. */
  readonly maxAbsolute: number;
  /** Of elements that are not 0. */
  readonly maxRelative: number;
  /** Elements by their distance in units of the last place of an f32. */
  readonly ulps: readonly { readonly upTo: number; readonly count: number }[];
}

const BOUNDS = [0, 1, 2, 4, 16, 256, Number.POSITIVE_INFINITY];

export function difference(a: Float32Array, b: Float32Array): Difference {
  const counts = BOUNDS.map(() => 0);
  const [left, right] = [a, b].map(values => new Int32Array(values.buffer, values.byteOffset, values.length));
  let [maxAbsolute, maxRelative] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const absolute = a[i] === b[i] ? 0 : Math.abs(a[i] - b[i]);
    maxAbsolute = Math.max(maxAbsolute, absolute);
    const size = Math.max(Math.abs(a[i]), Math.abs(b[i]));
    if (size > 0) maxRelative = Math.max(maxRelative, absolute / size);
    const ulps = Math.abs(place(left[i]) - place(right[i]));
    counts[BOUNDS.findIndex(bound => ulps <= bound)]++;
  }
  return { maxAbsolute, maxRelative, ulps: BOUNDS.map((upTo, i) => ({ upTo, count: counts[i] })) };
}

/** The position of an f32 with these bits among all, from the least to the largest; both zeros are one. */
function place(bits: number): number {
  return bits < 0 ? -(bits & 0x7fffffff) : bits;
}

export function differenceText({ maxAbsolute, maxRelative, ulps }: Difference): string {
  const total = ulps.reduce((sum, { count }) => sum + count, 0);
  const lines = ulps
    .filter(({ count }) => count > 0)
    .map(({ upTo, count }) => {
      const name = upTo === 0 ? 'equal' : upTo === Number.POSITIVE_INFINITY ? 'more' : `up to ${upTo} ulp`;
      return `  ${name.padEnd(14)} ${String(count).padStart(9)}  ${((100 * count) / total).toFixed(1).padStart(5)} %`;
    });
  return [`largest difference ${maxAbsolute.toPrecision(3)}, relative ${maxRelative.toPrecision(3)}`, ...lines].join(
    '\n',
  );
}
