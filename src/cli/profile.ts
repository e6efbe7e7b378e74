import { parseArgs } from 'node:util';
import { UserError } from '../io/errors.ts';
import { Device } from '../runtime/device.ts';
import { commonDefaults } from '../train/options.ts';
import { profileText } from '../train/profile/text.ts';
import { profileTraining } from '../train/profile/training.ts';
import { recipes } from '../train/recipes/index.ts';
import { createTraining } from '../train/run.ts';
import { applyTuning } from '../train/tune/cache.ts';
import type { Verb } from './main.ts';
import { dashed, resolveOptions } from './options.ts';
import { refuseFile, writeFile } from './outputFile.ts';
import { findRecipe } from './userRecipe.ts';

const STEPS = 4;

export const verb: Verb = {
  usage: 'profile RECIPE|FILE.ts [--steps N] [OPTION VALUE]…',
  about: [
    'Says where the time of a training step goes: each kernel and shape beside the ceilings of the adapter, each',
    'module forward and backward, the host, and the profiler itself. Leaves no run. Options:',
    `  --steps N          steps that are measured (${STEPS}); 16 hold all that StyleGAN2 does in some steps only`,
    '  --SETTING VALUE    any setting of the recipe, as --batch 8 (see wgrad train --help)',
    '  --json             prints one object',
    '  --trace FILE.json  writes a trace that ui.perfetto.dev and chrome://tracing open',
    '  --memory FILE.svg  draws where the temporaries lie over the step',
    '  --adapter NAME     gpu, lavapipe, swiftshader or a part of a name',
  ].join('\n'),
  async run([name, ...args]) {
    if (name === undefined || name.startsWith('-')) {
      throw new UserError(`profile: say first what to profile: ${Object.keys(recipes).join(', ')}, or a file`);
    }
    const recipe = await findRecipe('profile', name);
    const settings = Object.keys({ ...commonDefaults, ...recipe.defaults }).filter(key => key !== 'steps');
    const { values } = parseArgs({
      args,
      options: {
        ...Object.fromEntries(settings.map(key => [dashed(key), { type: 'string' as const }])),
        steps: { type: 'string' },
        json: { type: 'boolean' },
        trace: { type: 'string' },
        memory: { type: 'string' },
        adapter: { type: 'string' },
      },
    });
    const { json, trace, memory, adapter } = values;
    const steps = Number(values.steps ?? STEPS);
    if (!Number.isInteger(steps) || steps < 1) {
      throw new UserError(`--steps ${values.steps} is not possible; give a whole number from 1 on`);
    }
    const given = values as Record<string, string | undefined>;
    const flags = Object.fromEntries(settings.map(key => [key, given[dashed(key)]]));
    const options = await resolveOptions(name, recipe, { flags, set: [] });
    refuseFile('--trace', trace, '.json');
    refuseFile('--memory', memory, '.svg');

    const device = await Device.open({ adapter });
    try {
      if (!json) console.log(`${recipe.name} on ${device.adapter.name}, ${steps} steps`);
      const message = (text: string) => console.error(text);
      await applyTuning(device, message);
      const training = await createTraining(recipe, { device, options, message });
      const profile = await profileTraining(device, training, steps);
      const { report, memory: use } = profile;
      if (json) console.log(JSON.stringify({ recipe: name, options, ...report, memory: use }, null, 2));
      else console.log(`\n${profileText(report, use)}`);
      if (trace !== undefined) await writeFile(trace, JSON.stringify(profile.trace()));
      if (memory !== undefined) await writeFile(memory, profile.picture);
      const written = [trace, memory].filter(path => path !== undefined);
      if (!json && written.length > 0) console.log(`\nwritten: ${written.join(', ')}`);
      return 0;
    } finally {
      device.destroy();
    }
  },
};
