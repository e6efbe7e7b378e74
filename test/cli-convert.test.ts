import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { streamSafetensors } from '../src/io/safetensorsFile.ts';
import { tensorOf } from '../src/io/storedTensor.ts';
import { streamTorch } from '../src/io/torch/write.ts';
import { wgrad } from './command.ts';

const fixtures = join(import.meta.dirname, 'fixtures', 'foreign');
const folder = mkdtempSync(join(tmpdir(), 'wgrad-convert-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('wgrad convert says what a file is, and writes it for wgrad and for PyTorch', async () => {
  const [safetensors, torch] = [join(folder, 'g.safetensors'), join(folder, 'g.pt')];
  const { code, stdout, stderr } = await wgrad(['convert', join(fixtures, 'nvlabs-4.pkl'), safetensors]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(stdout).toContain('nvlabs-4.pkl: StyleGAN2: g_ema of 8 pixels, g of 8 pixels, d of 8 pixels, from NVlabs');
  expect(stdout).toMatch(/^part +tensors +values +MB +types$/m);
  expect(stdout).toMatch(/^g_ema +33 +781 +0\.003 +F32$/m);
  expect(stdout).toContain('g_ema.conv_clamp: 256');
  expect(stdout).toContain('left out: training_set_kwargs, 1 tensor');
  expect(stdout).toContain(`wrote ${safetensors}`);
  const back = await wgrad(['convert', safetensors, torch]);
  expect(back.stdout).toContain('g_ema of 8 pixels');
  const described = await wgrad(['convert', torch]);
  expect(described.stdout).toContain('g_ema of 8 pixels, g of 8 pixels, d of 8 pixels, from rosinality');
  expect(described.stdout).not.toContain('wrote');
  const replaced = await wgrad(['convert', safetensors, torch, '--layout', 'nvlabs', '--force']);
  expect(replaced.stdout).toContain(`wrote ${torch}`);
  expect((await wgrad(['convert', torch])).stdout).toContain('from NVlabs');
});

test('names in a file do not reach the terminal as they are', async () => {
  // Which are two, though they are shown as one.
  const names = ['a\n\u001b[2J', 'a\r\u001b[2J'];
  const tensors = new Map(names.map(name => [name, tensorOf(Float32Array.of(1), [1])]));
  for (const [file, pieces] of [
    ['names.pt', streamTorch(tensors)],
    ['names.safetensors', streamSafetensors(tensors)],
  ] as const) {
    const all: Uint8Array[] = [];
    for await (const piece of pieces) all.push(piece);
    writeFileSync(join(folder, file), Buffer.concat(all));
    const { stdout } = await wgrad(['convert', join(folder, file)]);
    expect(stdout.match(/^a\?\?\[2J +1 +1 /gm)?.length).toBe(2);
  }
  const header = Buffer.from('{"a\\n\\u001b[2J":{"dtype":"F31","shape":[],"data_offsets":[0,0]}}');
  const length = Buffer.alloc(8);
  length.writeUInt32LE(header.length);
  writeFileSync(join(folder, 'damaged.safetensors'), Buffer.concat([length, header]));
  const { code, stderr } = await wgrad(['convert', join(folder, 'damaged.safetensors')]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/^wgrad: .*a\?\?\[2J.*F31.*\n$/);
});

test('what cannot be converted is one line and code 2, and nothing is written', async () => {
  const hostile = join(folder, 'hostile.pt');
  writeFileSync(hostile, "cos\nsystem\n(S'touch /tmp/wgrad-was-run'\ntR.");
  const out = join(folder, 'out.safetensors');
  const ok = join(fixtures, 'pti.pt');
  const kept = join(folder, 'kept.pt');
  writeFileSync(kept, 'not to be lost');
  const before = readdirSync(folder).sort();
  for (const [args, message] of [
    [[hostile, out], 'names os.system, which no file of weights needs: it is refused, and nothing in it was run'],
    [[join(fixtures, 'make.py'), out], 'make.py'],
    [[ok, join(folder, 'out.bin')], 'ends neither in .safetensors nor in .pt'],
    [[ok, out, '--layout', 'nvlabs'], 'is for OUT.pt'],
    [[ok, join(folder, 'no', 'out.pt')], 'There is no folder'],
    [[ok, ok], 'is the file that is read'],
    [[ok, kept], 'kept.pt is there already: name another file, or replace it with --force'],
    [[], 'name one file to read'],
  ] as const) {
    const { code, stderr } = await wgrad(['convert', ...args]);
    expect(code, message).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr.trim()).not.toContain('\n');
  }
  expect(readdirSync(folder).sort()).toEqual(before);
  expect(readFileSync(kept, 'utf8')).toBe('not to be lost');
  expect(existsSync('/tmp/wgrad-was-run')).toBe(false);
});
