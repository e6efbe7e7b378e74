/**
 * The package as a stranger gets it: packed, installed in an empty folder, imported with its types, in Node and in a
 * page.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { beforeAll, expect, test } from 'vitest';
import { launchChromium } from './browser.ts';
import { temporaryFolder } from './runs.ts';

const project = join(import.meta.dirname, '..');
const folder = temporaryFolder();
const user = join(folder, 'user');

const run = (file: string, args: readonly string[], cwd: string) =>
  promisify(execFile)(file, args, { cwd, maxBuffer: 2 ** 26 });

beforeAll(async () => {
  await run('npm', ['pack', '--pack-destination', folder], project);
  const tarball = readdirSync(folder).find(name => name.endsWith('.tgz'))!;
  mkdirSync(user);
  writeFileSync(join(user, 'package.json'), '{ "name": "user", "private": true, "type": "module" }');
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, tarball)], user);
  for (const name of ['line.ts', 'stages.ts'])
    copyFileSync(join(import.meta.dirname, 'fixtures', name), join(user, name));
}, 600_000);

test('the tarball holds the bundles, their declarations, the shaders and the weights, and no sources or tests', () => {
  const installed = join(user, 'node_modules', 'wgrad');
  expect(readdirSync(installed).sort()).toEqual(['LICENSE', 'README.md', 'dist', 'package.json', 'shaders', 'weights']);
  const dist = readdirSync(join(installed, 'dist'));
  for (const name of ['cli.mjs', 'index.mjs', 'index.web.mjs', 'types', 'web']) expect(dist).toContain(name);
  expect(readdirSync(join(installed, 'weights'))).toEqual(readdirSync(join(project, 'weights')));
});

test('its types check a strict program, and find what is wrong in one', async () => {
  const tsc = join(project, 'node_modules', 'typescript', 'bin', 'tsc');
  const compilerOptions = {
    noEmit: true,
    strict: true,
    target: 'es2022',
    module: 'nodenext',
    lib: ['es2023', 'dom'],
    types: [],
  };
  const check = (...files: string[]) => {
    writeFileSync(join(user, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
    return run(process.execPath, [tsc], user);
  };
  await check('line.ts', 'stages.ts');
  writeFileSync(join(user, 'wrong.ts'), "import { Device } from 'wgrad';\nDevice.open({ adaptor: 'gpu' });\n");
  await expect(check('wrong.ts')).rejects.toMatchObject({
    stdout: expect.stringMatching(/wrong\.ts\(2,15\).*adaptor/),
  });
}, 300_000);

/** The losses that the script has in Node. */
async function losses(): Promise<number[]> {
  writeFileSync(
    join(user, 'main.ts'),
    "import { fitLine } from './line.ts';\nconsole.log(JSON.stringify(await fitLine()));\n",
  );
  await build({
    entryPoints: [join(user, 'main.ts')],
    outfile: join(user, 'main.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
  });
  const { stdout } = await run(process.execPath, ['main.mjs'], user);
  return JSON.parse(stdout);
}

test('a training script of a few lines runs in Node and, bundled, in a page, with the same losses', async () => {
  const inNode = await losses();
  expect(inNode.length).toBe(60);
  expect(inNode[0]).toBeGreaterThan(1);
  expect(inNode[59]).toBeLessThan(inNode[0] * 0.05);
  await build({
    entryPoints: [join(user, 'line.ts')],
    outfile: join(user, 'page.js'),
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'script',
  });
  const script = readFileSync(join(user, 'page.js'));
  const server = createServer((request, response) => {
    const isScript = request.url === '/page.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : '<!doctype html><link rel="icon" href="data:,"><script src="page.js"></script>');
  }).listen(0);
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('console', message => message.type() === 'error' && errors.push(message.text()));
    page.on('pageerror', error => errors.push(String(error)));
    await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
    const inPage = (await page.evaluate('script.fitLine()')) as number[];
    expect(errors).toEqual([]);
    expect(inPage.length).toBe(60);
    // Adam divides by the root of a mean square: last bits of the first steps grow.
    inPage.forEach((loss, i) => {
      expect(Math.abs(loss - inNode[i]), `step ${i + 1}`).toBeLessThan(1e-4 * inNode[0]);
    });
  } finally {
    await browser.close();
    server.close();
  }
}, 300_000);

test("the command runs a user's recipe that imports the package", async () => {
  const wgrad = join(user, 'node_modules', '.bin', 'wgrad');
  const { stdout, stderr } = await run(wgrad, ['train', './stages.ts', '--steps', '16', '--out', 'run'], user);
  expect(stderr).toBe('');
  expect(stdout).toContain('report: run/report.html');
  expect(
    readFileSync(join(user, 'run', 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n').length,
  ).toBe(16);
  await expect(run(wgrad, ['train', './stages.ts', '--set', 'stages=0'], user)).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^wgrad: --stages 0: give at least 1\n$/),
  });
}, 300_000);
