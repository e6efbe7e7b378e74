/** gain · (v if v > 0 else slope · v), of slope ≥ 0 and gain > 0. Default gain 1. */
export interface Activation {
  readonly slope: number;
  readonly gain?: number;
}

/** Refuses what would turn signs round: the derivatives take the sign of the input from the output. */
export function checkedActivation({ slope, gain = 1 }: Activation): Required<Activation> {
  if (!(slope >= 0)) throw new Error(`a slope of ${slope} is not possible: give 0 or more`);
  if (!(gain > 0)) throw new Error(`a gain of ${gain} is not possible: give more than 0`);
  return { slope, gain };
}
