/**
 * Times training steps of the recipes as the trainer makes them, recorded and replayed.
 *
 *     npm run bench:steps -- [RECIPE] [--steps N] [--batch N] [--json] [--adapter NAME]
 *
 * For each recipe: the first step with everything compiled, the median of the others, the host's part of it and that by
 * dispatch, and the memory of its programs' temporaries beside what they need at least. --json prints an object instead
 * of the table.
 */
import { parseArgs } from 'node:util';
import { UserError } from '../src/io/errors.ts';
import { Device } from '../src/runtime/device.ts';
import { Programs } from '../src/runtime/program.ts';
import { assignOptions } from '../src/train/options.ts';
import { recipes } from '../src/train/recipes/index.ts';
import { StepWords } from '../src/train/ring.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '16' },
    batch: { type: 'string', default: '8' },
    json: { type: 'boolean', default: false },
    adapter: { type: 'string' },
  },
});
const steps = Number(values.steps);
if (!Number.isInteger(steps) || steps < 2) {
  throw new UserError(`bench: --steps ${values.steps} is not possible; give a whole number from 2 on`);
}
const names = positionals.length > 0 ? positionals : Object.keys(recipes);
for (const name of names) {
  if (!Object.hasOwn(recipes, name)) {
    throw new UserError(`bench: there is no recipe '${name}'; there are ${Object.keys(recipes).join(', ')}`);
  }
}
for (const name of names) optionsOf(name); // what is wrong with them shows before anything is measured
const device = await Device.open({ adapter: values.adapter });
try {
  if (!values.json) {
    console.log(`${device.adapter.name}, batches of ${values.batch}\n`);
    console.log('recipe          first s   step ms   host ms   dispatches   µs each   memory MB   needed MB');
  }
  const rows = [];
  for (const name of names) {
    const row = await time(name);
    rows.push(row);
    if (values.json) continue;
    const { firstSeconds, stepMs, hostMs, dispatches, hostMicroseconds, plannedMb, neededMb } = row;
    const cells = [firstSeconds.toFixed(1), stepMs.toFixed(1), hostMs.toFixed(2)];
    const more = [dispatches.toFixed(0), hostMicroseconds.toFixed(2), plannedMb.toFixed(1), neededMb.toFixed(1)];
    const widths = [7, 10, 10, 13, 10, 12, 12];
    console.log(name.padEnd(16) + [...cells, ...more].map((cell, i) => cell.padStart(widths[i])).join(''));
  }
  if (values.json) console.log(JSON.stringify({ adapter: device.adapter.name, rows }, null, 2));
} finally {
  device.destroy();
}

function optionsOf(name: string) {
  return assignOptions(name, recipes[name].defaults, [{ key: 'batch', value: values.batch, where: '--batch' }]);
}

async function time(name: string) {
  const recipe = recipes[name];
  const options = optionsOf(name);
  const training = await recipe.create({ device, options });
  const [words, programs] = [new StepWords(device), new Programs(device)];
  const phase = <T>(label: string, body: () => T): T => programs.run(label, body);
  const times: { total: number; host: number; dispatches: number }[] = [];
  for (let step = 1; step <= steps; step++) {
    await training.prepare?.(step);
    await device.finish();
    const [began, before] = [performance.now(), device.dispatches];
    device.scope('step', () => {
      words.begin(step);
      training.step({ step, stepNumber: words.stepNumber, gate: words.gate, phase });
    });
    await programs.compiled();
    device.flush();
    const host = performance.now() - began;
    await device.finish();
    times.push({ total: performance.now() - began, host, dispatches: device.dispatches - before });
  }
  const [first, ...others] = times;
  const plans = [...programs.values()].map(([, { plan }]) => plan);
  const sum = (sizes: readonly number[]) => sizes.reduce((a, b) => a + b, 0);
  const [hostMs, dispatches] = [median(others.map(t => t.host)), median(others.map(t => t.dispatches))];
  programs.release();
  device.trim();
  return {
    recipe: name,
    firstSeconds: first.total / 1e3,
    stepMs: median(others.map(t => t.total)),
    hostMs,
    dispatches,
    hostMicroseconds: (1e3 * hostMs) / dispatches,
    plannedMb: Math.max(...plans.map(({ buffers }) => sum(buffers))) / 2 ** 20,
    neededMb: Math.max(...plans.map(({ needed }) => needed)) / 2 ** 20,
  };
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
}
