import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../io/errors.ts';
import { openFolder } from '../io/files.ts';
import { montage } from '../io/grid.ts';
import { encodePng, type Rgb8 } from '../io/images.ts';
import { latentCount } from '../models/stylegan2/config.ts';
import { findGenerator, loadGenerator } from '../models/stylegan2/inference.ts';
import { type Latents, Sampler } from '../models/stylegan2/sampler.ts';
import { Device } from '../runtime/device.ts';
import { applyTuning } from '../train/tune/cache.ts';
import { encodeAnimation } from './generate/animation.ts';
import { isClosed, type Job, readJob, refuseCount } from './generate/job.ts';
import { interpolated, mixed, readLatents, repeated } from './generate/latents.ts';
import { drawZ } from './generate/seeds.ts';
import type { Verb } from './main.ts';
import { refuseExisting } from './outputFile.ts';
import { findWeights } from './weights.ts';

export const verb: Verb = {
  usage: 'generate WEIGHTS [OPTION VALUE]…',
  about: [
    'Makes images with a StyleGAN2 generator: one that comes with wgrad, as generator-32, the newest checkpoint of a',
    "run's folder, or a .safetensors file with rosinality's keys. Options:",
    '  --seeds LIST         as 0-7,12; one image each (0-7)',
    "  --seed-mode MODE     numpy: z as NVlabs' tools draw it; philox: by the generator of wgrad's kernels (numpy)",
    '  --latents FILE       a .safetensors file of W [N, D] or W+ [N, n, D] in place of seeds',
    '  --truncation PSI     towards the average w: 1 is none, 0 the average (1)',
    '  --cutoff N           truncates the first N latents of an image alone',
    '  --noise MODE         const: the stored maps; random: drawn anew for each image; none (const)',
    '  --grid COLSxROWS     one picture of so many images',
    '  --mix rows=SEEDS cols=SEEDS layers=LIST',
    "                       one picture of style mixing: each row's image with the column's latents in these layers",
    '  --interpolate SPACE  an animation from each seed to the next: w, or z along the arc between them',
    '  --frames N           frames from one to the next (24)',
    '  --fps N              frames a second (24)',
    '  --loops N            plays so often, 0 for ever; 1 ends at the last seed, more go back to the first (0)',
    '  --out PATH           a folder of seedNNNN.png (generated); for one picture a .png file (grid.png, mixing.png),',
    '                       for an animation a .webp or an animated .png, lossless (interpolation.webp)',
    '  --force              replaces files; without it nothing that is there is touched',
    '  --adapter NAME       gpu, lavapipe, swiftshader or a part of a name',
  ].join('\n'),
  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        seeds: { type: 'string' },
        'seed-mode': { type: 'string' },
        latents: { type: 'string' },
        truncation: { type: 'string' },
        cutoff: { type: 'string' },
        noise: { type: 'string' },
        grid: { type: 'string' },
        mix: { type: 'string' },
        interpolate: { type: 'string' },
        frames: { type: 'string' },
        fps: { type: 'string' },
        loops: { type: 'string' },
        out: { type: 'string' },
        force: { type: 'boolean' },
        adapter: { type: 'string' },
      },
    });
    const { adapter, force = false, ...texts } = values;
    const [name, ...rest] = positionals;
    if (name === undefined) {
      throw new UserError('generate: say first with what: a run, a .safetensors file, or a name as generator-32');
    }
    const { tensors, ...found } = await findWeights('generate', name);
    const weights = findGenerator(tensors, found);
    const { source } = found;
    const { size, channels, wDim, mappingLayers } = weights.config;
    const job = readJob(texts, rest, latentCount(size));
    const latents = job.latents === undefined ? undefined : await readLatents(job.latents, latentCount(size), wDim);
    refuseCount(job, latents?.shape[0] ?? job.seeds.length, size);
    const files = filesOf(job, latents?.shape[0]);
    if (!force) await refuseExisting(files);

    const device = await Device.open({ adapter });
    try {
      await applyTuning(device);
      const generator = loadGenerator(device, weights);
      const widths = Object.values(channels).join(', ');
      console.log(`${source}: ${size} pixels, channels ${widths}, w ${wDim}, ${mappingLayers} mapping layers`);
      const { truncation, noise } = job;
      const sampler = new Sampler(device, generator, { truncation, noise, average: weights.average });
      const images = sampler.images(await latentsOf(job, device, sampler, latents), job.noiseSeeds);
      await write(job, files, images);
      await device.finish();
      return 0;
    } finally {
      device.destroy();
    }
  },
};

/** The paths that a job writes. */
function filesOf({ output, out, seeds }: Job, latents?: number): string[] {
  if (output.kind !== 'images') return [out];
  const name = (kind: string, number: number) => join(out, `${kind}${String(number).padStart(4, '0')}.png`);
  if (latents !== undefined) return Array.from({ length: latents }, (_, i) => name('latent', i));
  return seeds.map(seed => name('seed', seed));
}

/** The latents of all images of a job. */
async function latentsOf(job: Job, device: Device, sampler: Sampler, stored?: Latents): Promise<Latents> {
  const { seeds, seedMode, output } = job;
  const { wDim, size } = sampler.generator.config;
  const map = async (z: Float32Array): Promise<Latents> => ({
    shape: [z.length / wDim, wDim],
    data: await sampler.map(z),
  });
  const z = stored ? undefined : await drawZ(seedMode, seeds, wDim, device);
  if (output.kind === 'interpolation') {
    const { frames, loops, space } = output;
    const path = { frames, closed: isClosed(loops), spherical: space === 'z' };
    if (z && space === 'z') return map(interpolated({ shape: [seeds.length, wDim], data: z }, path).data);
    return interpolated(stored ?? (await map(z!)), path);
  }
  const latents = stored ?? (await map(z!));
  return output.kind === 'mixing' ? mixed(repeated(latents, latentCount(size)), output) : latents;
}

async function write({ output }: Job, files: readonly string[], images: AsyncIterable<Rgb8>): Promise<void> {
  const save = async (file: string, content: Uint8Array | Uint8Array[]) =>
    (await openFolder(dirname(file), { create: true })).write(basename(file), content);
  if (output.kind === 'images') {
    let i = 0;
    for await (const image of images) await save(files[i++], await encodePng(image));
    console.log(`written: ${files[0]}${files.length > 1 ? ` to ${basename(files[files.length - 1])}` : ''}`);
    return;
  }
  const [file] = files;
  const all: Rgb8[] = [];
  for await (const image of images) all.push(image);
  if (output.kind === 'interpolation') await save(file, await encodeAnimation(all, file, output));
  else {
    // A table of mixing has the columns' own images on top and the rows' at the left, and nothing in the corner.
    const isTable = output.kind === 'mixing';
    const columns = isTable ? output.columns.length + 1 : output.columns;
    await save(file, await encodePng(montage(isTable ? [undefined, ...all] : all, { columns })));
  }
  console.log(`written: ${file}`);
}
