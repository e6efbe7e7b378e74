import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { settle } from '../src/runtime/wait.ts';

const run = promisify(execFile);
const folder = join(import.meta.dirname, '..', 'node_modules', '.adapter-test'); // where the packages can be resolved
const script = join(folder, 'open.mjs');
const embeddedHere = process.platform === 'linux' && process.arch === 'x64';
const mesaHere = existsSync('/usr/share/vulkan/icd.d/lvp_icd.json');

/** Prints what openAdapter() gave, and what a device of it computes: none of this is done in the tests' own process. */
const source = `
import { openAdapter } from '../../src/runtime/adapter.node.ts';
try {
  const { gpu, adapter, ...rest } = await openAdapter({ adapter: process.argv[2] });
  const device = await adapter.requestDevice();
  console.log(JSON.stringify({ ...rest, limits: device.limits.maxComputeWorkgroupSizeX }));
} catch (error) {
  console.log(JSON.stringify({ error: error.name, message: error.message }));
}`;

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  await build({
    stdin: { contents: source, resolveDir: folder },
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    outfile: script,
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function openInProcess(adapter: string, environment: Record<string, string>) {
  const { stdout, stderr } = await run(process.execPath, [script, adapter], {
    env: { PATH: process.env.PATH, ...environment },
  });
  return { ...JSON.parse(stdout), stderr };
}

describe.runIf(embeddedHere)('the embedded driver', () => {
  test('opens in an empty environment, and says nothing', async () => {
    const home = mkdtempSync(join(tmpdir(), 'home-'));
    const opened = await openInProcess('swiftshader', { HOME: home });
    expect(opened).toMatchObject({ name: 'SwiftShader', kind: 'embedded', passedOver: [], stderr: '' });
    expect(opened.limits).toBeGreaterThanOrEqual(128);
    expect(readdirSync(join(home, '.cache', 'wgrad'))).toEqual([expect.stringMatching(/^swiftshader-/)]);
    rmSync(home, { recursive: true });
  });

  test('opens where the home folder cannot be written', async () => {
    expect(await openInProcess('swiftshader', { HOME: '/dev/null' })).toMatchObject({ kind: 'embedded' });
  });

  test('is unpacked by processes side by side without harm', async () => {
    const cache = mkdtempSync(join(tmpdir(), 'cache-'));
    const environment = { HOME: '/dev/null', XDG_CACHE_HOME: cache };
    const opened = await Promise.all(Array.from({ length: 5 }, () => openInProcess('swiftshader', environment)));
    expect(opened.map(each => each.kind)).toEqual(Array(5).fill('embedded'));
    expect(readdirSync(join(cache, 'wgrad'))).toHaveLength(1);
    rmSync(cache, { recursive: true });
  });

  test('serves where the system has a driver that fails, which is named with the reason', async () => {
    const broken = mkdtempSync(join(tmpdir(), 'driver-'));
    const manifest = join(broken, 'broken_icd.json');
    writeFileSync(
      manifest,
      JSON.stringify({
        file_format_version: '1.0.0',
        ICD: { api_version: '1.3.0', library_path: join(broken, 'missing.so') },
      }),
    );
    const opened = await openInProcess('', { HOME: tmpdir(), VK_DRIVER_FILES: manifest });
    expect(opened).toMatchObject({ kind: 'embedded', stderr: '' });
    expect(opened.passedOver).toEqual([expect.stringMatching(/^broken_icd\.json: .*missing\.so/)]);
    const refused = await openInProcess('lavapipe', { HOME: tmpdir(), VK_DRIVER_FILES: manifest });
    expect(refused.message).toMatch(/^no adapter matches "lavapipe" .*SwiftShader; not usable: broken_icd\.json: .*$/);
    rmSync(broken, { recursive: true });
  });

  test('serves where Vulkan finds no other driver', async () => {
    const opened = await openInProcess('', { HOME: tmpdir(), VK_DRIVER_FILES: '/nowhere.json' });
    expect(opened).toMatchObject({ kind: 'embedded', others: [] });
  });
});

describe('the choice', () => {
  test.runIf(mesaHere)('falls on lavapipe or a GPU before the embedded driver', async () => {
    const opened = await openInProcess('', { HOME: tmpdir() });
    expect(['gpu', 'cpu']).toContain(opened.kind);
    const lavapipe = await openInProcess('LAVApipe', { HOME: tmpdir() });
    expect(lavapipe).toMatchObject({ kind: 'cpu', name: expect.stringContaining('llvmpipe'), stderr: '' });
  });

  test('follows WGRAD_ADAPTER, and the option before it', async () => {
    const environment = { HOME: tmpdir(), WGRAD_ADAPTER: 'no such one' };
    expect(await openInProcess('', environment)).toMatchObject({ error: 'UserError' });
    if (embeddedHere) expect(await openInProcess('wiftSHAD', environment)).toMatchObject({ kind: 'embedded' });
  });

  test.runIf(mesaHere)('takes an adapter by the name that it gives it, and lavapipe by its own', async () => {
    const { name } = await openInProcess('lavapipe', { HOME: tmpdir() });
    expect(name).toMatch(/^llvmpipe/);
    expect(await openInProcess(name, { HOME: tmpdir() })).toMatchObject({ name, kind: 'cpu' });
  });

  test('refuses an adapter that is not there in one line that names those that are', async () => {
    const refused = await openInProcess('zork', { HOME: tmpdir() });
    expect(refused.error).toBe('UserError');
    expect(refused.message).toMatch(/^no adapter matches "zork" \(adapters here: .*\): give .*$/);
    if (embeddedHere) expect(refused.message).toContain('SwiftShader');
    expect(refused.message).not.toContain('\n');
  });
});

describe('settle', () => {
  test('gives what the promise gives', async () => {
    expect(await settle(Promise.resolve(7))).toBe(7);
    expect(await settle(new Promise(resolve => setTimeout(resolve, 20, 'late')))).toBe('late');
  });

  test('passes rejections on, early and late', async () => {
    await expect(settle(Promise.reject(new Error('at once')))).rejects.toThrow('at once');
    const late = new Promise((_, reject) => setTimeout(reject, 20, new Error('later')));
    await expect(settle(late)).rejects.toThrow('later');
  });

  test('leaves the processor free while it waits, and other work its turns', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    const before = process.cpuUsage();
    await Promise.all([1, 2, 3, 4].map(() => settle(new Promise(resolve => setTimeout(resolve, 200)))));
    const { user, system } = process.cpuUsage(before);
    clearInterval(timer);
    expect((user + system) / 1000).toBeLessThan(100);
    expect(ticks).toBeGreaterThan(15);
  });
});
