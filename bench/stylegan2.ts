/**
 * StyleGAN2's training beside PyTorch's, eager and in f32 (bench/pytorch/stylegan2.py), on the same machine.
 *
 *     npm run bench:stylegan2 -- [--size 32 --size 64 …] [--config NAME] [--batch N] [--set KEY=VALUE] [--rounds N]
 *                                [--steps N] [--python python3] [--json] [--adapter NAME]
 *
 * Both make so many steps (--steps, 16: R1 once, path lengths four times) in turn, after as many to warm up; of the
 * rounds the medians count. PyTorch takes CUDA where it has it, else all cores. A Python without PyTorch, and a machine
 * without Python, leave its columns out. --json prints an object instead of the table.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { resolveOptions } from '../src/cli/options.ts';
import { UserError } from '../src/io/errors.ts';
import { Device } from '../src/runtime/device.ts';
import { Programs } from '../src/runtime/program.ts';
import { median } from '../src/runtime/race.ts';
import { networkOf } from '../src/train/recipes/stylegan2/options.ts';
import { stylegan2 } from '../src/train/recipes/stylegan2.ts';
import { StepWords } from '../src/train/ring.ts';
import type { Options } from '../src/train/training.ts';

const { values } = parseArgs({
  options: {
    size: { type: 'string', multiple: true, default: ['32', '64'] },
    config: { type: 'string', default: 'small' },
    batch: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '16' },
    python: { type: 'string', default: 'python3' },
    json: { type: 'boolean', default: false },
    adapter: { type: 'string' },
  },
});
const [rounds, steps] = [count('rounds'), count('steps')];
const settings = await Promise.all(values.size.map(optionsOf)); // what is wrong shows before anything is measured
const device = await Device.open({ adapter: values.adapter });
try {
  const rows = [];
  let peerName: string | undefined;
  for (const options of settings) {
    const { peer, ...row } = await compare(options);
    peerName ??= peer;
    rows.push(row);
    if (!values.json) console.log(text(row));
  }
  const names = { adapter: device.adapter.name, peer: peerName };
  if (values.json) console.log(JSON.stringify({ ...names, rows }, null, 2));
  else console.log(`\nwgrad on ${names.adapter}; ${names.peer ?? `no PyTorch: ${values.python} has none`}`);
} finally {
  device.destroy();
}

function count(name: 'rounds' | 'steps'): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value > 0) return value;
  throw new UserError(`bench: --${name} ${values[name]} is not possible; give a whole number from 1 on`);
}

function optionsOf(size: string): Promise<Options> {
  const { config, batch, set } = values;
  return resolveOptions('stylegan2', stylegan2, { flags: { config, size, batch, augment: 'none' }, set });
}

/** Seconds that `steps` steps take here and in PyTorch: medians of the rounds. */
async function compare(options: Options) {
  const [ours, theirs] = [await openOurs(options), await openPyTorch(options)];
  const times: { ours: number; theirs: number | undefined }[] = [];
  try {
    for (let round = 0; round <= rounds; round++) {
      times.push({ ours: await ours.run(), theirs: await theirs?.run() });
    }
  } finally {
    ours.close();
    theirs?.close();
  }
  const measured = times.slice(1);
  const images = steps * Number(options.batch);
  const rate = (seconds: number) => ({ imagesPerSecond: images / seconds, secondsPerKimg: (1000 * seconds) / images });
  const ratios = measured.map(({ ours, theirs }) => theirs! / ours);
  return {
    size: Number(options.size),
    batch: Number(options.batch),
    ours: rate(median(measured.map(({ ours }) => ours))),
    pytorch: theirs && rate(median(measured.map(({ theirs }) => theirs!))),
    /** How many times as fast as PyTorch, and in which range that was. */
    ratio: theirs && { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) },
    peer: theirs?.name,
  };
}

async function openOurs(options: Options) {
  const training = await stylegan2.create({ device, options });
  const [words, programs] = [new StepWords(device), new Programs(device)];
  const phase = <T>(label: string, body: () => T): T => programs.run(label, body);
  let step = 0;
  return {
    async run(): Promise<number> {
      const began = performance.now();
      for (let i = 0; i < steps; i++) {
        step++;
        await training.prepare?.(step);
        device.scope('step', () => {
          words.begin(step);
          training.step({ step, stepNumber: words.stepNumber, gate: words.gate, phase });
        });
        await programs.compiled();
        device.flush();
      }
      await device.finish();
      return (performance.now() - began) / 1e3;
    },
    close(): void {
      programs.release();
      words.release();
      device.trim();
    },
  };
}

/** PyTorch in a process that makes steps whenever it is asked to; undefined where there is none. */
async function openPyTorch(options: Options) {
  const { channels, wDim, mappingLayers, mbstdGroup = 4, size } = networkOf(options);
  const { batch, r1Every, pathLengthEvery } = options;
  const config = { size, channels, wDim, mappingLayers, mbstdGroup, batch, r1Every, pathLengthEvery, steps };
  const script = join('bench', 'pytorch', 'stylegan2.py');
  const child = spawn(values.python, [script, JSON.stringify(config)], { stdio: ['pipe', 'pipe', 'ignore'] });
  child.on('error', () => {}); // there is no such command: it prints nothing then
  child.stdin.on('error', () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async (): Promise<string | undefined> => (await lines.next()).value;
  const name = await line();
  if (name === undefined) return undefined;
  return {
    name,
    async run(): Promise<number> {
      child.stdin.write('go\n');
      const seconds = Number(await line());
      if (!Number.isFinite(seconds)) throw new UserError('bench: PyTorch ended before its steps: is memory short?');
      return seconds;
    },
    close: () => child.kill(),
  };
}

function text({ size, batch, ours, pytorch, ratio }: Omit<Awaited<ReturnType<typeof compare>>, 'peer'>): string {
  const rate = ({ imagesPerSecond, secondsPerKimg }: typeof ours) =>
    `${imagesPerSecond.toPrecision(3)} img/s (${secondsPerKimg.toPrecision(3)} s/kimg)`;
  const line = `${size} pixels, batch ${batch}: wgrad ${rate(ours)}`;
  if (!pytorch || !ratio) return line;
  const range = [ratio.least, ratio.most].map(value => value.toFixed(2)).join('–');
  return `${line}, PyTorch ${rate(pytorch)}: ${ratio.median.toFixed(2)} times as fast (${range})`;
}
