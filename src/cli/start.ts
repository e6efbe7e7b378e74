import { parseArgs } from 'node:util';
import { recipes } from '../train/recipes/index.ts';
import type { Verb } from './main.ts';
import { resolveOptions } from './options.ts';
import { runTraining } from './run.ts';

/**
 * What `npm start` trains: about 800 GFLOP, so that it ends within minutes on a CPU driver. The monitor's window is
 * fixed here, before any loss is seen; the drops at the end are scheduled, to measure what a stage costs.
 */
const preset = (steps: number) => ({
  steps,
  batch: 8,
  lr: 1e-3,
  abort: 'robust',
  window: Math.max(1, Math.round(steps / 60)),
  abortAt: steps >= 100 ? `${steps - 47},${steps - 23}` : '',
});
const STEPS = 160;

export const verb: Verb = {
  usage: 'start [--steps N] [--seed N] [--out DIR] [--tune] [--adapter NAME]',
  about: 'Trains E2Style on procedural faces for a few minutes and leaves a report; --tune first measures the kernels.',
  async run(args) {
    const { values } = parseArgs({
      args,
      options: {
        steps: { type: 'string' },
        seed: { type: 'string' },
        out: { type: 'string' },
        tune: { type: 'boolean' },
        adapter: { type: 'string' },
      },
    });
    const recipe = recipes.e2style;
    const steps = Number(values.steps ?? STEPS);
    const defaults = { ...recipe.defaults, ...preset(steps) };
    const options = await resolveOptions(
      recipe.name,
      { defaults },
      {
        flags: { steps: values.steps, seed: values.seed },
        set: [],
      },
    );
    console.log(
      `E2Style with three stages, ${steps} steps; the abortion monitor is 'robust' with a window of ${options.window} steps.` +
        (options.abortAt
          ? ` Stages are dropped at steps ${options.abortAt} by schedule, to measure what one costs.`
          : ''),
    );
    return runTraining({
      recipe,
      name: recipe.name,
      options,
      out: values.out,
      adapter: values.adapter,
      tune: values.tune,
    });
  },
};
