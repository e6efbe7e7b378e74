import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  completeFolders,
  type Folder,
  openFile,
  openFolder,
  removeCompleteFolder,
  writeFolderAtomically,
} from '../src/io/files.ts';

let scratch: string;
beforeAll(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'wgrad-files-'));
});
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));

const makeFolder = (name: string): Promise<Folder> => openFolder(path.join(scratch, name), { create: true });
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe('a folder', () => {
  test('keeps what is written, appended and removed', async () => {
    const folder = await makeFolder('plain/deep');
    await folder.write('a.txt', 'one');
    await folder.write('a.txt', [new Uint8Array([116, 119]), new Uint8Array([111])]);
    await folder.append('log', 'x');
    await folder.append('log', new Uint8Array([121]));
    await folder.write('sub/b.bin', new Uint8Array([1, 2, 3, 4]));
    expect(await folder.list()).toEqual(['a.txt', 'log', 'sub']);
    expect(await folder.listFiles()).toEqual(['a.txt', 'log', 'sub/b.bin']);
    expect([text(await folder.read('a.txt')), await folder.readText('log')]).toEqual(['two', 'xy']);
    const file = await folder.open('sub/b.bin');
    expect([file.size, [...(await file.read(1, 2))], [...(await file.read(3, 9))]]).toEqual([4, [2, 3], [4]]);
    expect((await file.read(9, 1)).length).toBe(0);
    await folder.remove('sub');
    await folder.remove('sub');
    expect([await folder.exists('sub'), await folder.exists('log'), await folder.exists('log/x')]).toEqual([
      false,
      true,
      false,
    ]);
  });

  test('keeps nothing of a file that cannot be written', async () => {
    const folder = await makeFolder('half');
    await folder.write('taken/file', 'x');
    await expect(folder.write('taken', 'y')).rejects.toThrow();
    expect(await folder.listFiles()).toEqual(['taken/file']);
  });

  test('has the file of the last of two writers at once, whole', async () => {
    const folder = await makeFolder('two writers');
    let release = () => {};
    const released = new Promise<void>(resolve => {
      release = resolve;
    });
    async function* slowly() {
      yield Buffer.from('the first ');
      await released;
      yield Buffer.from('writer');
    }
    const first = folder.write('file', slowly());
    await vi.waitUntil(async () => (await folder.list()).length > 0);
    await folder.write('file', 'the second writer, who is faster');
    expect(await folder.readText('file')).toBe('the second writer, who is faster');
    release();
    await first;
    expect(await folder.readText('file')).toBe('the first writer');
    expect(await folder.list()).toEqual(['file']);
  });

  test('is cleaned of what a killed writer of a file left, when it is written an hour later', async () => {
    const folder = await makeFolder('leftovers');
    const script = await scriptOf('dies.mjs', killed);
    const child = spawn(process.execPath, [script, folder.path], { stdio: 'inherit' });
    await new Promise(resolve => child.once('close', resolve));
    const [leftover, ...others] = await folder.list();
    expect([leftover, others]).toEqual([expect.stringMatching(/^\.tmp-file-/), []]);
    await folder.write('.tmp-file-of the user', 'x');
    const longAgo = new Date(Date.now() - 2 * 3_600_000);
    fs.utimesSync(path.join(folder.path, '.tmp-file-of the user'), longAgo, longAgo);

    await folder.write('file', 'soon');
    expect(await folder.list()).toEqual(['.tmp-file-of the user', leftover, 'file'].sort());
    fs.utimesSync(path.join(folder.path, leftover), longAgo, longAgo);
    await folder.write('other', 'of another name');
    expect(await folder.exists(leftover)).toBe(true);
    await folder.write('file', 'later');
    expect(await folder.list()).toEqual(['.tmp-file-of the user', 'file', 'other']);
  });

  test('is never left by a name', async () => {
    const folder = await makeFolder('closed');
    for (const name of ['../x', '/x', 'a/../../x', '', 'a//b', '..\\x']) {
      await expect((async () => folder.write(name, 'x'))()).rejects.toThrow('is not a name inside a folder');
    }
  });

  test('that is missing, or a file, is one line', async () => {
    const folder = await makeFolder('lines');
    await folder.write('file', 'x');
    await expect(openFolder(`${folder.path}/none`)).rejects.toMatchObject({ name: 'UserError' });
    await expect(openFolder(`${folder.path}/file`)).rejects.toMatchObject({ name: 'UserError' });
    await expect(openFile(`${folder.path}/none`)).rejects.toMatchObject({ name: 'UserError' });
  });

  test('lists through links, but not in circles', async () => {
    const folder = await makeFolder('links');
    await folder.write('real/a', 'x');
    fs.symlinkSync('..', path.join(folder.path, 'real/up'));
    fs.symlinkSync('real', path.join(folder.path, 'alias'));
    fs.symlinkSync('nowhere', path.join(folder.path, 'dead'));
    expect(await folder.listFiles()).toEqual(['alias/a', 'real/a']);
  });
});

describe('an atomic folder', () => {
  test('is listed when complete, cleaned of leftovers, and never overwritten', async () => {
    const parent = await makeFolder('atomic');
    await parent.write('.tmp-step-1/model', 'half');
    await parent.write('step-2/model', 'without a manifest');
    await parent.write('notes.txt', 'no checkpoint');
    expect(await completeFolders(parent)).toEqual([]);
    const files = new Map<string, Uint8Array[] | string>([
      ['model', [new Uint8Array(3), new Uint8Array(4)]],
      ['state.json', '{"é":1}'],
    ]);
    await writeFolderAtomically(parent, 'step-2', files);
    await writeFolderAtomically(parent, 'step-3', files);
    expect(await completeFolders(parent)).toEqual(['step-2', 'step-3']);
    expect(await parent.list()).toEqual(['notes.txt', 'step-2', 'step-3']);
    expect((await parent.read('step-2/model')).length).toBe(7);
    await expect(writeFolderAtomically(parent, 'step-2', files)).rejects.toThrow('is there already');

    await removeCompleteFolder(parent, 'step-2');
    expect(await completeFolders(parent)).toEqual(['step-3']);
    for (const spoil of [
      () => fs.truncateSync(path.join(parent.path, 'step-3/model'), 5),
      () => fs.rmSync(path.join(parent.path, 'step-3/model')),
      () => fs.writeFileSync(path.join(parent.path, 'step-3/complete.json'), '{'),
    ]) {
      spoil();
      expect(await completeFolders(parent)).toEqual([]);
    }
  });

  test('survives SIGKILL at any instant: the newest complete folder is whole', { timeout: 120_000 }, async () => {
    const parent = await makeFolder('killed');
    const script = await scriptOf('writer.mjs', writer);
    let newest = -1;
    let cutInTheMiddle = 0;
    // On a busy machine the writer gets to less in a round, and more rounds are needed for kills that hit something.
    for (let round = 0; round < 30 || newest <= 10 || cutInTheMiddle <= 3; round++) {
      const child = spawn(process.execPath, [script, parent.path], { stdio: ['ignore', 'pipe', 'inherit'] });
      await firstOutput(child);
      await new Promise(resolve => setTimeout(resolve, (round * 37) % 61)); // anywhere within the writing of a few
      child.kill('SIGKILL');
      await new Promise(resolve => child.once('close', resolve));

      if ((await parent.list()).some(name => name.startsWith('.tmp-'))) cutInTheMiddle++;
      const complete = await completeFolders(parent);
      for (const name of complete) {
        const step = Number(name.slice(5));
        const files = ['a', 'b', 'c'].map(file => fs.readFileSync(path.join(parent.path, name, file)));
        for (const bytes of files) expect(bytes.equals(Buffer.alloc(200_000, step % 251))).toBe(true);
      }
      const last = Number(complete.at(-1)?.slice(5) ?? -1);
      expect(last).toBeGreaterThanOrEqual(newest);
      newest = last;
    }
  });
});

test('a file of the package is looked for up to its root, not above', async () => {
  await makeFolder('outer/package/dist');
  const bundle = await scriptOf(
    'outer/package/dist/find.mjs',
    "export { packageFile } from './src/io/packageFile.node.ts'",
  );
  const { packageFile } = (await import(bundle)) as { packageFile(...names: string[]): string | undefined };
  const outer = await makeFolder('outer');
  for (const file of ['package/package.json', 'package/weights/own', 'weights/own', 'weights/other']) {
    await outer.write(file, '');
  }
  expect(packageFile('weights', 'own')).toBe(path.join(scratch, 'outer/package/weights/own'));
  expect(packageFile('weights', 'other')).toBeUndefined();
});

/** Writes step after step where the newest complete one left off, keeps three, and prints when it begins. */
const writer = `
  import { completeFolders, openFolder, removeCompleteFolder, writeFolderAtomically } from './src/io/files.ts';
  const parent = await openFolder(process.argv[2]);
  let step = Number((await completeFolders(parent)).at(-1)?.slice(5) ?? -1);
  console.log('begins');
  for (;;) {
    step++;
    const content = new Uint8Array(200_000).fill(step % 251);
    const name = 'step-' + String(step).padStart(6, '0');
    await writeFolderAtomically(parent, name, new Map([['a', content], ['b', [content]], ['c', content]]));
    const complete = await completeFolders(parent);
    for (const old of complete.slice(0, -3)) await removeCompleteFolder(parent, old);
  }
`;

/** Is killed in the middle of a file. */
const killed = `
  import { openFolder } from './src/io/files.ts';
  await (await openFolder(process.argv[2])).write('file', (async function* () {
    yield Buffer.from('half');
    process.kill(process.pid, 'SIGKILL');
  })());
`;

/** The path of a program, bundled so that Node runs it. */
async function scriptOf(name: string, contents: string): Promise<string> {
  const outfile = path.join(scratch, name);
  const stdin = { contents, resolveDir: process.cwd(), loader: 'ts' } as const;
  await build({ stdin, bundle: true, platform: 'node', format: 'esm', outfile });
  return outfile;
}

const firstOutput = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    child.stdout!.once('data', () => resolve());
    child.once('exit', code => reject(new Error(`the writer ended with ${code}`)));
  });
