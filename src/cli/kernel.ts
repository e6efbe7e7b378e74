import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { UserError } from '../io/errors.ts';
import { numbered } from '../runtime/compilation.ts';
import { Device } from '../runtime/device.ts';
import { measureCeilings } from '../runtime/measure.ts';
import { variantText } from '../runtime/variants.ts';
import { augmentationEntries } from './kernel/augmentation.ts';
import { Bench } from './kernel/check.ts';
import { difference, differenceText } from './kernel/difference.ts';
import { elementEntries } from './kernel/elements.ts';
import type { Entry } from './kernel/entry.ts';
import { familyEntries } from './kernel/families.ts';
import { layerEntries } from './kernel/layers.ts';
import { reductionEntries } from './kernel/reductions.ts';
import { type Baseline, baselineOf, outcomeText, parseBaseline } from './kernel/table.ts';
import { watch } from './kernel/watch.ts';
import type { Verb } from './main.ts';
import { refuseFile, writeFile } from './outputFile.ts';

/** All kernels that the verb knows. */
export const entries: readonly Entry[] = [
  ...familyEntries,
  ...elementEntries,
  ...reductionEntries,
  ...layerEntries,
  ...augmentationEntries,
];

export const verb: Verb = {
  usage: 'kernel NAME [--shape …] [OPTION VALUE]…',
  about: [
    'Builds one kernel in its variants, checks each against its formula in f64 and times them side by side. Options:',
    '  --list           the kernels, with the default of --shape and what may stand in it',
    '  --shape TEXT     shapes of the operands, then numbers by letter: 4x64x64x64,64x64x3x3,s2,p1 is a convolution of x',
    '                   [4, 64, 64, 64] and w [64, 64, 3, 3] with stride 2 and padding 1; words have no number: ta, half',
    '  --variant TEXT   only the variants that contain this text, as direct or TILE_M=64',
    '  --compare A B    how far the results of two variants are from each other',
    '  --save FILE.json writes the times, for --against FILE: the same with a column of these',
    '  --emit           prints the WGSL of the first variant as it is compiled; --numbers with numbered lines',
    '  --watch          once more whenever a file of shaders/ or src/runtime/kernels/ is saved; in a checkout of wgrad',
    '  --json           prints one object',
    '  --adapter NAME   gpu, lavapipe, swiftshader or a part of a name',
    'Exit code 1: a variant is wrong or does not compile. What is fast on a CPU driver need not be on a GPU.',
  ].join('\n'),
  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        list: { type: 'boolean' },
        shape: { type: 'string' },
        variant: { type: 'string' },
        compare: { type: 'string' },
        save: { type: 'string' },
        against: { type: 'string' },
        emit: { type: 'boolean' },
        numbers: { type: 'boolean' },
        watch: { type: 'boolean' },
        json: { type: 'boolean' },
        adapter: { type: 'string' },
      },
    });
    if (values.list) {
      console.log(values.json ? JSON.stringify(entries.map(described), null, 2) : list());
      return 0;
    }
    const [name, second, ...more] = positionals;
    const entry = entries.find(one => one.name === name);
    if (!entry) {
      throw new UserError(`kernel: ${name ? `there is no '${name}'` : 'name one'}; wgrad kernel --list shows them`);
    }
    if (more.length > 0 || (second !== undefined) !== (values.compare !== undefined)) {
      throw new UserError('kernel: write --compare A B for two variants, and nothing else behind the name');
    }
    const { shape = entry.shape, variant } = values;
    refuseFile('--save', values.save, '.json');
    if (values.watch) return watch(args.filter(arg => arg !== '--watch'));
    const baseline = values.against === undefined ? undefined : readBaseline(values.against, name, shape);

    const device = await Device.open({ adapter: values.adapter });
    try {
      const bench = new Bench(device, entry, shape);
      if (values.emit) {
        for (const [kernel, code] of bench.sources(bench.variants(variant)[0])) {
          console.log(`// ${kernel}\n${values.numbers ? numbered(code) : code}`);
        }
        return 0;
      }
      if (values.compare !== undefined) {
        const [a, b] = [values.compare, second].map(text => bench.variants(text)[0]);
        const found = difference((await bench.result(a)).values, (await bench.result(b)).values);
        if (values.json) console.log(JSON.stringify({ a: variantText(a), b: variantText(b), ...found }, null, 2));
        else console.log(`${variantText(a)}\n${variantText(b)}\n${differenceText(found)}`);
        return Number.isNaN(found.maxAbsolute) ? 1 : 0;
      }
      const outcome = await bench.measure(bench.variants(variant));
      const ceilings = await measureCeilings(device);
      const { name: adapter } = device.adapter;
      if (values.json) console.log(JSON.stringify({ adapter, ceilings, ...outcome }, null, 2));
      else console.log(outcomeText(outcome, adapter, ceilings, baseline));
      if (values.save !== undefined) {
        await writeFile(values.save, `${JSON.stringify(baselineOf(outcome, adapter), null, 2)}\n`);
        if (!values.json) console.log(`\nwritten: ${values.save}`);
      }
      return outcome.rows.some(({ failure }) => failure) ? 1 : 0;
    } finally {
      device.destroy();
    }
  },
};

function readBaseline(path: string, kernel: string, shape: string): Baseline {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`--against ${path}: ${(error as Error).message}`);
  }
  const baseline = parseBaseline(text, path);
  if (baseline.kernel !== kernel || baseline.shape !== shape) {
    throw new UserError(`--against ${path}: is of ${baseline.kernel} ${baseline.shape}, not of ${kernel} ${shape}`);
  }
  return baseline;
}

function described({ name, about, shaders, shape, letters = {} }: Entry): object {
  return { name, about, shaders, shape, letters };
}

function list(): string {
  return entries
    .map(({ name, about, shaders, shape, letters }) => {
      const known = Object.entries(letters ?? {}).map(([letter, meaning]) => `${letter} ${meaning}`);
      return [
        `${name}: ${about}`,
        `    --shape ${shape}${known.length > 0 ? `; ${known.join('; ')}` : ''}`,
        `    ${shaders.map(file => `${file}.wgsl`).join(', ')}`,
      ].join('\n');
    })
    .join('\n');
}
