import { readFile } from 'node:fs/promises';
import { UserError } from '../io/errors.ts';
import { type Assignment, assignOptions, type Defaults } from '../train/options.ts';
import type { Options } from '../train/training.ts';

/**
 * The settings of a run: defaults, then the file given by --config, then flags and --set key=value.
 *
 * @throws UserError for a key that the recipe does not have, or a value that does not fit.
 */
export async function resolveOptions(
  recipe: string,
  defaults: Defaults,
  { config, flags, set }: { config?: string; flags: Record<string, string | undefined>; set: readonly string[] },
): Promise<Options> {
  const assignments: Assignment[] = [];
  if (config !== undefined) {
    for (const [key, value] of Object.entries(await readConfig(config, recipe))) {
      assignments.push({ key, value, where: config });
    }
  }
  for (const [key, value] of Object.entries(flags)) {
    if (value !== undefined) assignments.push({ key, value, where: `--${dashed(key)}` });
  }
  for (const pair of set) {
    const at = pair.indexOf('=');
    if (at < 1) throw new UserError(`--set ${pair}: write --set key=value`);
    assignments.push({ key: pair.slice(0, at), value: pair.slice(at + 1), where: `--set ${pair.slice(0, at)}` });
  }
  return assignOptions(recipe, defaults, assignments);
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

/** saveEvery → save-every, as the flags are written. */
export function dashed(key: string): string {
  return key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);
}
