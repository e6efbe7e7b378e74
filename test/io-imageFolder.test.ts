import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { zipSync } from 'fflate';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeSquare } from '../src/data/decoder.node.ts';
import { loadImages, openImages } from '../src/data/imageFolder.ts';
import type { ImageBatch, ImageSampler } from '../src/data/imageSampler.ts';
import { decodeSquare as decodeHere } from '../src/data/square.ts';
import { UserError } from '../src/io/errors.ts';

let scratch: string;
/** 23 one-coloured images, red = 10 n, in two folders, and two damaged ones. */
let faces: string;

beforeAll(async () => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'wgrad-images-'));
  faces = path.join(scratch, 'faces');
  for (const label of ['calm/deep', 'glad']) fs.mkdirSync(path.join(faces, label), { recursive: true });
  for (let n = 0; n < 23; n++) {
    const image = sharp({ create: { width: 6, height: 6, channels: 3, background: { r: 10 * n, g: 0, b: 255 } } });
    const name = `${n % 2 ? 'glad' : 'calm/deep'}/${String(n).padStart(2, '0')}.${n % 3 ? 'png' : 'PNG'}`;
    await image.png().toFile(path.join(faces, name));
  }
  fs.writeFileSync(path.join(faces, 'calm/broken.jpg'), 'no image');
  fs.writeFileSync(path.join(faces, 'glad/cut.png'), fs.readFileSync(path.join(faces, 'glad/01.png')).subarray(0, 60));
  fs.writeFileSync(path.join(faces, 'glad/.hidden.png'), 'x');
  fs.writeFileSync(path.join(faces, 'notes.txt'), 'x');
});
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));

function zipped(): Uint8Array {
  const files = fs.readdirSync(faces, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
  const entries = files.reverse().map(entry => {
    const file = path.join(entry.parentPath, entry.name);
    return [path.relative(faces, file), new Uint8Array(fs.readFileSync(file))];
  });
  return zipSync({ ...Object.fromEntries(entries), '__MACOSX/glad/._01.png': new Uint8Array(9) });
}

const redOf = (batch: ImageBatch): number[] => {
  const stride = batch.images.length / batch.indices.length;
  return batch.indices.map((_, n) => Math.round(((batch.images[n * stride] + 1) * 127.5) / 10));
};

async function take(sampler: ImageSampler, batches: number): Promise<number[]> {
  const reds: number[] = [];
  for (let i = 0; i < batches; i++) reds.push(...redOf(await sampler.next()));
  return reds;
}

describe('openImages', () => {
  test('lists a folder, a zip on disk and a zip in memory alike: sorted, labelled by the top folder', async () => {
    const file = path.join(scratch, 'faces.zip');
    fs.writeFileSync(file, zipped());
    const lists = [await openImages(faces), await openImages(file), await openImages(new Blob([zipped() as BlobPart]))];
    for (const entries of lists) {
      expect(entries.map(entry => entry.name)).toEqual(lists[0].map(entry => entry.name));
      expect(entries.length).toBe(25);
      expect(entries.slice(0, 2).map(({ name, label }) => [name, label])).toEqual([
        ['calm/broken.jpg', 'calm'],
        ['calm/deep/00.PNG', 'calm'],
      ]);
      expect(entries.at(-1)).toMatchObject({ name: 'glad/cut.png', label: 'glad' });
      expect(Buffer.from(await entries[1].read())).toEqual(fs.readFileSync(path.join(faces, 'calm/deep/00.PNG')));
    }
  });

  test('a missing or empty folder, a file that is no zip, and images that are none are one line', async () => {
    fs.mkdirSync(path.join(scratch, 'empty'));
    fs.mkdirSync(path.join(scratch, 'bad'));
    fs.writeFileSync(path.join(scratch, 'bad/a.png'), 'x');
    for (const [name, message] of [
      ['none', /There is no folder .*none/],
      ['empty', /empty holds no \.jpg/],
      ['bad/a.png', /a\.png is no zip file/],
      ['bad', /bad: none of its 1 images can be decoded/],
    ] as const) {
      const loading = loadImages({ source: path.join(scratch, name), size: 4 });
      await expect(loading).rejects.toMatchObject({ name: 'UserError', message: expect.stringMatching(message) });
    }
  });
});

describe('loadImages', () => {
  test('crops the central square, resizes and scales to [-1, 1]', async () => {
    const folder = path.join(scratch, 'wide');
    fs.mkdirSync(folder);
    // 7 × 4: columns 1 to 4 are the central square; its value is the column's.
    const data = Uint8Array.from({ length: 28 * 3 }, (_, i) => 50 * (Math.floor(i / 3) % 7));
    await sharp(
      data.map(v => Math.min(v, 255)),
      { raw: { width: 7, height: 4, channels: 3 } },
    )
      .png()
      .toFile(path.join(folder, 'a.png'));
    const images = await loadImages({ source: folder, size: 4 });
    const { images: batch } = await images.sampler({ batch: 1, seed: 0 }).next();
    const row = [50, 100, 150, 200].map(v => Math.fround(v / 127.5 - 1));
    expect([...batch]).toEqual(Array.from({ length: 12 }, () => row).flat());
    const halved = await loadImages({ source: folder, size: 2 });
    // Weights 3, 3, 1 of 7 (the triangle of radius 2, cut at the border): by Pillow's filter.
    expect([...(await halved.pixels(0))!.subarray(0, 6)]).toEqual([86, 86, 86, 164, 164, 164]);
  });

  test('an epoch holds every good image once; the damaged are named once and counted', async () => {
    const skipped: string[] = [];
    const images = await loadImages({ source: faces, size: 4, onSkip: message => skipped.push(message) });
    const sampler = images.sampler({ batch: 23, seed: 5 });
    const first = await take(sampler, 1);
    const second = await take(sampler, 1);
    const all = Array.from({ length: 23 }, (_, n) => n);
    for (const epoch of [first, second]) expect([...epoch].sort((a, b) => a - b)).toEqual(all);
    expect(first).not.toEqual(second);
    expect(first).not.toEqual(all);
    expect(images.skipped).toBe(2);
    expect(skipped.sort()).toEqual([
      expect.stringMatching(/^calm\/broken\.jpg is no JPEG/),
      expect.stringMatching(/^glad\/cut\.png is a damaged PNG/),
    ]);
    expect(sampler.waitedMs).toBeGreaterThan(0);
  });

  test('with mirroring an epoch holds every image twice, once from right to left, and goes on from its state', async () => {
    const folder = path.join(scratch, 'rows');
    fs.mkdirSync(folder);
    for (let i = 0; i < 5; i++) {
      const row = [0, 1, 2].flatMap(x => [10 * i + x, 100 + x, 200 - x]);
      const data = Uint8Array.from([...row, ...row, ...row]);
      await sharp(data, { raw: { width: 3, height: 3, channels: 3 } }).toFile(path.join(folder, `${i}.png`));
    }
    const images = await loadImages({ source: folder, size: 3 });
    const sampler = images.sampler({ batch: 4, seed: 2, mirror: true });
    const found: string[] = [];
    for (let i = 0; i < 5; i++) {
      const { images: batch, indices } = await sampler.next();
      for (const [k, index] of indices.entries()) {
        const planes = batch.subarray(27 * k, 27 * (k + 1)).map(value => Math.round((value + 1) * 127.5));
        const rows = Array.from({ length: 9 }, (_, r) => [...planes.subarray(3 * r, 3 * r + 3)]);
        const mirrored = rows[0][0] > rows[0][2];
        const expected = [[0, 1, 2].map(x => 10 * index + x), [100, 101, 102], [200, 199, 198]].flatMap(plain => {
          const row = mirrored ? plain.toReversed() : plain;
          return [row, row, row];
        });
        expect(rows).toEqual(expected);
        found.push(`${index}${mirrored}`);
      }
    }
    for (const epoch of [found.slice(0, 10), found.slice(10)]) expect(new Set(epoch).size).toBe(10);
    const state = { epoch: 0, position: 8 };
    const { indices } = await images.sampler({ batch: 2, seed: 2, mirror: true, state }).next();
    expect(indices.map(String)).toEqual(found.slice(8, 10).map(view => view[0]));
  });

  test('a file that cannot be read is skipped as a damaged one is', async () => {
    const folder = path.join(scratch, 'vanishing');
    fs.mkdirSync(folder);
    for (const name of ['a.png', 'b.png']) fs.copyFileSync(path.join(faces, 'glad/01.png'), path.join(folder, name));
    const skipped: string[] = [];
    const images = await loadImages({ source: folder, size: 4, onSkip: message => skipped.push(message) });
    fs.rmSync(path.join(folder, 'b.png'));
    expect((await images.sampler({ batch: 3, seed: 1 }).next()).indices).toEqual([0, 0, 0]);
    expect(skipped).toEqual([expect.stringMatching(/^b\.png cannot be read: ENOENT/)]);
  });

  test('worker threads give what the main one would, pixels and errors, many at a time', async () => {
    const noise = Uint8Array.from({ length: 90 * 60 * 3 }, (_, i) => (i * i * 31) >> 5);
    const files = await Promise.all(
      [60, 90].map(width =>
        sharp(noise, { raw: { width, height: 5400 / width, channels: 3 } })
          .jpeg()
          .toBuffer(),
      ),
    );
    const tasks = Array.from({ length: 24 }, (_, i) => ({ bytes: files[i % 2], size: 8 + i }));
    const wanted = await Promise.all(tasks.map(({ bytes, size }) => decodeHere(bytes, 'a.jpg', size)));
    const decoding = tasks.map(({ bytes, size }) => decodeSquare(bytes, 'a.jpg', size));
    expect(await Promise.all(decoding)).toEqual(wanted);
    const cut = decodeSquare(files[0].subarray(0, 400), 'cut.jpg', 8);
    await expect(cut).rejects.toThrow(/^cut\.jpg is a damaged JPEG image: /);
    await expect(cut).rejects.toBeInstanceOf(UserError);
  });

  test('worker threads keep a process alive until they have answered, and not after', async () => {
    const script = `
      let threads = 0;
      process.on('worker', () => threads++);
      const { loadImages } = await import(${JSON.stringify(pathToFileURL(path.join(import.meta.dirname, '..', 'dist', 'index.mjs')).href)});
      const images = await loadImages({ source: ${JSON.stringify(faces)}, size: 4 });
      const { indices } = await images.sampler({ batch: 20, seed: 1 }).next();
      console.log(JSON.stringify({ threads: threads > 0, images: indices.length }));`;
    // Exit code 13 were a wait that nothing keeps alive; a thread that keeps the process, the time's end.
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(JSON.parse(stdout)).toEqual({ threads: true, images: 20 });
  });

  test('the order depends on the seed alone, not on how far ahead is decoded', async () => {
    const images = await loadImages({ source: faces, size: 2 });
    const orders = [];
    for (const prefetch of [1, 2, 9]) orders.push(await take(images.sampler({ batch: 4, seed: 1, prefetch }), 15));
    expect(orders[1]).toEqual(orders[0]);
    expect(orders[2]).toEqual(orders[0]);
    expect(await take(images.sampler({ batch: 4, seed: 2 }), 15)).not.toEqual(orders[0]);
  });

  test('a saved state goes on exactly, from any step, in a process that knows nothing of the damaged', async () => {
    const images = await loadImages({ source: faces, size: 2 });
    const sampler = images.sampler({ batch: 5, seed: 3, prefetch: 3 });
    const states = [];
    for (let step = 0; step < 12; step++) states.push({ state: sampler.state, reds: await take(sampler, 1) });
    for (const [step, { state }] of states.entries()) {
      const again = await loadImages({ source: faces, size: 2 });
      const resumed = again.sampler({ batch: 5, seed: 3, state: JSON.parse(JSON.stringify(state)) });
      expect(await take(resumed, 12 - step)).toEqual(states.slice(step).flatMap(one => one.reds));
    }
  });

  test('a part of the images can be taken, and no other comes', async () => {
    const images = await loadImages({ source: faces, size: 2 });
    const batch = await images.sampler({ batch: 9, seed: 3, indices: [4, 7, 9] }).next();
    expect(new Set(batch.indices)).toEqual(new Set([4, 7, 9]));
    const broken = images.sampler({ batch: 1, seed: 3, indices: [0] });
    await expect(broken.next()).rejects.toThrow('None of the 1 images can be decoded');
    expect(() => images.sampler({ batch: 1, seed: 3, state: { epoch: 0, position: 25 } })).toThrow('not those');
    expect(() => images.sampler({ batch: 1, seed: 3, indices: [] })).toThrow('empty');
  });
});
