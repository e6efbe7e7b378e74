/** wgrad generate, and what it is made of: seeds, inferred sizes, latents, images in batches, animations. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unzlibSync } from 'fflate';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseList } from '../src/cli/generate/arguments.ts';
import { interpolated, mixed, repeated } from '../src/cli/generate/latents.ts';
import { verb } from '../src/cli/generate.ts';
import { findWeights } from '../src/cli/weights.ts';
import { encodeApng } from '../src/io/apng.ts';
import { UserError } from '../src/io/errors.ts';
import { openFolder } from '../src/io/files.ts';
import { montage, tile } from '../src/io/grid.ts';
import { decodeImage, type Rgb8 } from '../src/io/images.ts';
import { writeSafetensors } from '../src/io/safetensors.ts';
import { shippedWeights } from '../src/io/weights.ts';
import { initialize, readStateDict, release } from '../src/models/module.ts';
import { configF, presets, type StyleGan2Config } from '../src/models/stylegan2/config.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { findGenerator, inferConfig, loadGenerator } from '../src/models/stylegan2/inference.ts';
import { LatentAverage } from '../src/models/stylegan2/latents.ts';
import { type Latents, Sampler, type SamplingOptions } from '../src/models/stylegan2/sampler.ts';
import { numpyNormals } from '../src/models/stylegan2/seeds.ts';
import { saveCheckpoint } from '../src/train/checkpoint.ts';
import { wgrad } from './command.ts';
import { useDevice } from './device.ts';
import { temporaryFolder } from './runs.ts';

vi.setConfig({ testTimeout: 600_000 });

const root = temporaryFolder();
const at = (...names: string[]) => join(root, ...names);

const SMALL: StyleGan2Config = { size: 8, channels: { 4: 4, 8: 3 }, wDim: 5, mappingLayers: 2 };
const LATENTS = 4;

/** Tensors of a generator whose values are anything but alike. */
function tensorsOf(config: StyleGan2Config, prefix = '') {
  let t = 0;
  return new Map(
    [...new Generator(config).state()].map(([key, { shape, size }]) => {
      t++;
      const scale = key.startsWith('style') && key.endsWith('weight') ? 100 : key.endsWith('noise.weight') ? 0.3 : 1;
      const shift = key.endsWith('modulation.bias') ? 1 : 0;
      const data = Float32Array.from({ length: size }, (_, n) => shift + scale * Math.sin(1 + t + 0.7 * n));
      return [prefix + key, { shape, data }];
    }),
  );
}

function save(name: string, tensors: Parameters<typeof writeSafetensors>[0]): string {
  const path = at(name);
  writeFileSync(path, Buffer.concat(writeSafetensors(tensors)));
  return path;
}

/** An image file's pixels, in an array of their own. */
async function decoded(file: Uint8Array, name: string): Promise<Rgb8> {
  const { width, height, data } = await decodeImage(file, name);
  return { width, height, data: Uint8Array.from(data) };
}

describe("NumPy's RandomState", () => {
  test.each([
    [0, [1.76405235, 0.40015721, 0.97873798, 2.2408932]],
    [85, [0.17685072, 2.37775412, 0.99873286, -1.3101508]],
    [42, [0.49671415, -0.1382643, 0.64768854, 1.52302986]],
  ])('seed %i', (seed, values) => {
    for (const [i, value] of values.entries()) expect(numpyNormals(seed, 4)[i]).toBeCloseTo(value, 8);
  });

  test('the 512 numbers of seed 0 have the known sum, and fewer are their beginning', () => {
    const all = numpyNormals(0, 512);
    expect(all.reduce((a, b) => a + b, 0)).toBeCloseTo(-13.203225372, 9);
    expect([...numpyNormals(0, 5)]).toEqual([...all.subarray(0, 5)]);
  });
});

describe('sizes by shapes', () => {
  const infer = (tensors: ReadonlyMap<string, { shape: readonly number[] }>) => inferConfig(tensors, { source: 'X' });

  test.each([
    ['small', SMALL],
    ...(['micro16', 'small32', 'demo64', 'gpu64', 'f256', 'f1024'] as const).map(
      name => [name, presets[name]] as const,
    ),
    ['half width', { ...configF(512, 16384), mappingLayers: 2 }],
  ] as const)('%s', (_, config) => {
    expect(infer(new Generator(config).state())).toEqual(config);
  });

  const shapes = () => new Map([...new Generator(SMALL).state()].map(([key, { shape }]) => [key, { shape }]));
  test.each([
    ['input.input', undefined, 'X: no tensor "input.input"; there is no StyleGAN2 generator in it'],
    ['input.input', [1, 4, 4], 'X: "input.input" is [1, 4, 4], a generator has [1, C, 4, 4] there'],
    ['convs.0.conv.weight', undefined, 'X: no tensor "convs.0.conv.weight"; there is no StyleGAN2 generator in it'],
    [
      'convs.0.conv.weight',
      [1, 3, 9, 3, 3],
      'X: "convs.0.conv.weight" is [1, 3, 9, 3, 3], a generator has [1, C, 4, 3, 3] there',
    ],
    ['style.1.weight', [5, 10], 'X: "style.1.weight" is [5, 10], a generator has [5, 5] there'],
    [
      'conv1.conv.modulation.weight',
      [9, 5],
      'X: "conv1.conv.modulation.weight" is [9, 5], a generator has [4, D] there',
    ],
  ])('%s as %j is refused', (key, shape, message) => {
    const changed = shapes();
    if (shape) changed.set(key, { shape });
    else changed.delete(key);
    expect(() => infer(changed)).toThrow(new UserError(message));
  });

  test.each(['', 'g_ema.', 'average/', 'decoder.'])(
    'a generator under "%s" is found, and the average beside it',
    prefix => {
      const tensors = new Map(tensorsOf(SMALL, prefix));
      tensors.set('latent_avg', { shape: [1, 5], data: new Float32Array([1, 2, 3, 4, 5]) });
      tensors.set('d.convs.0.0.weight', { shape: [1], data: new Float32Array(1) });
      const found = findGenerator(tensors, { source: 'X' });
      expect(found.config).toEqual(SMALL);
      expect(found.average).toEqual(new Float32Array([1, 2, 3, 4, 5]));
    },
  );

  test("a clamp of activations is known from the file's metadata", async () => {
    const metadata = { 'g_ema.conv_clamp': '256', 'd.conv_clamp': '1' };
    const path = at('clamped.safetensors');
    writeFileSync(path, Buffer.concat(writeSafetensors(tensorsOf(SMALL, 'g_ema.'), { metadata })));
    const { tensors, ...found } = await findWeights('generate', path);
    expect(findGenerator(tensors, found).config).toEqual({ ...SMALL, convClamp: 256 });
  });

  test('of two generators the average is taken', () => {
    const tensors = new Map([...tensorsOf({ ...SMALL, mappingLayers: 1 }, 'g.'), ...tensorsOf(SMALL, 'g_ema.')]);
    expect(findGenerator(tensors, { source: 'X' }).config).toEqual(SMALL);
  });
});

describe('latents', () => {
  const [n, d] = [3, 2];
  /** Vector i is [10 i, 10 i + 1]. */
  const w = (count: number) => ({
    shape: [count, d],
    data: Float32Array.from({ length: count * d }, (_, i) => 10 * Math.floor(i / d) + (i % d)),
  });

  test('mixing puts the columns above, the rows at the left, and exchanges the layers', () => {
    const { shape, data } = mixed(repeated(w(3), n), { rows: [7], columns: [8, 9], layers: [1] });
    expect(shape).toEqual([5, n, d]);
    const first = Array.from({ length: 5 * n }, (_, i) => data[i * d]);
    expect(first).toEqual([10, 10, 10, 20, 20, 20, 0, 0, 0, 0, 10, 0, 0, 20, 0]);
  });

  test('a walk that repeats returns to the first, one that does not ends at the last', () => {
    const path = { frames: 2, spherical: false };
    const first = ({ data }: { data: Float32Array }) => Array.from({ length: data.length / d }, (_, i) => data[i * d]);
    expect(first(interpolated(w(3), { ...path, closed: true }))).toEqual([0, 5, 10, 15, 20, 10]);
    expect(first(interpolated(w(3), { ...path, closed: false }))).toEqual([0, 5, 10, 15, 20]);
  });

  test('the walk along the arc keeps the norm, and takes equal angles', () => {
    const ends = { shape: [2, 2], data: new Float32Array([1, 0, 0, 1]) };
    const { data } = interpolated(ends, { frames: 3, closed: false, spherical: true });
    [0, 30, 60, 90].forEach((degrees, i) => {
      expect(data[2 * i]).toBeCloseTo(Math.cos((degrees * Math.PI) / 180), 6);
      expect(data[2 * i + 1]).toBeCloseTo(Math.sin((degrees * Math.PI) / 180), 6);
    });
  });

  test('lists of numbers and ranges', () => {
    expect(parseList('--seeds', '0-3, 12,7-7')).toEqual([0, 1, 2, 3, 12, 7]);
    expect(parseList('--seeds', '4294967295')).toEqual([4294967295]);
  });
});

describe('animated PNG', () => {
  const frames = [0, 1, 2].map(
    (k): Rgb8 => ({ width: 5, height: 4, data: Uint8Array.from({ length: 60 }, (_, i) => 97 * k + i * i * (k + 1)) }),
  );
  const file = Buffer.concat(encodeApng(frames, { fps: 24, loops: 3 }));

  test('a reader without animations shows the first frame', async () => {
    expect((await decoded(file, 'x.png')).data).toEqual(frames[0].data);
  });

  test('holds the frames with their delays, in order and lossless', () => {
    const chunks: { type: string; data: Uint8Array }[] = [];
    for (let i = 8; i < file.length; ) {
      const length = file.readUInt32BE(i);
      chunks.push({ type: file.toString('latin1', i + 4, i + 8), data: file.subarray(i + 8, i + 8 + length) });
      i += 12 + length;
    }
    expect(chunks.map(({ type }) => type).join(' ')).toBe('IHDR acTL fcTL IDAT fcTL fdAT fcTL fdAT IEND');
    expect([...chunks[1].data]).toEqual([0, 0, 0, 3, 0, 0, 0, 3]);
    const controls = chunks.filter(({ type }) => type === 'fcTL').map(({ data }) => Buffer.from(data));
    expect(controls.map(data => data.readUInt16BE(20) / data.readUInt16BE(22))).toEqual([1 / 24, 1 / 24, 1 / 24]);
    const numbered = chunks.filter(({ type }) => type === 'fcTL' || type === 'fdAT');
    expect(numbered.map(({ data }) => Buffer.from(data).readUInt32BE(0))).toEqual([0, 1, 2, 3, 4]);
    const rows = unzlibSync(chunks[5].data.subarray(4));
    expect(rows.length).toBe(4 * 16);
  });
});

describe('a sampler', () => {
  const use = useDevice();
  let generator: Generator;
  beforeAll(() => {
    generator = loadGenerator(use.device, findGenerator(tensorsOf(SMALL), { source: 'X' }));
  });
  afterAll(() => release(generator));
  const data = Float32Array.from({ length: 20 * 5 }, (_, i) => Math.sin(i * i));
  const w: Latents = { shape: [20, 5], data };

  async function imagesOf(
    latents: Latents,
    options: SamplingOptions = {},
    noiseSeeds?: number[],
  ): Promise<Uint8Array[]> {
    const sampler = new Sampler(use.device, generator, options);
    const images: Uint8Array[] = [];
    for await (const image of sampler.images(latents, noiseSeeds)) images.push(image.data);
    sampler.release();
    return images;
  }
  /** The image of one latent by the generator as it is written. */
  async function direct(latent: Float32Array, noise: 'stored' | 'none' = 'stored'): Promise<Uint8Array> {
    const read = use.device.scope('direct', () =>
      generator.forward(use.device.tensor(latent, [1, 5]), { noise }).read(),
    );
    return tile(await read, [1, 3, 8, 8], { columns: 1 }).data;
  }

  test('makes the images of the generator, in more than one batch, with the stored noise or without', async () => {
    const [stored, none] = [await imagesOf(w), await imagesOf(w, { noise: 'none' })];
    expect(stored.length).toBe(20);
    for (const i of [0, 15, 16, 19]) {
      expect(stored[i]).toEqual(await direct(data.slice(5 * i, 5 * i + 5)));
      expect(none[i]).toEqual(await direct(data.slice(5 * i, 5 * i + 5), 'none'));
      expect(stored[i]).not.toEqual(none[i]);
    }
  });

  test('W+ of equal rows gives the images of W', async () => {
    expect(await imagesOf(repeated(w, LATENTS))).toEqual(await imagesOf(w));
  });

  test('random noise depends on its seed alone', async () => {
    const same = {
      shape: [3, 5],
      data: new Float32Array([...data.subarray(0, 5), ...data.subarray(0, 5), ...data.subarray(0, 5)]),
    };
    const [a, b, c] = await imagesOf(same, { noise: 'random' }, [4, 5, 4]);
    expect(c).toEqual(a);
    expect(b).not.toEqual(a);
    expect(await imagesOf({ shape: [1, 5], data: data.slice(0, 5) }, { noise: 'random' }, [5])).toEqual([b]);
  });

  test('truncation moves towards the average, and with a cutoff for the first latents alone', async () => {
    const average = new Float32Array([0.5, -0.2, 0.1, 0.9, -0.4]);
    const halfway = Float32Array.from(data.subarray(0, 5), (value, i) => average[i] + 0.5 * (value - average[i]));
    const one = { shape: [1, 5], data: data.slice(0, 5) };
    expect(await imagesOf(one, { truncation: { psi: 0.5 }, average })).toEqual([await direct(halfway)]);
    const wide = repeated(one, LATENTS);
    wide.data.set(halfway, 0);
    wide.data.set(halfway, 5);
    expect(await imagesOf(one, { truncation: { psi: 0.5, cutoff: 2 }, average })).toEqual(await imagesOf(wide));
  });

  test('without an average it takes the mean of many', async () => {
    const sampler = new Sampler(use.device, generator);
    const z = Float32Array.from(numpyNormals(3, 5 * 10_000));
    const mapped = await sampler.map(z);
    sampler.release();
    const mean = Float32Array.from(
      { length: 5 },
      (_, j) => mapped.filter((_, i) => i % 5 === j).reduce((a, b) => a + b, 0) / 10_000,
    );
    const [image] = await imagesOf({ shape: [1, 5], data: data.slice(0, 5) }, { truncation: { psi: 0 } });
    const near = await direct(mean);
    for (const [i, value] of image.entries()) expect(Math.abs(value - near[i])).toBeLessThanOrEqual(12);
  });
});

describe('wgrad generate', () => {
  const use = useDevice();
  beforeEach(() => void vi.spyOn(console, 'log').mockImplementation(() => {}));
  afterAll(() => void vi.restoreAllMocks());
  const file = save('small.safetensors', tensorsOf(SMALL, 'g_ema.'));
  const pixels = (name: string) => decoded(readFileSync(at(name)), name);

  test('writes one PNG a seed, and touches nothing that is there without --force', async () => {
    const first = await wgrad(['generate', file, '--seeds', '0-2,40', '--out', 'faces'], { cwd: root });
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(
      /8 pixels, channels 4, 3, w 5, 2 mapping layers\nwritten: faces\/seed0000\.png to seed0040\.png\n$/,
    );
    const names = ['seed0000.png', 'seed0001.png', 'seed0002.png', 'seed0040.png'];
    expect(readdirSync(at('faces'))).toEqual(names);
    const before = readFileSync(at('faces', 'seed0001.png'));
    const again = await wgrad(['generate', file, '--seeds', '1,7', '--noise', 'none', '--out', 'faces'], { cwd: root });
    expect(again).toMatchObject({ code: 2, stdout: '' });
    expect(again.stderr).toBe(
      'wgrad: faces/seed0001.png is there already: give another --out, or replace it with --force\n',
    );
    expect(readdirSync(at('faces'))).toEqual(names);
    const forced = await wgrad(['generate', file, '--seeds', '1,7', '--noise', 'none', '--out', 'faces', '--force'], {
      cwd: root,
    });
    expect(forced).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(at('faces', 'seed0001.png')).equals(before)).toBe(false);
  });

  test('a grid has the images of its seeds', async () => {
    await verb.run([file, '--grid', '2x2', '--seeds', '0,2,40,0', '--out', at('grid.png')]);
    const seeds = await Promise.all(['0000', '0002', '0040', '0000'].map(seed => pixels(`faces/seed${seed}.png`)));
    expect(await pixels('grid.png')).toEqual(montage(seeds, { columns: 2 }));
  });

  test('a table of mixing whose every layer is exchanged repeats its columns', async () => {
    await verb.run([file, '--mix', 'rows=0', 'cols=2,40', 'layers=0-3', '--out', at('mixing.png')]);
    const [row, ...columns] = await Promise.all(['0000', '0002', '0040'].map(seed => pixels(`faces/seed${seed}.png`)));
    expect(await pixels('mixing.png')).toEqual(montage([undefined, ...columns, row, ...columns], { columns: 3 }));
  });

  test('an interpolation is a WebP that loops, or a PNG; it begins with the first seed', async () => {
    await verb.run([
      file,
      '--interpolate',
      'w',
      '--seeds',
      '0,2',
      '--frames',
      '3',
      '--fps',
      '30',
      '--out',
      at('a.webp'),
    ]);
    const { pages, loop, delay, width, height } = await sharp(at('a.webp')).metadata();
    expect({ pages, loop, width, height }).toEqual({ pages: 6, loop: 0, width: 8, height: 8 });
    expect(delay).toEqual([33, 34, 33, 33, 34, 33]);
    await verb.run([file, '--interpolate', 'z', '--seeds', '0,2', '--loops', '1', '--out', at('a.png')]);
    expect(await pixels('a.png')).toEqual(await pixels('faces/seed0000.png'));
    const control = readFileSync(at('a.png')).indexOf('acTL');
    expect([...readFileSync(at('a.png')).subarray(control + 4, control + 12)]).toEqual([0, 0, 0, 25, 0, 0, 0, 1]);
  });

  test('stored latents of W and W+ give their images', async () => {
    const [a, b] = [0, 1].map(i => Float32Array.from({ length: 5 }, (_, j) => Math.cos(i + 2 * j)));
    const wide = repeated({ shape: [1, 5], data: b }, LATENTS);
    const latents = save(
      'latents.safetensors',
      new Map([
        ['w', { shape: [5], data: a }],
        ['plus', { shape: wide.shape, data: wide.data }],
        ['both', { shape: [2, 5], data: Float32Array.from([...a, ...b]) }],
      ]),
    );
    await verb.run([file, '--latents', latents, '--out', at('stored')]);
    const images = await Promise.all([0, 1, 2, 3].map(i => pixels(`stored/latent000${i}.png`)));
    expect(images[2]).toEqual(images[0]);
    expect(images[3]).toEqual(images[1]);
    expect(images[1]).not.toEqual(images[0]);
  });

  test('takes a generator that comes with the package', async () => {
    const known = findGenerator(await shippedWeights('generator-32'), { source: 'generator-32' });
    expect(known.config).toEqual(presets.small32);
    expect(known.average?.length).toBe(128);
  });

  test("takes the average of a run's newest checkpoint", async () => {
    const [average, latentAverage] = [new Generator(SMALL), new LatentAverage(5)];
    initialize(average, use.device, { seed: 3 });
    initialize(latentAverage, use.device);
    const checkpoints = await openFolder(at('run', 'checkpoints'), { create: true });
    await expect(findWeights('generate', at('run'))).rejects.toThrow('is no run (no config.json)');
    writeFileSync(at('run', 'config.json'), '{}');
    await expect(findWeights('generate', at('run'))).rejects.toThrow('has no checkpoint yet');
    for (const step of [8, 16]) {
      use.device.write(latentAverage.value.value, new Float32Array(5).fill(step));
      await saveCheckpoint(checkpoints, { modules: { average, latentAverage }, optimizers: {} }, { step }, 2);
    }
    const { source, tensors } = await findWeights('generate', at('run'));
    expect(source).toBe(at('run', 'checkpoints', 'step-00000016', 'model.safetensors'));
    const found = findGenerator(tensors, { source });
    expect(found).toMatchObject({ config: SMALL, average: new Float32Array(5).fill(16) });
    const kept = await readStateDict(average);
    for (const [key, { data }] of kept) expect(found.tensors.get(key)?.data).toEqual(data);
    for (const module of [average, latentAverage]) release(module);
  });

  describe('refuses in one line, and writes nothing', () => {
    const damaged = at('damaged.safetensors');
    writeFileSync(damaged, readFileSync(file).subarray(0, 3000));
    writeFileSync(at('official.pt'), 'PK');
    mkdirSync(at('no-run'));
    const missing = tensorsOf(SMALL);
    missing.delete('noises.noise_1');
    const without = save('without.safetensors', missing);
    const other = save('other.safetensors', new Map([['w', { shape: [2, 7], data: new Float32Array(14) }]]));
    const endless = save(
      'endless.safetensors',
      new Map([['w', { shape: [5], data: new Float32Array(5).fill(Number.NaN) }]]),
    );
    test.each([
      [[], 'generate: say first with what'],
      [['nothing-64'], 'generate: there is no nothing-64: name a run'],
      [[at('no-run')], 'is no run (no config.json)'],
      [[at('official.pt')], 'is no file of weights that is known'],
      [[damaged], 'truncated'],
      [[without], 'no tensor "noises.noise_1"'],
      [['parsing-32'], 'no tensor "input.input"; there is no StyleGAN2 generator in it'],
      [[file, '--seeds', '7-3'], '--seeds 7-3: write whole numbers from 0 to 4294967295'],
      [[file, '--seeds', '4294967296'], '--seeds 4294967296: write'],
      [[file, '--seeds', '0-99999999'], 'more than 100000 at a time'],
      [[file, '--seed-mode', 'torch'], '--seed-mode torch is not possible; give numpy, philox'],
      [[file, '--truncation', 'half'], '--truncation half is not possible; give a number from -10 to 10'],
      [[file, '--cutoff', '2'], '--cutoff 2 is for --truncation, which is not given'],
      [[file, '--truncation', '0.5', '--cutoff', '5'], '--cutoff 5 is not possible; give a whole number from 0 to 4'],
      [[file, '--noise', 'loud'], '--noise loud is not possible; give const, random, none'],
      [[file, '--grid', '3'], '--grid 3: write COLUMNSxROWS'],
      [[file, '--grid', '2x2', '--seeds', '1,2'], '--grid 2x2 has 4 cells, and there are 2 images'],
      [[file, '--grid', '2x2', '--out', 'grid.jpg'], '--out grid.jpg: name a .png file'],
      [[file, '--grid', '2x2', '--interpolate', 'w'], '--grid and --interpolate are two pictures'],
      [[file, '--mix', 'rows=0', 'cols=1'], 'layers= is missing'],
      [[file, '--mix', 'rows=0', 'cols=1', 'layers=4'], '--mix layers 4: write whole numbers from 0 to 3'],
      [[file, 'rows=0'], "what is 'rows=0'?"],
      [[file, '--interpolate', 'w', '--seeds', '3'], 'there is only one'],
      [[file, '--interpolate', 'w', '--out', 'a.gif'], '--out a.gif: name a .webp or .png file'],
      [
        [file, '--interpolate', 'w', '--frames', '10000', '--seeds', '0-999'],
        'interpolation.webp: 10000000 frames of 8',
      ],
      [
        [file, '--interpolate', 'z', '--frames', '10000', '--seeds', '0-9999', '--out', 'a.png'],
        'a.png: 100000000 frames of 8 pixels are too many for one file',
      ],
      [
        [file, '--mix', 'rows=0-4999', 'cols=0-4999', 'layers=0'],
        'mixing.png: 25010001 images of 8 pixels are too many',
      ],
      [[file, '--fps', '30'], '--fps 30 is for --interpolate, which is not given'],
      [[file, '--interpolate', 'w', '--fps', '0'], '--fps 0 is not possible'],
      [[file, '--latents', other], '"w" is [2,7], wanted [N, 5] of W or [N, 4, 5] of W+'],
      [[file, '--latents', endless], '"w" has values that are not finite'],
      [[file, '--latents', other, '--seeds', '1'], '--latents takes the place of --seeds'],
    ])('%j', async (args, message) => {
      const before = readdirSync(root);
      await expect(verb.run(args)).rejects.toThrow(UserError);
      await expect(verb.run(args)).rejects.toThrow(message);
      expect(readdirSync(root)).toEqual(before);
      const said = await verb.run(args).catch(error => String(error.message));
      expect(said).not.toContain('\n');
    });
  });
});
