/**
 * Trains StyleGAN2 on few images, without and with adaptive discriminator augmentation, and prints what that changes.
 *
 *     node scripts/run.mjs scripts/ada.ts [--images 2000] [--model small32|tiny32|demo32] [--steps 8000] [--every 1000]
 *                                         [--batch 8] [--kimg 50] [--gamma 0.01] [--out runs/ada] [--adapter NAME]
 *
 * A line every so many steps: r = mean sign(D) on the real images of the steps since the last line; at this moment on
 * images of the training, and on others that it never sees: where D overfits, the first is larger; the probability p of
 * the augmentations; and the metrics of the generator's average against those others. Goes on with what is in --out.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { type Face, renderFaces, sampleFaces } from '../src/data/faces.ts';
import { openFolder } from '../src/io/files.ts';
import type { Discriminator } from '../src/models/stylegan2/discriminator.ts';
import type { Generator } from '../src/models/stylegan2/generator.ts';
import { Device } from '../src/runtime/device.ts';
import { Programs } from '../src/runtime/program.ts';
import { latestStep } from '../src/train/checkpoint.ts';
import { generatorMetrics } from '../src/train/metrics/generator.ts';
import { assignOptions } from '../src/train/options.ts';
import { heldOutFaces } from '../src/train/recipes/common.ts';
import { stylegan2 } from '../src/train/recipes/stylegan2.ts';
import { train } from '../src/train/trainer.ts';
import type { Compute, Training } from '../src/train/training.ts';
import { BATCH, inBatches } from './networks.ts';

const SIZE = 32; // of the small networks
/** Images behind each metric, and behind r at one moment. */
const MEASURED = 2000;
const JUDGED = 500;
/** Of the faces in the folder. */
const SEED = 9;

const { values } = parseArgs({
  options: {
    images: { type: 'string', default: '2000' },
    model: { type: 'string', default: 'small32' },
    steps: { type: 'string', default: '8000' },
    every: { type: 'string', default: '1000' },
    batch: { type: 'string', default: '8' },
    kimg: { type: 'string', default: '50' },
    // That of `cifar`, which is of 32 pixels too. With the 0.3 of `small` r stays far below the target.
    gamma: { type: 'string', default: '0.01' },
    out: { type: 'string', default: 'runs/ada' },
    adapter: { type: 'string' },
  },
});
const [images, steps, every, batch] = [values.images, values.steps, values.every, values.batch].map(Number);
const device = await Device.open({ adapter: values.adapter });
const data = join(values.out, `faces-${images}`);
await writeFaces(data, images);
console.log(
  '| augment | thousand images | r | r now, seen | r now, unseen | p | FID-like(self) | KID-like(self) | precision | recall |',
);
console.log('|---|---|---|---|---|---|---|---|---|---|');
for (const augment of ['none', 'ada']) {
  for (let step = every; step <= steps; step += every) await piece(augment, step);
}
device.destroy();

/** So many procedural faces as a folder, and those beside them that a training holds out. */
async function writeFaces(folder: string, count: number): Promise<void> {
  const all = Math.ceil((count * 20) / 19);
  const pathOf = (n: number) => join(folder, `${n}.png`);
  if (existsSync(pathOf(all - 1))) return;
  mkdirSync(folder, { recursive: true });
  const { values } = await inBatches(
    device,
    all,
    (first, size) => renderFaces(device, sampleFaces(1 + first / BATCH, size, { seed: SEED }), SIZE).image,
  );
  const pixels = SIZE * SIZE;
  for (let n = 0; n < all; n++) {
    const data = Uint8Array.from({ length: 3 * pixels }, (_, i) =>
      Math.round(127.5 + 127.5 * values[3 * pixels * n + (i % 3) * pixels + Math.floor(i / 3)]),
    );
    await sharp(data, { raw: { width: SIZE, height: SIZE, channels: 3 } })
      .png()
      .toFile(pathOf(n));
  }
}

/** Trains up to a step, from where the run is, and prints a line; nothing where the run is farther. */
async function piece(augment: string, to: number): Promise<void> {
  const set = {
    data,
    model: values.model,
    augment,
    augmentKimg: values.kimg,
    gamma: values.gamma,
    batch,
    steps: to,
    sampleEvery: 0,
  };
  const given = Object.entries(set).map(([key, value]) => ({ key, value, where: `--${key}` }));
  const options = assignOptions('stylegan2', stylegan2, given);
  const path = join(values.out, `${values.model}-${images}-${augment}`);
  const folder = await openFolder(path, { create: true });
  if (((await latestStep(await folder.folder('checkpoints'))) ?? 0) > to) return;
  const training = (await stylegan2.create({ device, options })) as Training;
  const { lines } = await train({ device, training, folder, options });
  const { augmentation } = lines.at(-1)!.losses;
  const recent = lines.slice(-every).map(({ losses }) => losses.realSigns);
  const realSigns = recent.reduce((sum, r) => sum + r, 0) / recent.length;
  const { average, discriminator } = training.modules as unknown as {
    average: Generator;
    discriminator: Discriminator;
  };
  const programs = new Programs(device);
  const compute: Compute = (name, body) => programs.compute(name, body);
  const metrics = await generatorMetrics({
    device,
    generator: average,
    data: 'faces',
    count: MEASURED,
    seed: 1,
    metrics: 'fid,kid,pr',
  });
  const measured = Object.values(await metrics.measure(compute, folder));
  programs.release();
  const seen = await meanSign(discriminator, (first, count) => sampleFaces(1 + first / BATCH, count, { seed: SEED }));
  const unseen = await meanSign(discriminator, heldOutFaces);
  const cells = [realSigns, seen, unseen, augmentation, ...measured].map(value => value.toFixed(4));
  console.log(`| ${augment} | ${(to * batch) / 1000} | ${cells.join(' | ')} |`);
}

/**
 * mean sign(D) on faces, without augmentation. Of each batch as many as fill the groups of four that D compares. One in
 * twenty of the folder's is held out by the training, so that as many of those counted as seen are not.
 */
async function meanSign(
  discriminator: Discriminator,
  faces: (first: number, count: number) => Face[],
): Promise<number> {
  const { values } = await inBatches(device, Math.min(JUDGED, images), (first, size) =>
    discriminator.forward(renderFaces(device, faces(first, size - (size % 4)), SIZE).image),
  );
  return values.reduce((sum, logit) => sum + Math.sign(logit), 0) / values.length;
}
