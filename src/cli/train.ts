import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../io/errors.ts';
import { recipes } from '../train/recipes/index.ts';
import { configNames } from '../train/recipes/stylegan2/options.ts';
import { parseConfig, type RunConfig } from '../train/runConfig.ts';
import type { Verb } from './main.ts';
import { dashed, resolveOptions } from './options.ts';
import { planRun, runTraining } from './run.ts';
import { findRecipe } from './userRecipe.ts';

/** Settings with a flag of their own; the others are reached by --set. */
const FLAGS: Record<string, string> = {
  seed: 'of every random number',
  steps: 'optimiser steps',
  minutes: 'ends the run, with its report, after so long',
  batch: 'images a step; lower it where memory runs out',
  lr: 'learning rate',
  saveEvery: 'steps between checkpoints; 0 for one at the end',
  sampleEvery: 'steps between sample grids; 0 for none',
  keep: 'checkpoints that stay',
  metricsEvery: 'steps between metrics of a StyleGAN2, as FID-like(self); 0 for none',
  metrics: 'which: of fid, kid, pr (precision and recall) and ppl (perceptual path length)',
  inception: 'weights of Inception-v3 for FID and KID, in place of the shipped network',
  data: "'faces', or a folder or zip of images",
  mirror: 'takes every image of a folder or zip mirrored too',
  size: 'pixels of an image side',
  from: 'weights to start from: a file or a run (transfer learning)',
  microBatch: 'images that are computed at once; a batch is summed up of as many as it needs',
  augment: 'what the discriminator sees: none changes nothing, ada augments as far as it overfits',
  precision: 'f32, or f16 at the highest resolutions where the adapter has it',
  freezeD: 'layers of the discriminator, from the image on, that are not trained',
  stages: 'stages at the start',
  abort: 'who drops stages: off, paper-relative, paper-absolute or robust',
  abortAt: 'steps at which a stage is dropped whatever the losses, as 300,350',
  threshold: 'the loss that paper-absolute compares with',
  window: 'steps of a mean that robust decides by',
  lpipsFile:
    'LPIPS, torchvision trunk and linear layers as alexnet.pth,alex.pth, or a trunk of recipe perceptual, for the loss',
  idFile: 'face recognition network for the loss',
  parsingFile: 'face parsing network for the loss',
};

/** Options of the command itself. */
const OPTIONS: Record<string, string> = {
  '--set KEY=VALUE': 'any setting of the recipe; config.json of a run lists them all',
  '--config NAME|FILE': `for stylegan2 one of ${configNames.join(', ')}; for any recipe a file of settings, as config.json of a run`,
  '--out DIR': 'the folder of the run; by default the next one under runs/',
  '--resume DIR|FILE': 'goes on with a run from its newest checkpoint; a file of weights is as --from FILE',
  '--dry-run': 'trains and writes nothing: says what memory, work, dispatches and pipelines a step takes',
  '--tune': 'first measures which variant of each kernel is fastest here, once for each adapter',
  '--adapter NAME': 'gpu, lavapipe, swiftshader or a part of a name',
};

/** lpipsFile is given by --lpips, as the file is what a flag is for: its weight in the loss is set by --set. */
const flagName = (key: string) => dashed(key).replace(/-file$/, '');

/** Settings whose flag says true by itself. */
const SWITCHES = ['mirror'];

/** Lines of a name and what it is. */
function list(entries: readonly (readonly [string, string])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, about]) => `  ${name.padEnd(width)}  ${about}`).join('\n');
}

export const verb: Verb = {
  usage: 'train RECIPE|FILE.ts [OPTION VALUE]…',
  about: [
    'Trains one of these, or a recipe of your own:',
    list(Object.values(recipes).map(({ name, about }) => [name, about])),
    'Options, of which a recipe takes those that it has settings for:',
    list([
      ...Object.entries(FLAGS).map(([key, about]) => [`--${flagName(key)}`, about] as const),
      ...Object.entries(OPTIONS),
    ]),
  ].join('\n'),
  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        ...Object.fromEntries(Object.keys(FLAGS).map(flag => [flagName(flag), flagType(flag)])),
        config: { type: 'string' },
        set: { type: 'string', multiple: true },
        out: { type: 'string' },
        resume: { type: 'string' },
        tune: { type: 'boolean' },
        'dry-run': { type: 'boolean' },
        adapter: { type: 'string' },
      },
    });
    const given = values as Record<string, string | undefined> & { set?: string[] };
    const flags = Object.fromEntries(Object.keys(FLAGS).map(flag => [flag, given[flagName(flag)]?.toString()]));
    if (positionals.length > 1) throw new UserError(`train: one recipe at a time, got ${positionals.join(', ')}`);
    if (given.resume !== undefined && statSync(given.resume, { throwIfNoEntry: false })?.isFile()) {
      if (flags.from !== undefined) {
        throw new UserError(`--resume ${given.resume} is as --from: leave out --from ${flags.from}`);
      }
      flags.from = given.resume;
      given.resume = undefined;
    }
    if (given.resume !== undefined && given.out !== undefined) {
      throw new UserError(`--resume ${given.resume} goes on in that folder: leave out --out ${given.out}`);
    }
    if (given.resume !== undefined && flags.from !== undefined) {
      throw new UserError(`--resume ${given.resume} goes on with that run's weights: leave out --from ${flags.from}`);
    }
    const resumed = given.resume === undefined ? undefined : await readRun(given.resume);
    const name = positionals[0] ?? resumed?.recipe;
    if (name === undefined) {
      throw new UserError(`train: say what to train: ${Object.keys(recipes).join(', ')}, or a file (see --help)`);
    }
    if (resumed && positionals[0] !== undefined && resumed.recipe !== positionals[0]) {
      throw new UserError(
        `--resume ${given.resume}: that run is of the recipe '${resumed.recipe}', not '${positionals[0]}'`,
      );
    }
    const recipe = await findRecipe('train', name);
    // A recipe's own setting of that name, or a file.
    const isName = given.config !== undefined && Object.hasOwn(recipe.defaults, 'config') && !isPath(given.config);
    if (isName) flags.config = given.config;
    const file = isName ? undefined : given.config;
    const config = file ?? (given.resume === undefined ? undefined : join(given.resume, 'config.json'));
    const options = await resolveOptions(name, recipe, { config, flags, set: given.set ?? [] });
    const { out, resume, adapter } = given;
    const run = { recipe, name, options, out, resume, adapter, resumed, tune: values.tune === true };
    return values['dry-run'] === true ? planRun(run) : runTraining(run);
  },
};

function flagType(flag: string) {
  return { type: SWITCHES.includes(flag) ? ('boolean' as const) : ('string' as const) };
}

const isPath = (text: string) => text.endsWith('.json') || /[/\\]/.test(text);

async function readRun(folder: string): Promise<RunConfig> {
  const path = join(folder, 'config.json');
  if (!existsSync(folder)) throw new UserError(`--resume ${folder}: there is no run and no file of weights`);
  if (!existsSync(path)) throw new UserError(`--resume ${folder}: there is no run (no config.json)`);
  return parseConfig(await readFile(path, 'utf8'), path);
}
