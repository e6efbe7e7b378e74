import { parseArgs } from 'node:util';
import { UserError } from '../io/errors.ts';
import { Device } from '../runtime/device.ts';
import { sameVariant, variantText } from '../runtime/variants.ts';
import { commonDefaults } from '../train/options.ts';
import { TuningCache } from '../train/tune/cache.ts';
import { type TunedClass, type Tuning, tuneRecipe } from '../train/tune/tune.ts';
import type { Verb } from './main.ts';
import { dashed, resolveOptions } from './options.ts';
import type { TrainingRun } from './run.ts';
import { findRecipe } from './userRecipe.ts';

const BUDGET = 120;
/** What `npm start` trains. */
const RECIPE = 'e2style';
const BATCH = 8;

export const verb: Verb = {
  usage: 'tune [RECIPE|FILE.ts] [OPTION VALUE]…',
  about: [
    'Measures, for the convolutions and matrix products of a training step, which variant of their kernels is fastest',
    'on this adapter, and remembers it in $XDG_CACHE_HOME/wgrad/tuning.json (~/.cache/wgrad) for all runs. Options:',
    `  --budget SECONDS   begins nothing new after so long (${BUDGET})`,
    '  --SETTING VALUE    any setting of the recipe, as --batch 8 (see wgrad train --help): sizes decide what is fast',
    '  --json             prints one object',
    '  --adapter NAME     gpu, lavapipe, swiftshader or a part of a name',
    `Without a recipe it is ${RECIPE} with --batch ${BATCH}, what wgrad start trains. What was fastest on a CPU driver is not on a GPU:`,
    'tune where you train.',
  ].join('\n'),
  async run(args) {
    const named = args[0] !== undefined && !args[0].startsWith('-');
    const name = named ? args[0] : RECIPE;
    const recipe = await findRecipe('tune', name);
    const settings = Object.keys({ ...commonDefaults, ...recipe.defaults });
    const { values } = parseArgs({
      args: named ? args.slice(1) : args,
      options: {
        ...Object.fromEntries(settings.map(key => [dashed(key), { type: 'string' as const }])),
        budget: { type: 'string' },
        json: { type: 'boolean' },
        adapter: { type: 'string' },
      },
    });
    const budget = Number(values.budget ?? BUDGET);
    if (!(budget > 0 && Number.isFinite(budget))) {
      throw new UserError(`--budget ${values.budget} is not possible; give seconds over 0`);
    }
    const given = values as Record<string, string | undefined>;
    const flags = Object.fromEntries(settings.map(key => [key, given[dashed(key)]]));
    const defaults = named ? recipe.defaults : { ...recipe.defaults, batch: BATCH };
    const options = await resolveOptions(name, { ...recipe, defaults }, { flags, set: [] });

    const device = await Device.open({ adapter: values.adapter });
    try {
      const cache = await TuningCache.open(device);
      const { json } = values;
      if (!json) console.log(`${recipe.name} on ${device.adapter.name}, at most ${budget} s\n\n${heading}`);
      const progress = (tuned: TunedClass) => {
        if (!json) console.log(line(tuned));
      };
      const message = (text: string) => console.error(text);
      const tuning = await tuneRecipe(device, { recipe, options, budget, cache, message, progress });
      if (json) console.log(JSON.stringify(report(device, cache, tuning), null, 2));
      else console.log(`\n${summary(device, cache, tuning)}`);
      return 0;
    } finally {
      device.destroy();
    }
  },
};

/**
 * Before a run: measures what it meets and has not been measured here, on a device of its own. A run that goes on on its
 * adapter computes as it began, so that there is nothing to measure.
 */
export async function tuneFirst({ recipe, options, adapter, resumed }: TrainingRun): Promise<void> {
  const device = await Device.open({ adapter });
  try {
    if (resumed?.adapter === device.adapter.name) {
      console.log('--tune: nothing is measured, the run goes on with the variants that it began with');
      return;
    }
    const cache = await TuningCache.open(device);
    let told = performance.now();
    const tuning = await tuneRecipe(device, {
      recipe,
      options,
      budget: BUDGET,
      cache,
      onlyNew: true,
      message: text => console.log(text),
      progress(_, done, count) {
        if (performance.now() - told < 5000) return;
        told = performance.now();
        console.log(`tuning kernels: ${done} of ${count}`);
      },
    });
    if (tuning.classes.length > 0) console.log(summary(device, cache, tuning));
  } finally {
    device.destroy();
  }
}

const heading = `${'problem'.padEnd(58)}  times  default ms  fastest ms  variant`;

function times({ before, best, measured }: TunedClass): { default?: number; fastest?: number } {
  const ms = (text: string | undefined) => measured.find(({ variant }) => variantText(variant) === text)?.ms;
  return { default: ms(variantText(before)), fastest: best && ms(variantText(best)) };
}

function line(tuned: TunedClass): string {
  const { name, count, best, before } = tuned;
  const { default: old, fastest } = times(tuned);
  const numbers = [old, fastest].map(ms => (ms === undefined ? 'failed' : ms.toFixed(3)).padStart(10));
  const taken = !best ? 'none is right' : sameVariant(best, before) ? 'the default' : variantText(best);
  return `${name.padEnd(58)}  ${String(count).padStart(5)}  ${numbers.join('  ')}  ${taken}`;
}

/** Milliseconds that a step's kernels of the classes with both times take with the defaults, and with the fastest. */
function sums(classes: readonly TunedClass[]): { default: number; fastest: number } {
  const total = { default: 0, fastest: 0 };
  for (const tuned of classes) {
    const { default: old, fastest } = times(tuned);
    if (old === undefined || fastest === undefined) continue;
    total.default += old * tuned.count;
    total.fastest += fastest * tuned.count;
  }
  return total;
}

function summary(device: Device, cache: TuningCache, { classes, left, known }: Tuning): string {
  const total = sums(classes);
  const lines = [
    `${classes.length} classes of problems: ${total.default.toFixed(1)} ms with the defaults, ${total.fastest.toFixed(1)} ms with the fastest variants`,
  ];
  if (known > 0) lines.push(`${known} classes were measured before`);
  if (left.length > 0)
    lines.push(`no time was left for ${left.length} classes, which keep their variants: raise --budget`);
  if (classes.length > 0) lines.push(`written: ${cache.path}`);
  if (device.adapter.kind === 'cpu' || device.adapter.kind === 'embedded') {
    lines.push(`${device.adapter.name} computes on the CPU: its ranking does not transfer to GPUs`);
  }
  return lines.join('\n');
}

function report(device: Device, cache: TuningCache, { classes, left }: Tuning): object {
  const { name, driver, kind } = device.adapter;
  return {
    adapter: { name, driver, kind, rankingTransfers: kind !== 'cpu' && kind !== 'embedded' },
    file: cache.path,
    total: sums(classes),
    left,
    classes: classes.map(({ before, best, measured, ...rest }) => ({
      ...rest,
      default: variantText(before),
      fastest: best && variantText(best),
      measured: measured.map(({ variant, ...result }) => ({ variant: variantText(variant), ...result })),
    })),
  };
}
