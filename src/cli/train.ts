import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../io/errors.ts';
import { recipes } from '../train/recipes/index.ts';
import { parseConfig, type RunConfig } from '../train/runConfig.ts';
import type { Recipe } from '../train/training.ts';
import type { Verb } from './main.ts';
import { dashed, resolveOptions } from './options.ts';
import { checkOut, runTraining } from './run.ts';
import { userRecipe } from './userRecipe.ts';

/** Settings with a flag of their own; the others are reached by --set. */
const FLAGS = [
  'seed',
  'steps',
  'minutes',
  'batch',
  'lr',
  'saveEvery',
  'sampleEvery',
  'keep',
  'data',
  'size',
  'stages',
  'abort',
  'abortAt',
  'threshold',
  'window',
];

export const verb: Verb = {
  usage: `train RECIPE|FILE.ts ${FLAGS.map(flag => `[--${dashed(flag)} …]`).join(' ')} [--config FILE] [--set key=value] [--out DIR] [--resume DIR] [--adapter NAME]`,
  about: `Trains: ${Object.keys(recipes).join(', ')}, or a recipe of your own.`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        ...Object.fromEntries(FLAGS.map(flag => [dashed(flag), { type: 'string' as const }])),
        config: { type: 'string' },
        set: { type: 'string', multiple: true },
        out: { type: 'string' },
        resume: { type: 'string' },
        adapter: { type: 'string' },
      },
    });
    const given = values as Record<string, string | undefined> & { set?: string[] };
    const flags = Object.fromEntries(FLAGS.map(flag => [flag, given[dashed(flag)]]));
    if (positionals.length > 1) throw new UserError(`train: one recipe at a time, got ${positionals.join(', ')}`);
    const resumed = given.resume === undefined ? undefined : await readRun(given.resume);
    const name = positionals[0] ?? resumed?.recipe;
    if (name === undefined) {
      const list = Object.values(recipes).map(recipe => `  ${recipe.name.padEnd(14)}${recipe.about}`);
      throw new UserError(
        `train: say what to train: ${Object.keys(recipes).join(', ')}, or a file\n${list.join('\n')}`,
      );
    }
    if (resumed && positionals[0] !== undefined && resumed.recipe !== positionals[0]) {
      throw new UserError(
        `--resume ${given.resume}: that run is of the recipe '${resumed.recipe}', not '${positionals[0]}'`,
      );
    }
    const recipe = await findRecipe(name);
    const config = given.config ?? (given.resume === undefined ? undefined : join(given.resume, 'config.json'));
    const options = await resolveOptions(name, recipe.defaults, { config, flags, set: given.set ?? [] });
    if (given.resume === undefined) checkOut(given.out);
    return runTraining({ recipe, name, options, out: given.resume ?? given.out, adapter: given.adapter });
  },
};

/** A recipe of ours by name, or the default export of the user's file. */
async function findRecipe(name: string): Promise<Recipe> {
  if (Object.hasOwn(recipes, name)) return recipes[name];
  if (/\.[cm]?[jt]s$/.test(name)) return userRecipe(name);
  throw new UserError(
    `train: there is no recipe '${name}'; there are ${Object.keys(recipes).join(', ')}, or give a file`,
  );
}

async function readRun(folder: string): Promise<RunConfig> {
  const path = join(folder, 'config.json');
  if (!existsSync(path)) throw new UserError(`--resume ${folder}: there is no run (no config.json)`);
  return parseConfig(await readFile(path, 'utf8'), path);
}
