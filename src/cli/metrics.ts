import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../io/errors.ts';
import { type Folder, openFolder } from '../io/files.ts';
import { findGenerator, loadGenerator } from '../models/stylegan2/inference.ts';
import { Device } from '../runtime/device.ts';
import { Programs } from '../runtime/program.ts';
import { generatorMetrics, METRICS } from '../train/metrics/generator.ts';
import { readInception } from '../train/metrics/networks.ts';
import { applyTuning } from '../train/tune/cache.ts';
import type { Verb } from './main.ts';
import { refuseExisting, refuseFile, writeFile } from './outputFile.ts';
import { parseNumber } from './values.ts';
import { findWeights } from './weights.ts';

export const verb: Verb = {
  usage: 'metrics GENERATOR --data DIR|ZIP|faces [OPTION VALUE]…',
  about: [
    'Measures how near the images of a StyleGAN2 generator are to real ones: FID, KID, precision and recall, and its',
    "perceptual path length. GENERATOR is a run's folder, a .safetensors file or a name, as for wgrad generate. Options:",
    "  --data DIR|ZIP|faces  the real images: all of a folder or zip, or faces of people whom no training sees ('faces')",
    "  --inception FILE      weights of Inception-v3, .pth or .safetensors: pytorch-fid's pt_inception-2015-12-05 for FID",
    "                        and KID, or torchvision's inception_v3, whose metrics end in (torchvision);",
    '                        without it the features of perceptual-32, whose metrics end in -like(self)',
    '  --count N             samples (5000; with --inception 50000), and faces where those are the real images',
    `  --metrics LIST        which of ${METRICS.join()} (all)`,
    '  --seed N              of the samples (0)',
    "  --out FILE.json       where the result is written (metrics.json, in the run's folder where there is one)",
    '  --force               replaces that file',
    '  --adapter NAME        gpu, lavapipe, swiftshader or a part of a name',
    "What is known of the real images is kept in the sub-folder metrics/ of the run's folder; remove it where images",
    'were replaced by others of the same names.',
  ].join('\n'),
  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        data: { type: 'string' },
        inception: { type: 'string' },
        count: { type: 'string' },
        metrics: { type: 'string' },
        seed: { type: 'string', default: '0' },
        out: { type: 'string' },
        force: { type: 'boolean' },
        adapter: { type: 'string' },
      },
    });
    const { data, metrics, adapter } = values;
    const [name, ...rest] = positionals;
    if (name === undefined || rest.length > 0) {
      throw new UserError('metrics: name one generator: a run, a .safetensors file, or a name as generator-32');
    }
    if (data === undefined) throw new UserError("metrics: give the real images: --data 'faces', a folder or a zip");
    const seed = parseNumber('--seed', values.seed, 0, 2 ** 32 - 1, { whole: true });
    const count =
      values.count === undefined ? undefined : parseNumber('--count', values.count, 1, 1e6, { whole: true });
    const run = runOf(name);
    const out = values.out ?? join(run ?? '.', 'metrics.json');
    refuseFile('--out', out, '.json');
    if (!values.force) await refuseExisting([out]);
    const found = await findWeights('metrics', name);
    const weights = findGenerator(found.tensors, found);
    const inception = values.inception === undefined ? undefined : await readInception(values.inception);

    const device = await Device.open({ adapter });
    try {
      await applyTuning(device);
      const generator = loadGenerator(device, weights);
      const message = (text: string) => console.error(text);
      const given = { device, generator, data, inception, count, seed, metrics, message };
      const evaluation = await generatorMetrics(given);
      console.log(`${found.source} on ${device.adapter.name}\n${evaluation.about}\n`);
      const programs = new Programs(device);
      const folder: Folder | undefined = run === undefined ? undefined : await openFolder(run);
      const measured = await evaluation.measure((title, body) => programs.compute(title, body), folder);
      const width = Math.max(...Object.keys(measured).map(title => title.length));
      for (const [title, value] of Object.entries(measured)) {
        console.log(`${title.padEnd(width)}  ${value.toPrecision(4)}`);
      }
      const { about, features, count: samples } = evaluation;
      const result = { generator: found.source, data, about, features, samples, seed, adapter: device.adapter.name };
      await writeFile(out, `${JSON.stringify({ ...result, metrics: measured }, null, 2)}\n`);
      console.log(`\nwritten: ${out}`);
      return 0;
    } finally {
      device.destroy();
    }
  },
};

/** The folder of the run that a generator is of: it is named itself, or a file in its weights/. */
function runOf(name: string): string | undefined {
  const folders = basename(dirname(name)) === 'weights' ? [name, dirname(dirname(name))] : [name];
  return folders.find(folder => existsSync(join(folder, 'config.json')));
}
