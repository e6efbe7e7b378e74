/**
 * Times training steps of the recipes as the trainer makes them, recorded and replayed.
 *
 *     npm run bench:steps -- [RECIPE] [--steps N] [--batch N] [--set KEY=VALUE] [--json] [--adapter NAME]
 *
 * For each recipe: the first step with everything compiled, the median of the others, the host's part of it and that by
 * dispatch, dispatches, submissions and new bind groups a step, the bind groups that are kept, and the memory of its
 * programs' temporaries beside what they need at least. 'CPU µs' is the host's own time by dispatch, without that in
 * which a CPU driver's threads had its core; on Linux only. --json prints an object instead of the table.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { resolveOptions } from '../src/cli/options.ts';
import { UserError } from '../src/io/errors.ts';
import { Device } from '../src/runtime/device.ts';
import { Programs } from '../src/runtime/program.ts';
import { median } from '../src/runtime/race.ts';
import { memoryUse } from '../src/train/profile/memory.ts';
import { recipes } from '../src/train/recipes/index.ts';
import { StepWords } from '../src/train/ring.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '16' },
    batch: { type: 'string', default: '8' },
    set: { type: 'string', multiple: true, default: [] },
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
for (const name of names) await optionsOf(name); // what is wrong with them shows before anything is measured
const WIDTHS = [7, 10, 10, 12, 9, 8, 9, 12, 8, 11, 11];
const device = await Device.open({ adapter: values.adapter });
try {
  if (!values.json) {
    console.log(`${device.adapter.name}, batches of ${values.batch}\n`);
    const columns = ['first s', 'step ms', 'host ms', 'dispatches', 'µs each', 'CPU µs', 'submits', 'new groups'];
    columns.push('groups', 'memory MB', 'needed MB');
    console.log('recipe'.padEnd(14) + columns.map((column, i) => column.padStart(WIDTHS[i])).join(''));
  }
  const rows = [];
  for (const name of names) {
    const row = await time(name);
    rows.push(row);
    if (values.json) continue;
    const cells = [row.firstSeconds.toFixed(1), row.stepMs.toFixed(1), row.hostMs.toFixed(2), `${row.dispatches}`];
    cells.push(row.hostMicroseconds.toFixed(2), row.cpuMicroseconds?.toFixed(2) ?? '-', `${row.submits}`);
    cells.push(`${row.newBindGroups}`, `${row.bindGroups}`, row.plannedMb.toFixed(1), row.neededMb.toFixed(1));
    console.log(name.padEnd(14) + cells.map((cell, i) => cell.padStart(WIDTHS[i])).join(''));
  }
  if (values.json) console.log(JSON.stringify({ adapter: device.adapter.name, rows }, null, 2));
} finally {
  device.destroy();
}

function optionsOf(name: string) {
  return resolveOptions(name, recipes[name], { flags: { batch: values.batch }, set: values.set });
}

/** What the main thread has computed so far, in milliseconds; undefined where the system does not tell. */
function threadMs(): number | undefined {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[0]) / 1e6;
  } catch {
    return undefined;
  }
}

/** What the host did for one step. */
interface Host {
  readonly ms: number;
  readonly cpu: number | undefined;
  readonly dispatches: number;
  readonly submits: number;
  readonly bindGroups: number;
}

async function time(name: string) {
  const recipe = recipes[name];
  const options = await optionsOf(name);
  const training = await recipe.create({ device, options });
  const [words, programs] = [new StepWords(device), new Programs(device)];
  const phase = <T>(label: string, body: () => T): T => programs.run(label, body);
  const [hosts, totals]: [Host[], number[]] = [[], []];
  const { stream } = device;
  for (let step = 1; step <= steps; step++) {
    await training.prepare?.(step);
    await device.finish();
    const [began, cpu] = [performance.now(), threadMs()];
    const before = { dispatches: device.dispatches, submits: stream.submits, bindGroups: stream.bindGroupsMade };
    device.scope('step', () => {
      words.begin(step);
      training.step({ step, stepNumber: words.stepNumber, gate: words.gate, phase });
    });
    await programs.compiled();
    device.flush();
    const ms = performance.now() - began;
    const used = threadMs();
    hosts.push({
      ms,
      cpu: used === undefined || cpu === undefined ? undefined : used - cpu,
      dispatches: device.dispatches - before.dispatches,
      submits: stream.submits - before.submits,
      bindGroups: stream.bindGroupsMade - before.bindGroups,
    });
    await device.finish();
    totals.push(performance.now() - began);
  }
  const of = (number: (host: Host) => number) => median(hosts.slice(1).map(number));
  const use = memoryUse(device, [...programs.values()]);
  const bindGroups = [...programs.values()].reduce((sum, [, program]) => sum + program.dispatches, 0);
  const [hostMs, dispatches] = [of(t => t.ms), of(t => t.dispatches)];
  programs.release();
  device.trim();
  return {
    recipe: name,
    firstSeconds: totals[0] / 1e3,
    stepMs: median(totals.slice(1)),
    hostMs,
    dispatches,
    hostMicroseconds: (1e3 * hostMs) / dispatches,
    cpuMicroseconds: hosts[0].cpu === undefined ? undefined : (1e3 * of(t => t.cpu!)) / dispatches,
    submits: of(t => t.submits),
    newBindGroups: of(t => t.bindGroups),
    bindGroups,
    plannedMb: use.planned / 2 ** 20,
    neededMb: use.needed / 2 ** 20,
  };
}
