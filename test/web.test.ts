/**
 * The page of `wgrad web` in Chromium: its training is the one of Node, whatever interrupts it; and the server behind
 * it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { unzipSync } from 'fflate';
import type { Browser, Page } from 'puppeteer';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { GoldenCase } from '../src/cli/goldens/format.ts';
import type { CaseResult } from '../src/cli/goldens/verify.ts';
import { serve } from '../src/cli/web.ts';
import { openFolder } from '../src/io/files.ts';
import { zipFolder } from '../src/io/zip.ts';
import { Device } from '../src/runtime/device.ts';
import { variantText } from '../src/runtime/variants.ts';
import { commonDefaults } from '../src/train/options.ts';
import { recipes } from '../src/train/recipes/index.ts';
import type { LogLine } from '../src/train/runLog.ts';
import { train } from '../src/train/trainer.ts';
import { stageDrops } from '../src/web/charts.ts';
import { launchChromium } from './browser.ts';
import { wgrad } from './command.ts';

// Compiling kernels on SwiftShader takes minutes where the cores are busy with other work.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const root = join(import.meta.dirname, '..');
const scratch = mkdtempSync(join(tmpdir(), 'wgrad-web-'));
/**
 * The smallest training there is, so that SwiftShader has few kernels to compile; of so many steps that it does not end
 * between two looks of a test.
 */
const SETTINGS = { size: '16', steps: '120', batch: '4', width: '4', saveEvery: '16' };
const STEPS = Number(SETTINGS.steps);

let server: Server;
let url: string;
let browser: Browser;
let page: Page;
const consoleErrors: string[] = [];

beforeAll(async () => {
  server = await serve({ site: join(root, 'dist', 'web'), weights: join(root, 'weights'), port: 0 });
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  browser = await launchChromium();
  page = await openPage(browser);
  const session = await browser.target().createCDPSession();
  await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: scratch, eventsEnabled: true });
});
afterAll(async () => {
  await browser?.close();
  server?.close();
  rmSync(scratch, { recursive: true, force: true });
});

async function openPage(browser: Browser): Promise<Page> {
  const page = await browser.newPage();
  page.on('console', message => message.type() === 'error' && consoleErrors.push(message.text()));
  page.on('pageerror', error => consoleErrors.push(String(error)));
  page.on(
    'response',
    response => response.status() >= 400 && consoleErrors.push(`${response.status()} ${response.url()}`),
  );
  await page.goto(url);
  return page;
}

const text = (id: string) => page.$eval(`#${id}`, found => found.textContent!);
const state = (wanted: string) =>
  page.waitForFunction(
    wanted => document.getElementById('state')!.textContent!.startsWith(wanted),
    { timeout: 240_000, polling: 50 },
    wanted,
  );
/** Returns when the notice above the page says so. */
const noticed = (says: string) =>
  page.waitForFunction(says => document.getElementById('notice-text')!.textContent!.includes(says), {}, says);
/** Returns when the page shows a step from this one on, but not the last. */
const reached = (step: number) =>
  page.waitForFunction(
    (step, last) => {
      const shown = Number.parseInt(document.getElementById('tile-step')!.textContent!, 10);
      return shown >= step && shown < last;
    },
    { timeout: 240_000, polling: 50 },
    step,
    STEPS,
  );
const press = (id: string) => page.locator(`#${id}:enabled`).click();

/** Types a recipe's settings. */
async function choose(recipe = 'perceptual', settings: Readonly<Record<string, string>> = SETTINGS): Promise<void> {
  await page.waitForSelector('#start:enabled');
  await page.select('#recipe', recipe);
  await page.$eval('details', details => {
    details.open = true;
  });
  for (const [key, value] of Object.entries(settings)) await page.locator(`#setting-${key}`).fill(value);
}

/** Presses Start with a recipe and settings, and agrees to replace the run in storage. */
async function start(...chosen: Parameters<typeof choose>): Promise<void> {
  await choose(...chosen);
  const replaces = (await text('storage-text')) !== 'None yet.';
  await press('start');
  if (replaces) await page.locator('#confirm-yes').click();
}

/** A file in the page's storage: of its run or, in another folder, of its cache. */
const stored = (name: string, folder = 'run') =>
  page.evaluate(
    async (name, folder) => {
      const found = await (await navigator.storage.getDirectory()).getDirectoryHandle(folder);
      return (await (await found.getFileHandle(name)).getFile()).text();
    },
    name,
    folder,
  );

/** The losses in a log.jsonl, [step][loss]. */
const lossesOf = (log: string) =>
  log
    .trim()
    .split('\n')
    .map(line => Object.values((JSON.parse(line) as LogLine).losses));

/** The largest relative difference of two runs' losses. */
function distance(a: number[][], b: number[][]): number {
  expect(a.map(row => row.length)).toEqual(b.map(row => row.length));
  return Math.max(...a.flatMap((row, i) => row.map((value, k) => Math.abs(value - b[i][k]) / Math.abs(b[i][k]))));
}

/**
 * Node and the page on the same driver, SwiftShader, of two versions that may round differently: relative, at every
 * step. On another driver the first step's 1e-6 grows a thousandfold in twenty steps of Adam.
 */
const ADAPTER = 'swiftshader';
const FLOAT_ERROR = 1e-5;
const COMPARED = 24;
/** As many steps on whatever driver is the best one here, after at least eight on SwiftShader. */
const DRIVER_ERROR = 2e-3;

/** The losses of the run that nothing interrupted. */
let whole: number[][] = [];
/** The variants that are offered for what the run computes, by class: the default first. */
const offered = new Map<string, string[]>();
/** The zip of the run that was paused. */
let pausedZip: Uint8Array;

test('every setting of a recipe is asked for, but no folders and files, which a page cannot read', async () => {
  const files = ['data', 'mirror', 'from', 'lpipsFile', 'idFile', 'parsingFile', 'inception'];
  await page.waitForSelector('#start:enabled');
  for (const { name, defaults } of Object.values(recipes)) {
    await page.select('#recipe', name);
    const asked = await page.$$eval('[id^=setting-]', inputs => inputs.map(({ id }) => id.replace('setting-', '')));
    const settings = Object.keys({ ...commonDefaults, ...defaults });
    expect(asked.sort()).toEqual(settings.filter(key => !files.includes(key)).sort());
  }
});

test('a training in the page: the loss falls, and equals that of Node', async () => {
  await start();
  await state('Finished');
  whole = lossesOf(await stored('log.jsonl'));
  expect(whole.length).toBe(STEPS);
  const mean = (rows: number[][]) => rows.reduce((sum, [loss]) => sum + loss, 0) / rows.length;
  expect(mean(whole.slice(-8))).toBeLessThan(0.8 * mean(whole.slice(0, 8)));

  expect(await text('tile-step')).toBe(`${STEPS} / ${STEPS}`);
  expect(await text('storage-text')).toContain(`perceptual-${SETTINGS.size}.safetensors`);
  expect(await page.$$eval('#loss path.curve', curves => curves.length)).toBeGreaterThan(1);

  const node = (await trainedInNode()).map(({ losses }) => Object.values(losses));
  expect(distance(whole.slice(0, COMPARED), node.slice(0, COMPARED))).toBeLessThan(FLOAT_ERROR);
});

/** The log of the run in the page's storage, trained in Node, which fills `offered`. */
async function trainedInNode(): Promise<readonly LogLine[]> {
  const { recipe, options } = JSON.parse(await stored('config.json'));
  const device = await Device.open({ adapter: ADAPTER });
  try {
    const training = await recipes[recipe].create({ device, options });
    const folder = await openFolder(join(scratch, `node-${recipe}`), { create: true });
    const { lines } = await train({ device, training, folder, options });
    for (const [key, { family, problem }] of device.choices.met) {
      offered.set(key, family.variants(problem, device).map(variantText));
    }
    return lines;
  } finally {
    device.destroy();
  }
}

test('a run that was paused goes on to the same losses', async () => {
  await start();
  await state('Training');
  await press('pause');
  await state('Paused');
  expect(await text('storage-text')).toMatch(/at step \d+ of 120/);
  await press('download');
  pausedZip = await downloaded('wgrad-perceptual.zip');
  await press('resume');
  await state('Finished');
  expect(lossesOf(await stored('log.jsonl'))).toEqual(whole);
});

/** A file that the page saved, once it is there whole. */
async function downloaded(name: string, open: (bytes: Uint8Array) => unknown = unzipSync): Promise<Uint8Array> {
  const path = join(scratch, name);
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, 100));
    try {
      const bytes = readFileSync(path);
      open(bytes);
      rmSync(path);
      return bytes;
    } catch {
      // not yet
    }
  }
}

test('the zip of a paused run goes on in Node, and back in the page', async () => {
  const files = unzipSync(pausedZip);
  for (const [name, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(scratch, name)), { recursive: true });
    writeFileSync(join(scratch, name), bytes);
  }
  const folder = join(scratch, 'wgrad-perceptual');
  const { code, stderr } = await wgrad(['train', '--resume', folder]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  const losses = lossesOf(readFileSync(join(folder, 'log.jsonl'), 'utf8'));
  expect(distance(losses.slice(0, COMPARED), whole.slice(0, COMPARED))).toBeLessThan(DRIVER_ERROR);

  await press('discard');
  await page.locator('#confirm-yes').click();
  await state('Ready');
  const finished = await openFolder(folder);
  const paths = await finished.listFiles();
  await load(new Map(await Promise.all(paths.map(async path => [`x/${path}`, await finished.read(path)] as const))));
  await state('Finished');
  expect(lossesOf(await stored('log.jsonl'))).toEqual(losses);
});

/** Loads a zip of these files into the page, in place of the run in storage if there is one. */
async function load(files: Map<string, Uint8Array>): Promise<void> {
  const path = join(scratch, 'loaded.zip');
  writeFileSync(path, zipFolder(files));
  const replaces = (await text('storage-text')) !== 'None yet.';
  const input = (await page.$('#zip-file')) as Awaited<ReturnType<typeof page.$<'input'>>>;
  await input!.uploadFile(path);
  if (replaces) await page.locator('#confirm-yes').click();
}

test('a zip that holds no run is refused with one line, and the run in storage stays', async () => {
  const before = await stored('log.jsonl');
  for (const [files, says] of [
    [{ 'a.txt': 'x' }, 'holds no run: no config.json'],
    [{ 'r/config.json': '{"recipe":"mine","options":{}}' }, "the page has no recipe 'mine'"],
    [{ 'r/config.json': '{"recipe":"parsing","options":{"colour":1}}' }, "parsing has no setting 'colour'"],
  ] as const) {
    await load(new Map(Object.entries(files).map(([name, value]) => [name, new TextEncoder().encode(value)])));
    await noticed(says);
  }
  expect(await stored('log.jsonl')).toBe(before);
  await press('notice-close');
});

test('a setting that is not possible is one line, and nothing is trained', async () => {
  await page.locator('#setting-batch').fill('0');
  await press('start');
  await page.locator('#confirm-yes').click();
  await noticed('whole number from 1');
  await state('Finished');
});

test('a profile of the settings: tables, memory, and a trace to download; the run in storage stays', async () => {
  const before = await text('storage-text');
  await page.locator('#setting-batch').fill(SETTINGS.batch);
  await press('profile');
  await page.waitForSelector('#profile-box:not([hidden])', { timeout: 240_000 });
  expect(await text('profile-summary')).toMatch(/kernels[\d.]+ m?s in \d+ dispatches/);
  expect(await text('profile-tables')).toMatch(/conv2d[\s\S]*network/);
  await page.waitForFunction(() => document.querySelector<HTMLImageElement>('#profile-memory')!.naturalWidth > 0);
  await press('profile-trace');
  const parse = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));
  const { traceEvents } = parse(await downloaded('wgrad-trace.json', parse));
  expect(traceEvents.some(({ name }: { name: string }) => name === 'conv2d')).toBe(true);
  expect(await text('storage-text')).toBe(before);
});

/** The summary of a tuning for so many seconds. */
async function tuned(seconds: string, meanwhile?: () => Promise<void>): Promise<string> {
  await page.locator('#tune-seconds').fill(seconds);
  await press('tune');
  await page.waitForSelector('#tuning-summary:empty');
  await meanwhile?.();
  await page.waitForSelector('#tuning-summary:not(:empty)', { timeout: 240_000 });
  return text('tuning-summary');
}

test('the kernels that were tuned in the page are those of the next training', async () => {
  await choose();
  await page.locator('#tune-seconds').fill('0');
  await press('tune');
  await noticed('Tuning for 0 is not possible; give seconds over 0');
  // The class with the most arithmetic is begun in any time.
  expect(await tuned('0.001')).toMatch(
    /^1 class of problems: [\d.]+ ms with the defaults, [\d.]+ ms with the fastest variants\.not begun, .*: \d+ classes; .*kept in this page’s storage.*computes on the CPU: its ranking does not transfer to GPUs\.$/,
  );
  expect(await text('tuning-text')).toMatch(/^perceptual, 1 of \d+ classes/);
  expect(await text('tuning-table')).toMatch(/fastest ms.*conv2d/);
  const cache = JSON.parse(await stored('tuning.json', 'cache'));
  const [families] = Object.values<Record<string, { classes: Record<string, string> }>>(cache.adapters);
  const [[family, { classes }]] = Object.entries(families);
  const [[name, fastest], ...others] = Object.entries(classes);
  const key = `${family} ${name}`;
  expect(others).toEqual([]);
  expect(offered.get(key)).toContain(fastest);

  // A variant that no training takes by itself shows that it is the cache which decides.
  const other = offered.get(key)!.find(variant => variant !== fastest && variant !== offered.get(key)![0])!;
  await page.evaluate(
    async content => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('cache');
      const stream = await (await folder.getFileHandle('tuning.json')).createWritable();
      await stream.write(content);
      await stream.close();
    },
    JSON.stringify(cache).replace(fastest, other),
  );
  await start();
  await state('Training');
  await press('stop');
  await state('An unfinished run');
  expect(JSON.parse(await stored('config.json')).variants[key]).toBe(other);
});

test('a tuning can be stopped, and what there is no room for is not measured', async () => {
  const before = await stored('tuning.json', 'cache');
  const session = await page.createCDPSession();
  const quota = (quotaSize?: number) => session.send('Storage.overrideQuotaForOrigin', { origin: url, quotaSize });
  await quota(1);
  await press('tune');
  await noticed('This page’s storage is full: discard its run, or free space on the disk');
  expect(await text('tuning-text')).toBe('perceptual');
  await quota();
  expect(await stored('tuning.json', 'cache')).toBe(before);

  const summary = await tuned('600', async () => {
    await state('Tuning kernels');
    await press('stop');
    expect(await text('state')).toMatch(/^Tuning ends/);
  });
  expect(summary).toMatch(/measured before: 1 class\.not begun, .*: \d+ class/);
  await state('An unfinished run');
});

test('a run goes on after the page was closed, and by itself after the GPU process died', async () => {
  await start();
  await reached(32);
  await page.reload();
  await state('An unfinished run is in this page’s storage');
  const [, savedAt] = (await text('state')).match(/at step (\d+) of/)!;
  expect(await page.$eval('#setting-width', input => (input as HTMLInputElement).value)).toBe(SETTINGS.width);
  expect((await page.$$('#loss path.curve')).length).toBeGreaterThan(1);

  await press('resume');
  await reached(Number(savedAt) + 32);
  const session = await browser.target().createCDPSession();
  await session.send('Browser.crashGpuProcess');
  await state('Finished');
  expect(await text('log')).toMatch(/device was lost.*going on from the last checkpoint/);
  expect(lossesOf(await stored('log.jsonl'))).toEqual(whole);
});

test('StyleGAN2 trains in the page as in Node: five steps with both regularisers', async () => {
  // With the default variants, as Node: what was tuned above is not for it.
  await page.evaluate(async () => {
    await (await navigator.storage.getDirectory()).removeEntry('cache', { recursive: true });
  });
  await start('stylegan2', { model: 'micro16', steps: '5', batch: '4', sampleEvery: '0' });
  await state('Training');
  await state('Finished');
  const { options } = JSON.parse(await stored('config.json'));
  // What follows from the model, and the page's own defaults.
  expect(options).toMatchObject({
    config: 'small',
    model: 'micro16',
    size: 16,
    steps: 5,
    sampleEvery: 0,
    saveEvery: 50,
  });
  // Regularisers are logged in the steps that they are computed in: the first, and the fifth for path lengths.
  const main = ['discriminator', 'generator'];
  const lengths = ['pathLengthPenalty', 'pathLength'];
  const names = [[...main, 'r1', ...lengths], main, main, main, [...main, ...lengths]];
  const lines = (await stored('log.jsonl')).trim().split('\n');
  const inPage = lines.map((line, i) => names[i].map(name => (JSON.parse(line) as LogLine).losses[name]));
  const inNode = (await trainedInNode()).map(({ losses }, i) => names[i].map(name => losses[name]));
  expect(distance(inPage, inNode)).toBeLessThan(FLOAT_ERROR);
});

test('the operations agree with PyTorch in the page too', async () => {
  const { cases } = JSON.parse(readFileSync(join(root, 'test/goldens/ops.json'), 'utf8')) as { cases: GoldenCase[] };
  const { outputFiles } = await build({
    stdin: {
      contents: `
        import { verifyCase } from './src/cli/goldens/verify.ts';
        import { Device } from './src/runtime/device.ts';
        export async function verify(cases) {
          const device = await Device.open();
          const results = [];
          for (const golden of cases) results.push(await verifyCase(device, golden));
          device.destroy();
          return results;
        }`,
      resolveDir: root,
      loader: 'ts',
    },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'goldens',
    loader: { '.wgsl': 'text' },
    write: false,
  });
  await page.evaluate(outputFiles[0].text);
  const results: CaseResult[] = await page.evaluate(
    cases =>
      (globalThis as unknown as { goldens: { verify(cases: unknown): Promise<CaseResult[]> } }).goldens.verify(cases),
    cases as never,
  );
  expect(results.filter(({ passed, error }) => !passed && error !== undefined)).toEqual([]);
  // Which cases are known depends on the code alone, which is Node's.
  expect(results.filter(({ passed }) => passed).length).toBeGreaterThan(200);
});

test('without WebGPU the page says so', async () => {
  const other = await launchChromium({ webgpu: false });
  try {
    const blind = await other.newPage();
    await blind.goto(url);
    await blind.waitForSelector('#notice:not([hidden])');
    expect(await blind.$eval('#notice-text', found => found.textContent)).toMatch(
      /^This page cannot train: this browser has (no WebGPU here: open|WebGPU but offers no adapter: look)/,
    );
    expect(await blind.$eval('#start', found => (found as HTMLButtonElement).disabled)).toBe(true);
  } finally {
    await other.close();
  }
});

test('no error was written to the console', () => {
  expect(consoleErrors).toEqual([]);
});

describe('the server', () => {
  /** A request with a path that no client would normalise. */
  const get = (path: string, method = 'GET') =>
    new Promise<{ status: number; type: string; length: number }>((resolve, reject) => {
      const { port } = server.address() as AddressInfo;
      request({ host: '127.0.0.1', port, path, method }, response => {
        let length = 0;
        response.on('data', chunk => {
          length += chunk.length;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode!, type: response.headers['content-type'] ?? '', length }),
        );
      })
        .on('error', reject)
        .end();
    });

  test('serves the page with its types, and nothing outside its two folders', async () => {
    for (const [path, type] of [
      ['/', 'text/html'],
      ['/style.css?x', 'text/css'],
      ['/worker.js', 'text/javascript'],
      ['/worker.js.map', 'application/json'],
    ]) {
      const { status, type: got } = await get(path);
      expect([path, status, got.split(';')[0]]).toEqual([path, 200, type]);
    }
    for (const path of [
      '/../package.json',
      '/%2e%2e/package.json',
      '/weights/..%2f..%2fpackage.json',
      '/..%5cpackage.json',
      '/%00',
      '/%',
    ]) {
      expect([path, (await get(path)).status]).toEqual([path, 400]);
    }
    for (const path of ['/none.js', '/weights', '/weights/none.safetensors', '/cli.mjs']) {
      expect([path, (await get(path)).status]).toEqual([path, 404]);
    }
    expect((await get('/', 'POST')).status).toBe(405);
    const head = await get('/', 'HEAD');
    expect([head.status, head.length]).toEqual([200, 0]);
  });

  test('a port that is in use or none is one line', async () => {
    const { port } = server.address() as AddressInfo;
    for (const [given, says] of [
      [String(port), `wgrad: port ${port} is in use: choose another with --port N, or any free one with --port 0\n`],
      ['x', 'wgrad: --port x: give a number from 0 (any free port) to 65535\n'],
    ]) {
      expect(await wgrad(['web', '--port', given])).toEqual({ code: 2, stdout: '', stderr: says });
    }
  });
});

test('drops are the monitor’s if it fired before them, else scheduled', () => {
  const line = (step: number, active: number, event?: string): LogLine => ({
    ...{ step, active, losses: {}, finite: true, msPerStep: 1, images: step },
    monitor: { count: 0, good: null, baseline: null, event },
  });
  const lines = [line(1, 4), line(2, 3), line(3, 3, 'ABORT'), line(4, 3), line(5, 2), line(6, 1), line(7, 1, 'FLOOR')];
  expect(stageDrops(lines)).toEqual([
    { step: 2, stage: 4, kind: 'scheduled' },
    { step: 5, stage: 3, kind: 'obeyed' },
    { step: 6, stage: 2, kind: 'scheduled' },
  ]);
});
