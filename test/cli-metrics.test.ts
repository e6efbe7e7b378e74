import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { wgrad } from './command.ts';
import { decodeEvents } from './events.ts';

const folder = mkdtempSync(join(tmpdir(), 'metrics-'));
afterAll(() => rmSync(folder, { recursive: true }));

const at = (...names: string[]) => join(folder, ...names);
const inFolder = { cwd: folder };
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
const weights = join(import.meta.dirname, '..', 'weights');

test('wgrad metrics prints a table and writes JSON, and replaces it by --force alone', async () => {
  const args = ['metrics', 'generator-32', '--data', 'faces', '--count', '70', '--metrics', 'fid,kid', '--seed', '3'];
  const { code, stdout, stderr } = await wgrad(args, inFolder);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = stdout.split('\n');
  expect(lines[0]).toMatch(/^weights\/generator-32\.safetensors on \S/);
  expect(lines[1]).toBe(
    '70 samples (fresh noise, no truncation) against 70 procedural faces of people whom no training sees, ' +
      'by the 64 features of perceptual-32',
  );
  const { metrics, ...rest } = json(at('metrics.json'));
  expect(Object.keys(metrics)).toEqual(['FID-like(self)', 'KID-like(self)']);
  expect(lines.slice(3)).toEqual([
    `FID-like(self)  ${metrics['FID-like(self)'].toPrecision(4)}`,
    `KID-like(self)  ${metrics['KID-like(self)'].toPrecision(4)}`,
    '',
    'written: metrics.json',
    '',
  ]);
  expect(rest).toMatchObject({
    generator: 'weights/generator-32.safetensors',
    data: 'faces',
    features: { network: 'perceptual-32', length: 64 },
    samples: 70,
    seed: 3,
  });
  // An untrained one has 33 and 6; the KID of 70 images scatters by some tenths.
  expect(metrics['FID-like(self)']).toBeLessThan(8);
  expect(metrics['KID-like(self)']).toBeLessThan(2);

  const again = await wgrad(args, inFolder);
  expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining('metrics.json is there already') });
});

describe('in a training', () => {
  const lines = () =>
    readFileSync(at('run', 'metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line));

  test('--metrics-every: a line, a scalar and a row of the report; what is known of the real images stays', async () => {
    const settings = ['--batch', '4', '--set', 'model=micro16', '--set', 'metricsCount=70', '--metrics', 'fid,kid'];
    const steps = ['--steps', '12', '--metrics-every', '8', '--save-every', '0', '--sample-every', '0'];
    const run = await wgrad(['train', 'stylegan2', ...settings, ...steps, '--out', 'run'], inFolder);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toContain('metrics: 70 samples (fresh noise, no truncation) against 70 procedural faces');
    expect(run.stdout).toMatch(/step 8: FID-like\(self\) \d+\.\d+, KID-like\(self\) \d/);
    expect(lines().map(({ step }) => step)).toEqual([8, 12]);
    const [events] = readdirSync(at('run', 'events'));
    const scalars = decodeEvents(readFileSync(at('run', 'events', events))).flatMap(({ step, summary }) => {
      const { value = [] } = (summary ?? {}) as { value?: { tag: string; simple_value: number }[] };
      return value.filter(({ tag }) => tag === 'metric/FID-like(self)').map(each => [step, each.simple_value]);
    });
    expect(scalars).toEqual(lines().map(({ step, metrics }) => [step, expect.closeTo(metrics['FID-like(self)'], 3)]));
    const report = readFileSync(at('run', 'report.html'), 'utf8');
    expect(report).toContain('<h2>Metrics</h2>');
    expect(report).toContain('<h3>KID-like(self)</h3>');
    expect(readdirSync(at('run', 'metrics'))).toEqual([expect.stringMatching(/^real-[0-9a-f]{16}\.safetensors$/)]);
  });

  test('a resumed run goes on with the metrics, and wgrad metrics measures its checkpoint', async () => {
    const before = lines();
    const resumed = await wgrad(['train', '--resume', 'run', '--steps', '16'], inFolder);
    expect(resumed).toMatchObject({ code: 0, stderr: '' });
    expect(lines().slice(0, 2)).toEqual(before);
    expect(lines().map(({ step }) => step)).toEqual([8, 12, 16]);

    const args = ['metrics', 'run', '--data', 'faces', '--count', '70', '--metrics', 'fid,kid', '--seed', '1'];
    const { code, stdout } = await wgrad(args, inFolder);
    expect(code).toBe(0);
    expect(stdout).toContain('written: run/metrics.json');
    // The same samples as the training's, of the same network.
    expect(json(at('run', 'metrics.json')).metrics).toEqual(lines()[2].metrics);
    expect(readdirSync(at('run', 'metrics'))).toHaveLength(1);
  });
});

test.each([
  [[], 'metrics: name one generator: a run, a .safetensors file, or a name as generator-32'],
  [['generator-32'], "metrics: give the real images: --data 'faces', a folder or a zip"],
  [['nothing', '--data', 'faces'], 'metrics: there is no nothing: name a run'],
  [['generator-32', '--data', 'nowhere'], 'nowhere'],
  [['generator-32', '--data', 'faces', '--count', '2.5'], '--count 2.5 is not possible; give a whole number from 1'],
  [['generator-32', '--data', 'faces', '--metrics', 'fid,is'], "--metrics fid,is: there is no 'is'; give some of"],
  [['generator-32', '--data', 'faces', '--out', 'table.txt'], '--out table.txt: name a file that ends in .json'],
  [
    ['generator-32', '--data', 'faces', '--count', '64'],
    '64 procedural faces of people whom no training sees: found 64, FID-like(self) needs at least 65 for the ' +
      "covariance of the 64 features of perceptual-32; give more, or leave 'fid' out of --metrics",
  ],
  [
    ['generator-32', '--data', 'faces', '--inception', 'nothing.safetensors'],
    '--inception nothing.safetensors: there is no such file; give weights of Inception-v3, .pth or .safetensors',
  ],
  [
    ['generator-32', '--data', 'faces', '--inception', join(weights, 'perceptual-32.safetensors')],
    'perceptual-32.safetensors: no tensor "fc.weight"; wanted the weights of Inception-v3 as pytorch-fid has them',
  ],
])('wgrad metrics %s: %s', async (args, message) => {
  const out = at('never.json');
  const { code, stdout, stderr } = await wgrad(['metrics', '--out', out, ...args], inFolder);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(message);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(existsSync(out)).toBe(false);
});
