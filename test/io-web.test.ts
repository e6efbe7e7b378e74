/**
 * The browser's twins of src/io, in the Chromium of @sparticuz/chromium: the page's storage, and its image decoders.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build } from 'esbuild';
import { zipSync } from 'fflate';
import type { Browser, Page } from 'puppeteer';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadImages } from '../src/data/imageFolder.ts';
import { encodeApng } from '../src/io/apng.ts';
import { decodeImage, type Rgb8 } from '../src/io/images.ts';
import { launchChromium } from './browser.ts';

type Library = typeof import('../src/io/files.ts') &
  typeof import('../src/io/images.ts') &
  typeof import('../src/data/imageFolder.ts');
/** The library, inside the page. */
declare const io: Library;

let server: Server;
let browser: Browser;
let page: Page;
const consoleErrors: string[] = [];

async function bundle(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: process.cwd(), loader: 'ts' },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'io',
    write: false,
  });
  return outputFiles[0].text;
}

beforeAll(async () => {
  const files: Record<string, string> = {
    '/': '<!doctype html><link rel="icon" href="data:,"><script src="io.js"></script>',
    '/io.js': await bundle(`
      export * from './src/io/files.ts';
      export * from './src/io/images.ts';
      export * from './src/data/imageFolder.ts';
    `),
    '/writer.js': await bundle(`
      import { completeFolders, openFolder, removeCompleteFolder, writeFolderAtomically } from './src/io/files.ts';
      (async () => {
        const parent = await openFolder('killed', { create: true });
        const log = await openFolder('logs', { create: true });
        let step = Number((await completeFolders(parent)).at(-1)?.slice(5) ?? -1);
        postMessage('begins');
        for (;;) {
          step++;
          const content = new Uint8Array(100_000).fill(step % 251);
          await writeFolderAtomically(parent, 'step-' + String(step).padStart(6, '0'),
            new Map([['a', content], ['b', [content]]]));
          await log.append('log', step + '\\n');
          for (const old of (await completeFolders(parent)).slice(0, -2)) await removeCompleteFolder(parent, old);
        }
      })();
    `),
  };
  server = createServer((request, response) => {
    const body = files[request.url!];
    response.writeHead(body ? 200 : 404, {
      'content-type': request.url!.endsWith('.js') ? 'text/javascript' : 'text/html',
    });
    response.end(body);
  }).listen(0);
  browser = await launchChromium({ webgpu: false });
  page = await browser.newPage();
  page.on('console', message => message.type() === 'error' && consoleErrors.push(message.text()));
  page.on('pageerror', error => consoleErrors.push(String(error)));
  await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
});
afterAll(async () => {
  await browser?.close();
  server?.close();
});

test("a folder of the page's storage keeps what is written, appended and removed", async () => {
  const found = await page.evaluate(async () => {
    const folder = await io.openFolder('./plain/deep/', { create: true });
    await folder.write('a.txt', 'one');
    await folder.write('a.txt', [new Uint8Array([116, 119]), new Uint8Array([111])]);
    await folder.append('log', 'x');
    await folder.append('log', new Uint8Array([121]));
    await folder.write('sub/b.bin', new Uint8Array([1, 2, 3, 4]));
    const access = await folder.open('sub/b.bin');
    const result = [
      await folder.list(),
      await folder.listFiles(),
      await folder.readText('a.txt'),
      await folder.readText('log'),
      access.size,
      [...(await access.read(1, 2))],
      [...(await access.read(3, 9))],
      await io.pathKind('plain/deep/sub'),
      await io.pathKind('plain/deep/log'),
      await io.pathKind('plain/none/log'),
      await folder.exists('log/x'),
      (await (await io.openFolder('')).list()).includes('plain'),
    ];
    await folder.remove('sub');
    await folder.remove('sub');
    result.push(await folder.exists('sub'));
    for (const attempt of [
      () => io.openFolder('nowhere'),
      () => io.openFolder('plain/deep/log'),
      () => io.openFile('nowhere'),
      () => folder.write('../x', 'x'),
    ]) {
      result.push(await attempt().then(String, (error: Error) => error.message));
    }
    return result;
  });
  expect(found).toEqual([
    ['a.txt', 'log', 'sub'],
    ['a.txt', 'log', 'sub/b.bin'],
    'two',
    'xy',
    4,
    [2, 3],
    [4],
    'folder',
    'file',
    'missing',
    false,
    true,
    false,
    "There is no folder nowhere in this page's storage",
    'plain/deep/log is a file: name a folder',
    "There is no file nowhere in this page's storage",
    "'../x' is not a name inside a folder",
  ]);
});

test('a checkpoint survives the end of its Worker at any instant, and leftovers go with the next write', async () => {
  const { newest, wrong, cut, leftovers, logged } = await page.evaluate(async () => {
    const parent = await io.openFolder('killed', { create: true });
    const wrong: string[] = [];
    let cut = 0;
    let newest = -1;
    for (let round = 0; round < 20; round++) {
      const worker = new Worker('writer.js');
      await new Promise((resolve, reject) => {
        worker.onmessage = resolve;
        worker.onerror = reject;
      });
      await new Promise(resolve => setTimeout(resolve, 20 + ((round * 37) % 61)));
      worker.terminate();
      if ((await parent.list()).some(name => name.startsWith('.tmp-'))) cut++;
      const complete = await io.completeFolders(parent);
      for (const name of complete) {
        for (const file of ['a', 'b']) {
          const bytes = await parent.read(`${name}/${file}`);
          if (bytes.length !== 100_000 || bytes.some(v => v !== Number(name.slice(5)) % 251)) wrong.push(name);
        }
      }
      const last = Number(complete.at(-1)?.slice(5) ?? -1);
      if (last < newest) wrong.push(`${last} after ${newest}`);
      newest = last;
    }
    await io.writeFolderAtomically(parent, 'step-999999', new Map([['a', 'last']]));
    const leftovers = (await parent.list()).length - (await io.completeFolders(parent)).length;
    const log = await (await io.openFolder('logs')).readText('log');
    return { newest, wrong, cut, leftovers, logged: log.split('\n').length };
  });
  expect(wrong).toEqual([]);
  expect(newest).toBeGreaterThan(5);
  expect(cut).toBeGreaterThan(3); // else the terminations missed what they are meant to hit
  expect(leftovers).toBe(0);
  expect(logged).toBeGreaterThan(5);
});

const inPage = (file: Uint8Array, name: string): Promise<Omit<Rgb8, 'data'> & { data: number[] }> =>
  page.evaluate(
    async (bytes, name) => {
      const { width, height, data } = await io.decodeImage(Uint8Array.from(bytes), name);
      return { width, height, data: [...data] };
    },
    [...file],
    name,
  );

test('images decode as they do in Node', async () => {
  const noise = Uint8Array.from({ length: 4 * 15 * 10 }, (_, i) => Math.imul(i, 2654435761) >>> 24);
  const rgba = () => sharp(noise, { raw: { width: 15, height: 10, channels: 4 } });
  const rgb = () => rgba().removeAlpha();
  const exact = [
    await rgb().png().toBuffer(),
    await rgb().webp({ lossless: true }).toBuffer(),
    await rgb().greyscale().png().toBuffer(),
    await rgb().withMetadata({ orientation: 6 }).png().toBuffer(),
    await rgb().withMetadata({ orientation: 6 }).webp({ lossless: true }).toBuffer(),
  ];
  const near: [Buffer, number][] = [
    [await rgba().png().toBuffer(), 2], // premultiplied in the canvas
    [await rgb().blur(4).jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer(), 3],
    [
      await rgb().blur(4).withMetadata({ orientation: 8 }).jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer(),
      3,
    ],
    [await rgb().blur(4).greyscale().jpeg().toBuffer(), 3],
  ];
  for (const [file, slack] of [...exact.map(file => [file, 0] as const), ...near]) {
    const [here, there] = [await decodeImage(file, 'x'), await inPage(file, 'x')];
    expect([there.width, there.height]).toEqual([here.width, here.height]);
    const worst = Math.max(...there.data.map((value, i) => Math.abs(value - here.data[i])));
    expect(worst).toBeLessThanOrEqual(slack);
  }
});

test('damaged images are one line, and encodePng keeps every pixel', async () => {
  const image = sharp({
    create: {
      width: 40,
      height: 30,
      channels: 3,
      background: 'grey',
      noise: { type: 'gaussian', mean: 99, sigma: 30 },
    },
  });
  const files: [string, Buffer][] = [
    ['a.png', await image.png().toBuffer()],
    ['a.jpg', await image.jpeg().toBuffer()],
    ['a.webp', await image.webp().toBuffer()],
  ];
  for (const [name, file] of files) {
    for (const length of [3, 20, file.length >> 1]) {
      await expect(inPage(file.subarray(0, length), name)).rejects.toThrow(`${name} is`);
    }
  }
  const raw = await image.raw().toBuffer();
  const png = await page.evaluate(
    async data => [...(await io.encodePng({ width: 40, height: 30, data: Uint8Array.from(data) }))],
    [...raw],
  );
  expect(Buffer.from((await decodeImage(Uint8Array.from(png), 'x')).data).equals(raw)).toBe(true);
});

test('a zip gives the same batches as in Node', async () => {
  const files: Record<string, Uint8Array> = { 'a/broken.png': new Uint8Array(99) };
  for (let n = 0; n < 7; n++) {
    const data = Uint8Array.from({ length: 3 * 12 * 9 }, (_, i) => Math.imul(i + 1000 * n, 2654435761) >>> 24);
    files[`b/${n}.png`] = await sharp(data, { raw: { width: 12, height: 9, channels: 3 } })
      .png()
      .toBuffer();
  }
  const zip = zipSync(files);
  const images = await loadImages({ source: new Blob([zip as BlobPart]), size: 5 });
  const sampler = images.sampler({ batch: 3, seed: 4 });
  const here = [];
  for (let i = 0; i < 5; i++) here.push([...(await sampler.next()).images]);
  const there = await page.evaluate(
    async bytes => {
      const images = await io.loadImages({ source: new Blob([Uint8Array.from(bytes)]), size: 5 });
      const sampler = images.sampler({ batch: 3, seed: 4 });
      const batches = [];
      for (let i = 0; i < 5; i++) batches.push([...(await sampler.next()).images]);
      return batches;
    },
    [...zip],
  );
  expect(there).toEqual(here);
});

test('plays an animated PNG: frames, times, repetitions and every pixel', async () => {
  const frames = [0, 1, 2].map(
    (k): Rgb8 => ({ width: 7, height: 5, data: Uint8Array.from({ length: 105 }, (_, i) => 80 * k + i * i * (k + 1)) }),
  );
  const file = Buffer.concat(encodeApng(frames, { fps: 25, loops: 4 })).toString('base64');
  const played = await page.evaluate(async base64 => {
    const data = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
    const decoder = new ImageDecoder({ data, type: 'image/png' });
    await decoder.tracks.ready;
    await decoder.completed;
    const { frameCount, repetitionCount } = decoder.tracks.selectedTrack!;
    const images = [];
    for (let frameIndex = 0; frameIndex < frameCount; frameIndex++) {
      const { image } = await decoder.decode({ frameIndex });
      const context = new OffscreenCanvas(image.displayWidth, image.displayHeight).getContext('2d')!;
      context.drawImage(image, 0, 0);
      const { data: rgba } = context.getImageData(0, 0, image.displayWidth, image.displayHeight);
      images.push({ duration: image.duration, data: [...rgba].filter((_, i) => i % 4 !== 3) });
      image.close();
    }
    return { repetitionCount, images };
  }, file);
  // Chromium counts what follows the first time.
  expect(played.repetitionCount).toBe(3);
  expect(played.images).toEqual(frames.map(({ data }) => ({ duration: 40_000, data: [...data] })));
});

test('no error was written to the console', () => {
  expect(consoleErrors).toEqual([]);
});
