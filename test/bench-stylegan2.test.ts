/** The bench of StyleGAN2's training; beside PyTorch it runs where that is, which no test needs. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const bench = (...args: string[]) =>
  spawnSync(process.execPath, ['scripts/run.mjs', 'bench/stylegan2.ts', ...args], { cwd: root, encoding: 'utf8' });
const SMALLEST = ['--set', 'model=micro16', '--size', '16', '--batch', '4', '--rounds', '1', '--steps', '2'];

test('its figures without PyTorch', () => {
  const { status, stdout, stderr } = bench(...SMALLEST, '--json', '--python', '/no/python');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const { peer, rows } = JSON.parse(stdout);
  expect(peer).toBeUndefined();
  expect(rows).toEqual([
    { size: 16, batch: 4, ours: { imagesPerSecond: expect.any(Number), secondsPerKimg: expect.any(Number) } },
  ]);
  expect(rows[0].ours.imagesPerSecond * rows[0].ours.secondsPerKimg).toBeCloseTo(1000, 6);
});

test.each([
  [['--rounds', '0'], /^bench: --rounds 0 is not possible; give a whole number from 1 on\n$/],
  [['--size', '48'], /^StyleGAN2: size 48 is no power of two from 8 to 1024\n$/],
  [['--set', 'lr'], /^--set lr: write --set key=value\n$/],
])('%j is refused with one line', (args, message) => {
  const { status, stdout, stderr } = bench(...args);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toMatch(message);
});
