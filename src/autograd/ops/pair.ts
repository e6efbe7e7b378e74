/** [vertical, horizontal] */
export type Pair = readonly [number, number];

/** One number for both axes of an image, or one for each. */
export function pair(value: number | Pair): Pair {
  return typeof value === 'number' ? [value, value] : value;
}
