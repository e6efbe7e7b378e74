import { UserError } from '../io/errors.ts';
import type { Options, OptionValue, Recipe } from './training.ts';

/** Settings that every recipe has, with their defaults; a recipe's own defaults come over them. */
export const commonDefaults: Options = {
  seed: 1,
  minutes: null,
  saveEvery: 200,
  sampleEvery: 100,
  keep: 2,
};

/** A value that someone gave for a setting: a text from a flag or a field, or what a file says. */
export interface Assignment {
  readonly key: string;
  readonly value: unknown;
  /** Where it was given, for messages: a flag, a file, a field. */
  readonly where: string;
}

/**
 * Values that must be whole numbers, the least one and the largest: a seed has 32 bits, no batch is larger than fits in
 * memory.
 */
const wholeNumbers: Record<string, readonly [number, number]> = {
  seed: [0, 2 ** 32 - 1],
  steps: [1, 1e9],
  batch: [1, 65536],
  microBatch: [1, 65536],
  saveEvery: [0, 1e9],
  sampleEvery: [0, 1e9],
  metricsEvery: [0, 1e9],
  metricsCount: [1, 1e6],
  r1Every: [0, 1e9],
  pathLengthEvery: [0, 1e9],
  mbstdGroup: [1, 65536],
  mappingLayers: [1, 64],
  keep: [1, 1e9],
};

/** Values that must be more than 0. */
const positive = ['lr', 'minutes', 'augmentKimg', 'convClamp', 'fmaps'];

/** Values that must not be less than 0. */
const notNegative = ['gamma', 'pathLengthWeight', 'mixing', 'emaKimg', 'emaRamp'];

/** Where the settings of a recipe come from. */
export type Defaults = Pick<Recipe, 'defaults' | 'derive'>;

/**
 * The settings of a run: the recipe's defaults, then what was given, in its order. Texts become what the default is.
 *
 * @throws UserError for a key that the recipe does not have, or a value that does not fit.
 */
export function assignOptions(
  recipe: string,
  { defaults, derive }: Defaults,
  assignments: readonly Assignment[],
): Options {
  const initial: Options = { ...commonDefaults, ...defaults };
  const given: Options = {};
  for (const { key, value, where } of assignments) {
    if (!Object.hasOwn(initial, key)) {
      throw new UserError(`${where}: ${recipe} has no setting '${key}'; it has ${Object.keys(initial).join(', ')}`);
    }
    given[key] = convert(key, value, initial[key], where);
  }
  return { ...initial, ...derive?.(given), ...given };
}

function convert(key: string, value: unknown, fallback: OptionValue, where: string): OptionValue {
  // A setting that may be left open is a number where it is not.
  if (fallback === null && (value === null || value === 'null')) return null;
  if (fallback === null || typeof fallback === 'number') {
    const number = typeof value === 'number' ? value : Number(String(value).trim() || Number.NaN);
    if (!Number.isFinite(number)) throw new UserError(`${where}: '${value}' is not a number`);
    const [least, most] = wholeNumbers[key] ?? [];
    if (least !== undefined && !(Number.isInteger(number) && number >= least && number <= most)) {
      throw new UserError(`${where}: ${value} is not possible; give a whole number from ${least} to ${most}`);
    }
    if (positive.includes(key) && number <= 0) {
      throw new UserError(`${where}: ${value} is not possible; give a number over 0`);
    }
    if (notNegative.includes(key) && number < 0) {
      throw new UserError(`${where}: ${value} is not possible; give 0 or more`);
    }
    return number;
  }
  if (typeof fallback === 'boolean') {
    if (value === true || value === 'true') return true;
    if (value === false || value === 'false') return false;
    throw new UserError(`${where}: '${value}' is neither true nor false`);
  }
  if (typeof value !== 'string') throw new UserError(`${where}: ${JSON.stringify(value)} is not a text`);
  return value;
}
