import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { GoldenCase } from '../src/cli/goldens/format.ts';
import { wgrad } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'verify-'));
afterAll(() => rmSync(folder, { recursive: true }));

const ops = join(import.meta.dirname, 'goldens', 'ops.json');
const { cases } = JSON.parse(readFileSync(ops, 'utf8')) as { cases: GoldenCase[] };
const golden = (name: string) => structuredClone(cases.find(each => each.name === name)!) as Writable<GoldenCase>;
type Writable<T> = { -readonly [K in keyof T]: Writable<T[K]> };

let files = 0;
function write(content: unknown): string {
  const path = join(folder, `${files++}.json`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('wgrad verify', () => {
  test('prints a line a case and a summary', async () => {
    const { code, stdout, stderr } = await wgrad(['verify', ops, '--filter', 'conv2d']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.trimEnd().split('\n');
    const named = cases.filter(({ name }) => name.includes('conv2d'));
    expect(lines).toHaveLength(named.length + 1);
    expect(lines[0]).toMatch(
      /^ok {7}op\.conv2d\.1 +\d\.\de-\d+ \(tolerance 1e-4\) {2}(output|gradient of|second-order) /,
    );
    expect(lines).toContainEqual(expect.stringMatching(/^unknown {2}op\.conv2d\.dilated\.1$/));
    expect(lines.at(-1)).toMatch(/^\d+ passed, 0 failed, \d+ unknown, on \S/);
  });

  test('--json prints {passed, failed, unknown, cases} of several files, also without the list', async () => {
    const optimizers = join(import.meta.dirname, 'goldens', 'optimizers.json');
    const few = write({ cases: [golden('op.conv2d.1'), golden('op.conv2d.dilated.1')] });
    const schedule = write({ cases: [{ name: 'a schedule', kind: 'schedule', tolerance: 1e-4, rows: [] }] });
    const { code, stdout } = await wgrad(['verify', few, optimizers, schedule, '--json', '--filter', '']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(Object.keys(report)).toEqual(['passed', 'failed', 'unknown', 'cases']);
    expect(report).toMatchObject({ failed: 0, unknown: 2 });
    expect(report.passed).toBe(report.cases.length - 2);
    expect(report.cases[0]).toMatchObject({ file: few, name: 'op.conv2d.1', status: 'ok', tolerance: 1e-4 });
    expect(report.cases[0].error).toBeLessThan(1e-4);
    expect(report.cases[1]).toMatchObject({ status: 'unknown', error: null, worst: '' });
    expect(report.cases.at(-1)).toMatchObject({ file: schedule, name: 'a schedule', status: 'unknown' });
  });

  test('a wrong number fails, is named, and gives exit code 1', async () => {
    const wrong = golden('op.conv2d.1');
    const [gradient] = wrong.gradients!;
    gradient.first[0] += 2e-4 * gradient.meanAbs;
    const slipped = golden('op.conv2d.2');
    slipped.outputs[0].shape[0]++;
    const path = write({ cases: [golden('op.conv2d.3'), wrong, slipped] });
    const { code, stdout } = await wgrad(['verify', path]);
    expect(code).toBe(1);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^ok /);
    expect(lines[1]).toMatch(new RegExp(`^FAIL {5}op\\.conv2d\\.1 {2}2\\.0e-4 .* gradient of ${gradient.wrt}$`));
    expect(lines[2]).toMatch(/^FAIL {5}op\.conv2d\.2 {2}no value .* output output$/);
    expect(lines[3]).toMatch(/^1 passed, 2 failed, 0 unknown/);
    const { cases: verdicts } = JSON.parse((await wgrad(['verify', path, '--json'])).stdout);
    expect(verdicts[1].error).toBeCloseTo(2e-4, 5);
    expect(verdicts[2].error).toBeNull();
  });

  test('a case that compares nothing does not pass', async () => {
    const empty = { ...golden('op.conv2d.1'), outputs: [], gradients: undefined, secondOrder: undefined };
    const { code, stdout } = await wgrad(['verify', write({ cases: [empty] })]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^FAIL {5}op\.conv2d\.1 {2}no value .* the case says nothing to compare\n/);
  });

  test('--strict gives exit code 1 where a case is unknown', async () => {
    const unknown = write({ cases: [{ ...golden('op.conv2d.1'), op: 'no_such_op' }, golden('op.conv2d.2')] });
    expect((await wgrad(['verify', unknown])).code).toBe(0);
    expect((await wgrad(['verify', unknown, '--strict'])).code).toBe(1);
    expect((await wgrad(['verify', unknown, '--strict', '--filter', 'conv2d.2'])).code).toBe(0);
  });

  describe('bad input is one line and exit code 2', () => {
    const broken = (change: object) =>
      write({ cases: [golden('op.conv2d.1'), { ...golden('op.conv2d.2'), ...change }] });
    test.each([
      ['no file', [], /say which golden files/],
      ['a missing file', ['/nowhere.json'], /\/nowhere\.json: there is no such file/],
      ['a folder', [folder], /is a folder/],
      ['not JSON', [write('{"cases": [')], /not JSON/],
      ['another JSON file', [write({ hello: 1 })], /not a golden file/],
      ['a list', [write([])], /not a golden file/],
      ['no case', [write({ cases: [] })], /no case in/],
      ['a filter that fits none', [ops, '--filter', 'zork'], /no case whose name contains 'zork'/],
      ['a case that is no object', [write({ cases: [7] })], /case 1 is malformed: it is not an object/],
      ['no tolerance', [broken({ tolerance: undefined })], /case 2 \('op\.conv2d\.2'\) is malformed: its 'tolerance'/],
      ['an unheard-of kind', [broken({ kind: 'zork' })], /its 'kind' is "zork"/],
      ['an op without its name', [broken({ op: undefined })], /its 'op' is not a text/],
      ['a module without its name', [broken({ kind: undefined })], /its 'module' is not a text/],
      ['inputs that are no list', [broken({ inputs: {} })], /its 'inputs' is not a list/],
      ['an input without shape', [broken({ inputs: [{ name: 'x' }] })], /entry 1 of its 'inputs'/],
      ['a summary without numbers', [broken({ outputs: [{ shape: [1] }] })], /entry 1 of its 'outputs'/],
      ['a gradient of nothing', [broken({ gradients: golden('op.conv2d.2').outputs })], /entry 1 of its 'gradients'/],
      [
        'an optimizer without steps',
        [broken({ kind: 'optimizer', optimizer: 'sgd', config: {}, params: [] })],
        /Steps/,
      ],
      ['an unknown option', [ops, '--zork'], /--zork/],
      ['an adapter that is not there', [ops, '--adapter', 'zork'], /no adapter matches "zork"/],
    ] as const)('%s', async (_, args, message) => {
      const { code, stdout, stderr } = await wgrad(['verify', ...args]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^wgrad: [^\n]*\n$/);
      expect(stderr).toMatch(message);
    });
  });
});
