import { readFile } from 'node:fs/promises';
import { UserError } from '../io/errors.ts';
import type { Options, OptionValue } from '../train/training.ts';

/** Settings that every recipe has, with their defaults; a recipe's own defaults come over them. */
export const commonDefaults: Options = {
  seed: 1,
  minutes: null,
  saveEvery: 200,
  sampleEvery: 100,
  keep: 2,
};

/** Values that must be whole numbers from this on. */
const atLeast: Record<string, number> = { steps: 1, batch: 1, saveEvery: 0, sampleEvery: 0, keep: 1 };

/**
 * The settings of a run: defaults, then the file given by --config, then flags and --set key=value. Texts become what the
 * default is.
 *
 * @throws UserError for a key that the recipe does not have, or a value that does not fit.
 */
export async function resolveOptions(
  recipe: string,
  defaults: Readonly<Options>,
  { config, flags, set }: { config?: string; flags: Record<string, string | undefined>; set: readonly string[] },
): Promise<Options> {
  const options: Options = { ...commonDefaults, ...defaults };
  const assign = (key: string, value: unknown, where: string) => {
    if (!Object.hasOwn(options, key)) {
      throw new UserError(`${where}: ${recipe} has no setting '${key}'; it has ${Object.keys(options).join(', ')}`);
    }
    options[key] = convert(key, value, defaults[key] ?? commonDefaults[key] ?? null, where);
  };
  if (config !== undefined) {
    for (const [key, value] of Object.entries(await readConfig(config, recipe))) assign(key, value, config);
  }
  for (const [key, value] of Object.entries(flags)) if (value !== undefined) assign(key, value, `--${dashed(key)}`);
  for (const pair of set) {
    const at = pair.indexOf('=');
    if (at < 1) throw new UserError(`--set ${pair}: write --set key=value`);
    assign(pair.slice(0, at), pair.slice(at + 1), `--set ${pair.slice(0, at)}`);
  }
  return options;
}

/** The options in a config.json, which may be that of a run: { recipe, options }. */
async function readConfig(path: string, recipe: string): Promise<Options> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new UserError(`--config ${path}: ${(error as Error).message}`);
  }
  if (!parsed || typeof parsed !== 'object') throw new UserError(`--config ${path}: not a JSON object`);
  const run = parsed as { recipe?: string; options?: Options };
  if (run.recipe !== undefined && run.recipe !== recipe) {
    throw new UserError(`--config ${path}: is of the recipe '${run.recipe}', not '${recipe}'`);
  }
  return run.options ?? (parsed as Options);
}

function convert(key: string, value: unknown, fallback: OptionValue, where: string): OptionValue {
  if (value === null || value === 'null') return null;
  if (typeof fallback === 'number' || key === 'minutes' || key === 'threshold') {
    const number = typeof value === 'number' ? value : Number(String(value).trim() || Number.NaN);
    if (!Number.isFinite(number)) throw new UserError(`${where}: '${value}' is not a number`);
    const least = atLeast[key];
    if (least !== undefined && (!Number.isInteger(number) || number < least)) {
      throw new UserError(`${where}: ${value} is not possible; give a whole number from ${least} on`);
    }
    return number;
  }
  if (typeof fallback === 'boolean') {
    if (value === true || value === 'true') return true;
    if (value === false || value === 'false') return false;
    throw new UserError(`${where}: '${value}' is neither true nor false`);
  }
  return String(value);
}

/** saveEvery → save-every, as the flags are written. */
export function dashed(key: string): string {
  return key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);
}
