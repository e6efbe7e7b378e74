import { parseArgs } from 'node:util';
import { isCpuDriver } from '../runtime/adapter.ts';
import { Device } from '../runtime/device.ts';
import { variantText } from '../runtime/variants.ts';
import { commonDefaults } from '../train/options.ts';
import { BUDGET, parseBudget } from '../train/tune/budget.ts';
import { TuningCache } from '../train/tune/cache.ts';
import { head, rowOf, summary, totalOf } from '../train/tune/text.ts';
import { type TunedClass, type Tuning, tuneRecipe } from '../train/tune/tune.ts';
import type { Verb } from './main.ts';
import { dashed, resolveOptions } from './options.ts';
import type { TrainingRun } from './run.ts';
import { findRecipe } from './userRecipe.ts';

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
    const budget = parseBudget(values.budget ?? String(BUDGET), '--budget');
    const given = values as Record<string, string | undefined>;
    const flags = Object.fromEntries(settings.map(key => [key, given[dashed(key)]]));
    const defaults = named ? recipe.defaults : { ...recipe.defaults, batch: BATCH };
    const options = await resolveOptions(name, { ...recipe, defaults }, { flags, set: [] });

    const device = await Device.open({ adapter: values.adapter });
    try {
      const cache = await TuningCache.open(device);
      const { json } = values;
      if (!json) console.log(`${recipe.name} on ${device.adapter.name}, at most ${budget} s\n\n${line(head)}`);
      const progress = (tuned: TunedClass) => {
        if (!json) console.log(line(rowOf(tuned)));
      };
      const message = (text: string) => console.error(text);
      const tuning = await tuneRecipe(device, { recipe, options, budget, cache, message, progress });
      if (json) console.log(JSON.stringify(report(device, cache, tuning), null, 2));
      else console.log(`\n${summaryText(device, cache, tuning)}`);
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
    if (tuning.classes.length > 0) console.log(summaryText(device, cache, tuning));
  } finally {
    device.destroy();
  }
}

const WIDTHS = [58, 5, 10, 10];

/** A line of the table: the name from the left, the numbers to the right, and the variant as long as it is. */
function line(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(WIDTHS[0]) : cell.padStart(WIDTHS[i] ?? 0))).join('  ');
}

function summaryText(device: Device, cache: TuningCache, tuning: Tuning): string {
  const { name } = device.adapter;
  return summary(tuning, { adapter: name, kept: `written: ${cache.path}`, more: 'raise --budget' }).join('\n');
}

function report(device: Device, cache: TuningCache, { classes, left }: Tuning): object {
  const { name, driver, kind } = device.adapter;
  return {
    adapter: { name, driver, kind, rankingTransfers: !isCpuDriver(name) },
    file: cache.path,
    total: totalOf(classes),
    left,
    classes: classes.map(({ before, best, measured, ...rest }) => ({
      ...rest,
      default: variantText(before),
      fastest: best && variantText(best),
      measured: measured.map(({ variant, ...result }) => ({ variant: variantText(variant), ...result })),
    })),
  };
}
