/**
 * Trains StyleGAN2's configuration `small` three times in f32 and once in f16, and prints both's losses: the means of so
 * many steps, of f32 the least and the greatest of the three seeds.
 *
 *     node scripts/run.mjs scripts/precision.ts [--steps 1000] [--every 100] [--out runs/precision] [--adapter NAME]
 *
 * Goes on with what is in --out; with fewer steps than are there it prints these alone.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openFolder } from '../src/io/files.ts';
import { Device } from '../src/runtime/device.ts';
import { assignOptions } from '../src/train/options.ts';
import { stylegan2 } from '../src/train/recipes/stylegan2.ts';
import type { LogLine } from '../src/train/runLog.ts';
import { train } from '../src/train/trainer.ts';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000' },
    every: { type: 'string', default: '100' },
    out: { type: 'string', default: 'runs/precision' },
    adapter: { type: 'string' },
  },
});
const [steps, every] = [Number(values.steps), Number(values.every)];
const device = await Device.open({ adapter: values.adapter });
const full = [await run('f32', 1), await run('f32', 2), await run('f32', 3)];
const half = await run('f16', 1);
device.destroy();

const names = ['discriminator', 'generator', 'r1', 'pathLengthPenalty', 'pathLength'];
console.log(`| steps | ${names.flatMap(name => [`${name}, f32`, 'f16']).join(' | ')} |`);
console.log(`|---|${'---:|'.repeat(2 * names.length)}`);
let [inside, all] = [0, 0];
for (let from = 0; from < steps; from += every) {
  const cells = names.flatMap(name => {
    const means = full.map(lines => meanOf(lines, name, from));
    const mean = meanOf(half, name, from);
    const [least, most] = [Math.min(...means), Math.max(...means)];
    const isInside = mean >= least && mean <= most;
    inside += Number(isInside);
    all++;
    return [`${text(least)} – ${text(most)}`, isInside ? text(mean) : `_${text(mean)}_`];
  });
  console.log(`| ${from + 1} – ${from + every} | ${cells.join(' | ')} |`);
}
// Of four curves of one kind each is the least or the greatest as often as the others: half of the time in sum.
console.log(`\nf16 is inside of the three in ${inside} of ${all} cells, where a fourth seed of f32 would be in half.`);

/** The log of a run, trained as far as it was not. */
async function run(precision: string, seed: number): Promise<readonly LogLine[]> {
  const set = { precision, seed, steps, sampleEvery: 0, saveEvery: 200 };
  const given = Object.entries(set).map(([key, value]) => ({ key, value, where: `--${key}` }));
  const folder = await openFolder(join(values.out, `${precision}-${seed}`), { create: true });
  const known = (await folder.exists('log.jsonl')) ? linesOf(await folder.readText('log.jsonl')) : [];
  if (known.length >= steps) return known.slice(0, steps);
  const options = assignOptions('stylegan2', stylegan2, given);
  const training = await stylegan2.create({ device, options });
  await train({ device, training, folder, options });
  return linesOf(await folder.readText('log.jsonl')).slice(0, steps);
}

function linesOf(log: string): LogLine[] {
  return log
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as LogLine);
}

/** The mean of a loss over `every` steps, of those that have it. */
function meanOf(lines: readonly LogLine[], name: string, from: number): number {
  const found = lines.slice(from, from + every).flatMap(({ losses }) => losses[name] ?? []);
  if (!found.every(Number.isFinite)) throw new Error(`${name} is not finite near step ${from}`);
  return found.reduce((sum, value) => sum + value, 0) / found.length;
}

function text(value: number): string {
  return value.toPrecision(3);
}
