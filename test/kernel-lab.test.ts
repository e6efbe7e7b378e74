/** `wgrad kernel`: every entry is right on a small shape, and what is wrong is named. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Bench } from '../src/cli/kernel/check.ts';
import { difference } from '../src/cli/kernel/difference.ts';
import type { Entry } from '../src/cli/kernel/entry.ts';
import { parseShape } from '../src/cli/kernel/spec.ts';
import { outcomeText } from '../src/cli/kernel/table.ts';
import { entries } from '../src/cli/kernel.ts';
import { variantText } from '../src/runtime/variants.ts';
import { command, wgrad } from './command.ts';
import { useDevice } from './device.ts';
import { temporaryFolder } from './runs.ts';

const on = useDevice();
const root = temporaryFolder();

/** Where a small map is not possible. */
const SMALL: Record<string, string> = {
  conv2d: '2x3x6x8,5x3x3x3,p1,s2',
  conv_transpose2d: '1x4x5x5,4x3x3x3,s2,p1',
  conv2d_weight_gradient: '2x4x6x6,6x2x3x3,g2',
  matmul: '2x20x7,20x9,ta',
  one_hot: '2x5x4x4',
  reduce: '3x4x5,a0x2',
  cosine_distance: '3x70',
  channel_gate: '3x8x4',
  demodulation: '3x20,5x20',
  upfirdn2d: '2x3x8x9,4x4,u2,p2x1',
  adam: '6x10',
  ranger: '6x10',
  sgd: '6x10',
  faces: '2x16',
  affine_sample: '2x3x6x8',
  ada_transforms: '5',
  ada_heuristic: '12',
};

const bench = (name: string, shape = SMALL[name] ?? '2x4x6x8') =>
  new Bench(on.device, entries.find(entry => entry.name === name)!, shape);

describe('every kernel is right', () => {
  test.each(entries.map(({ name }) => name))('%s', async name => {
    const one = bench(name);
    const [variant] = one.variants();
    const { rows, compared, bytes } = await one.measure([variant]);
    expect(rows[0].failure).toBeUndefined();
    expect(rows[0].ms).toBeGreaterThan(0);
    expect(compared > 0).toBe(one.work.reference !== undefined);
    expect(bytes).toBeGreaterThan(0);
  });

  test('and the bytes are those of operands and result, in their types', async () => {
    const one = bench('cast');
    expect((await one.measure(one.variants())).bytes).toBe((4 + 2) * 2 * 4 * 6 * 8);
  });

  test('and the default is that of the kernel, whichever variants are measured', async () => {
    const one = bench('matmul');
    const [first, second] = one.variants();
    const ceilings = { arithmetic: 1, bandwidth: 1, dispatchHost: 1, dispatchDevice: 1 };
    for (const variant of [first, second]) {
      const outcome = await one.measure([variant]);
      expect(outcome.default).toBe(variantText(first));
      expect(/ default$/m.test(outcomeText(outcome, '', ceilings))).toBe(variant === first);
    }
    expect((await bench('unary').measure(bench('unary').variants())).default).toBeUndefined();
  });

  test('upfirdn2d, in each of its shaders', async () => {
    for (const options of ['p2x1', 'u2,p2x1', 'd2,p1x1', 'u2,d2,p3x2']) {
      const one = bench('upfirdn2d', `2x3x8x12,4x4,${options}`);
      expect((await one.measure(one.variants())).rows[0].failure).toBeUndefined();
    }
  });

  test('and they name all shaders but those that measure the adapter', () => {
    const files = readdirSync(new URL('../shaders', import.meta.url)).map(file => file.replace('.wgsl', ''));
    const named = entries.flatMap(({ shaders }) => shaders);
    expect(named.filter(file => !files.includes(file))).toEqual([]);
    const others = ['measure_copy', 'measure_fma', 'running_average', 'running_statistics'];
    expect(files.filter(file => !named.includes(file))).toEqual(others);
  });

  test('their defaults can be read', () => {
    for (const { shape, letters = {} } of entries) {
      const shapes = shape.split(',').filter(part => /^\d/.test(part)).length;
      expect(parseShape(shape, shapes, Object.keys(letters)).shapes).toHaveLength(shapes);
    }
  });
});

describe('what is wrong is named', () => {
  const copy = (statement: string): Entry => ({
    name: 'wrong',
    about: '',
    shaders: [],
    shape: '3x4',
    problem: () => ({
      operands: [],
      flop: 0,
      roundoff: 0,
      variants: () => [{ kernel: 'wrong', tile: {} }],
      run() {
        const y = on.device.empty([3, 4]);
        const source =
          '@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n' +
          `@compute @workgroup_size(12) fn main(@builtin(local_invocation_index) i: u32) {\n${statement}\n}`;
        on.device.dispatch(on.device.kernel({ name: statement, source }), [y], [], [1]);
        return y;
      },
      reference: () => ({ shape: [3, 4], at: i => i }),
    }),
  });

  test.each([
    ['y[i] = f32(i);', undefined],
    ['y[i] = f32(min(i, 6u));', 'wrong: element [1, 3] is 6, and should be 7'],
    [
      'y[i] = select(f32(i), bitcast<f32>(0x7fc00000u + (i >> 9)), i == 9);',
      'wrong: element [2, 1] is NaN, and should be 9',
    ],
    ['y[i] = none;', "unresolved value 'none'"],
  ])('%s', async (statement, failure) => {
    const one = new Bench(on.device, copy(statement), '3x4');
    const { rows } = await one.measure(one.variants());
    if (failure === undefined) expect(rows[0].failure).toBeUndefined();
    else expect(rows[0].failure).toContain(failure);
  });

  test.each([
    ['2x3', 'give 2 shapes, not 1'],
    ['2x3,4x5,q1', "'q1' is not possible"],
    ['2x0,4x5', "'2x0' is not possible"],
    ['', "'' is not possible"],
  ])('--shape %s', (text, message) => {
    expect(() => parseShape(text, 2, ['s'])).toThrow(message);
  });
});

test('a difference counts units of the last place, across 0 as well', () => {
  const next = new Float32Array(new Uint32Array([0x3f800001]).buffer)[0];
  const least = 2 ** -149;
  const found = difference(Float32Array.of(1, 1, -0, least, 2), Float32Array.of(1, next, 0, -least, 3));
  expect(found.maxAbsolute).toBe(1);
  expect(found.maxRelative).toBe(2);
  expect(Object.fromEntries(found.ulps.map(({ upTo, count }) => [upTo, count]))).toMatchObject({
    0: 2,
    1: 1,
    2: 1,
    Infinity: 1,
  });
  expect(difference(Float32Array.of(Number.NaN, 1), Float32Array.of(1, 1)).maxAbsolute).toBeNaN();
});

describe('the command', () => {
  const kernel = (...args: string[]) => wgrad(['kernel', ...args], { cwd: root });

  test('--list names every kernel', async () => {
    const { code, stdout } = await kernel('--list');
    expect(code).toBe(0);
    for (const { name } of entries) expect(stdout).toContain(`${name}: `);
  });

  test('prints a table, writes a baseline and compares with it', async () => {
    const args = ['matmul', '--shape', '32x32,32x32', '--variant', 'direct ROWS=8'];
    const saved = await kernel(...args, '--save', 'base.json');
    expect(saved).toMatchObject({ code: 0, stderr: '' });
    expect(saved.stdout).toContain('1024 elements compared with the formula');
    expect(saved.stdout).toMatch(/^direct ROWS=8\S* +[\d.]+ +[\d.]+ +[\d.]+ +\d+ %/m);
    const again = await kernel(...args, '--against', 'base.json');
    expect(again.stdout).toMatch(/^direct ROWS=8\S* .* [\d.]+ x/m);
    const json = JSON.parse((await kernel(...args, '--json')).stdout);
    expect(json.rows.length).toBe(Object.keys(JSON.parse(readFileSync(join(root, 'base.json'), 'utf8')).times).length);
    const other = await kernel('matmul', '--shape', '8x8,8x8', '--against', 'base.json');
    expect(other).toMatchObject({ code: 2, stdout: '' });
    expect(other.stderr).toBe('wgrad: --against base.json: is of matmul 32x32,32x32, not of matmul 8x8,8x8\n');
  });

  test('emits what is compiled, and compares two variants', async () => {
    const emitted = await kernel('unary', '--emit', '--numbers');
    expect(emitted.stdout).toMatch(/^\/\/ unary\n +1 \| \/\/ /);
    const compared = await kernel('matmul', '--shape', '32x32,32x32', '--compare', 'direct', 'gemm');
    expect(compared).toMatchObject({ code: 0, stderr: '' });
    expect(compared.stdout).toMatch(/largest difference 0[\s\S]*equal +1024 +100\.0 %/);
  });

  test('--watch does it again when a shader is saved', async () => {
    const child = spawn(process.execPath, [command, 'kernel', 'unary', '--shape', '4x4', '--watch'], { cwd: root });
    let output = '';
    const ended = new Promise(resolve => child.on('close', resolve));
    child.stdout.setEncoding('utf8').on('data', text => {
      output += text;
      const tables = output.match(/^unary .*%$/gm)?.length ?? 0;
      if (tables === 1 && !output.includes('was saved')) {
        const shader = new URL('../shaders/unary.wgsl', import.meta.url);
        utimesSync(shader, new Date(), new Date());
      }
      if (tables === 2) child.kill('SIGTERM');
    });
    expect(await ended).toBe(0);
    expect(output).toContain('unary.wgsl was saved');
  });

  test.each([
    [[], 'kernel: name one'],
    [['nothing'], "there is no 'nothing'"],
    [['matmul', 'more'], 'write --compare A B'],
    [['matmul', '--variant', 'fast'], "no variant contains 'fast'; there are"],
    [['matmul', '--shape', '3x4,5x6'], 'the inner sizes 4 and 5 differ'],
    [['matmul', '--save', 'no/where.json'], '--save no/where.json cannot be written'],
    [['matmul', '--save', 'times.txt'], '--save times.txt: name a file that ends in .json'],
    [['matmul', '--against', 'none.json'], '--against none.json: '],
    [['matmul', '--against', 'bad.json'], '--against bad.json: not a file that wgrad kernel --save wrote'],
  ])('%j is refused with one line and code 2', async (args, message) => {
    writeFileSync(join(root, 'bad.json'), '{"times": 5}');
    const { code, stdout, stderr } = await kernel(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
  });
});
