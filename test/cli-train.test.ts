import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, test, vi } from 'vitest';
import { command, wgrad } from './command.ts';
import { checkpointOf, logOf, temporaryFolder } from './runs.ts';

// Some seconds each, minutes where the cores are busy with other work.
vi.setConfig({ testTimeout: 600_000 });

const root = temporaryFolder();
const at = (...names: string[]) => join(root, ...names);
/** The recipe of the tests: some milliseconds a step. */
const STAGES = join(import.meta.dirname, 'fixtures', 'stages.ts');

const train = (...args: string[]) => wgrad(['train', ...args], { cwd: root });

/** What a run left, all that must not depend on how often it was interrupted. */
const leftBy = (path: string) => ({ log: logOf(path), checkpoint: checkpointOf(path) });

/** Starts a run, sends it a signal at its n-th chunk of output or after some milliseconds, and waits for its end. */
function interrupted(args: readonly string[], signal: NodeJS.Signals, when: (stdout: string) => boolean, ms?: number) {
  return new Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }>(
    resolve => {
      const child = spawn(process.execPath, [command, 'train', ...args], { cwd: root });
      let [stdout, stderr, sent] = ['', '', false];
      const send = () => {
        if (!sent) child.kill(signal);
        sent = true;
      };
      child.stdout.setEncoding('utf8').on('data', text => {
        stdout += text;
        if (!when(stdout)) return;
        if (ms === undefined) send();
        else setTimeout(send, ms);
      });
      child.stderr.setEncoding('utf8').on('data', text => (stderr += text));
      child.on('close', (code, killed) => resolve({ code, signal: killed, stdout, stderr }));
    },
  );
}

describe('a run of a recipe file', () => {
  test('leaves config.json, a log, events, checkpoints and a report; config.json repeats it exactly', async () => {
    const first = await train(STAGES, '--out', 'first', '--steps', '24', '--seed', '7', '--set', 'window=1');
    expect(first.stderr).toBe('');
    expect(first.code).toBe(0);
    expect(first.stdout).toContain('report: first/report.html');
    expect(readdirSync(at('first')).sort()).toEqual([
      'checkpoints',
      'config.json',
      'events',
      'log.jsonl',
      'report.html',
    ]);
    const config = JSON.parse(readFileSync(at('first', 'config.json'), 'utf8'));
    expect(config).toMatchObject({
      recipe: STAGES,
      options: { steps: 24, seed: 7, window: 1, batch: 4, saveEvery: 200 },
    });
    const second = await train(STAGES, '--out', 'second', '--config', join('first', 'config.json'));
    expect(second.code).toBe(0);
    expect(leftBy(at('second'))).toEqual(leftBy(at('first')));
    expect(JSON.parse(readFileSync(at('second', 'config.json'), 'utf8'))).toEqual(config);
  });

  test('runs in folders of their own under runs/ where none is named', async () => {
    const [one, two] = [await train(STAGES, '--steps', '8'), await train(STAGES, '--steps', '8')];
    expect([one.code, two.code]).toEqual([0, 0]);
    expect(readdirSync(at('runs')).sort()).toEqual(['tiny-stages', 'tiny-stages-2']);
  });
});

test('a run whose time is over ends with its report, and can go on', async () => {
  const timed = await train(
    STAGES,
    '--steps',
    '100000',
    '--minutes',
    '0.02',
    '--set',
    'sampleEvery=0',
    '--out',
    'timed',
  );
  expect(timed).toMatchObject({ code: 0, stderr: '' });
  expect(timed.stdout).toContain('report: timed/report.html');
  const { step } = checkpointOf(at('timed')).state as { step: number };
  const resumed = await train('--resume', 'timed', '--steps', String(step + 8), '--minutes', '10');
  expect(resumed).toMatchObject({ code: 0, stderr: '' });
  expect(logOf(at('timed')).map(line => line.step)).toEqual(Array.from({ length: step + 8 }, (_, i) => i + 1));
});

describe.each(['SIGINT', 'SIGTERM'] as const)('%s', signal => {
  test('saves, says how to go on, and exits with code 0; going on ends as the whole run', async () => {
    const args = [STAGES, '--steps', '400', '--set', 'sampleEvery=0', '--out', signal];
    const stopped = await interrupted(args, signal, stdout => /step \d+\/400/.test(stdout));
    expect(stopped).toMatchObject({ code: 0, signal: null, stderr: '' });
    const [, step] = stopped.stdout.match(
      /stopped at step (\d+); go on with: wgrad train --resume SIG(?:INT|TERM)\n$/,
    )!;
    expect(Number(step)).toBeLessThan(400);
    expect(checkpointOf(at(signal)).state.step).toBe(Number(step));
    expect(existsSync(at(signal, 'report.html'))).toBe(false);
    const more = Number(step) + 16;
    const resumed = await train('--resume', signal, '--steps', String(more));
    expect(resumed).toMatchObject({ code: 0, stderr: '' });
    expect(resumed.stdout).toContain(`resumed from ${signal}/checkpoints/step-`);
    expect(logOf(at(signal)).map(line => line.step)).toEqual(Array.from({ length: more }, (_, i) => i + 1));
  });
});

test('a closed output, as behind | head, ends a run as a signal does', async () => {
  const args = [STAGES, '--steps', '4000', '--set', 'sampleEvery=0', '--out', 'piped'];
  const child = spawn(process.execPath, [command, 'train', ...args], { cwd: root });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', text => (stderr += text));
  child.stdout.once('data', () => child.stdout.destroy());
  const code = await new Promise(resolve => child.on('close', resolve));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(checkpointOf(at('piped')).state.step).toBeLessThan(4000);
});

test('a folder in which a process trains is refused to a second one, and free when that was killed', async () => {
  const args = [STAGES, '--steps', '1000000', '--set', 'sampleEvery=0', '--save-every', '8', '--out', 'shared'];
  const child = spawn(process.execPath, [command, 'train', ...args], { cwd: root });
  const ended = new Promise(resolve => child.on('close', resolve));
  await new Promise<void>(resolve => {
    child.stdout.setEncoding('utf8').on('data', text => text.includes('step ') && resolve());
  });
  const second = await train('--resume', 'shared');
  child.kill('SIGKILL');
  await ended;
  expect(second).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^wgrad: shared: process \d+ is training there; end it first [^\n]*\n$/),
  });
  const { step } = checkpointOf(at('shared')).state as { step: number };
  expect(await train('--resume', 'shared', '--steps', String(step + 8))).toMatchObject({ code: 0, stderr: '' });
  expect(existsSync(at('shared', '.lock'))).toBe(false);
});

test('killed at random moments, a run loses no checkpoint, repeats no step, and ends as if it had not been', async () => {
  const settings = ['--steps', '320', '--save-every', '8', '--keep', '3', '--set', 'broken=100'];
  const began = performance.now();
  const whole = await train(STAGES, ...settings, '--out', 'whole');
  expect(whole.code).toBe(0);
  // A share of a whole run's time, its start included: kills fall into the start, the steps and the checkpoints.
  const share = (performance.now() - began) / 3;
  const path = at('killed');
  const args = () =>
    existsSync(join(path, 'config.json')) ? ['--resume', 'killed'] : [STAGES, ...settings, '--out', 'killed'];
  let newest = 0;
  let kills = 0;
  for (; kills < 6; kills++) {
    // The command says where it runs before anything is written; from then on every instant may be the last.
    const ms = Math.random() * share;
    const { code, signal, stderr } = await interrupted(args(), 'SIGKILL', stdout => stdout.includes(' on '), ms);
    expect(stderr).toBe('');
    if (signal !== 'SIGKILL') {
      expect(code).toBe(0);
      break;
    }
    const checkpoints = existsSync(join(path, 'checkpoints')) ? readdirSync(join(path, 'checkpoints')) : [];
    const complete = checkpoints.filter(name => name.startsWith('step-')).map(name => Number(name.slice(5)));
    expect(Math.max(0, ...complete)).toBeGreaterThanOrEqual(newest);
    newest = Math.max(0, ...complete);
  }
  expect(kills).toBeGreaterThanOrEqual(2);
  expect(newest).toBeGreaterThan(0);
  expect(await train(...args())).toMatchObject({ code: 0, stderr: '' });
  expect(leftBy(path)).toEqual(leftBy(at('whole')));
  expect(readdirSync(join(path, 'checkpoints'))).toEqual(readdirSync(at('whole', 'checkpoints')));
});

describe('bad input is one line that says what, where and what to do; code 2; nothing is left behind', () => {
  async function refused(args: readonly string[], ...expected: (RegExp | string)[]) {
    const before = readdirSync(root);
    const { code, stdout, stderr } = await wgrad(args, { cwd: root });
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringMatching(/^wgrad: [^\n]+\n$/) });
    for (const text of expected) expect(stderr).toMatch(text);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stdout).not.toMatch(/\n\s+at /);
    expect(readdirSync(root)).toEqual(before);
  }
  const refusedTrain = (args: readonly string[], ...expected: (RegExp | string)[]) =>
    refused(['train', ...args], ...expected);

  test.each<[string, string[], RegExp]>([
    ['an unknown verb', ['trian'], /unknown verb 'trian'; there are .*train.*--help/],
    ['an unknown option', ['train', 'perceptual', '--stesp', '3'], /--stesp.*--help/],
    ['a recipe that is not there', ['train', 'psp'], /no recipe 'psp'; there are e2style/],
    ['two recipes', ['train', 'e2style', 'perceptual'], /one recipe at a time, got e2style, perceptual/],
    ['no steps', ['train', 'perceptual', '--steps', '0'], /--steps: 0 .*whole number from 1/],
    ['half a step', ['train', 'perceptual', '--steps', '1.5'], /--steps: 1\.5/],
    ['steps left open', ['train', 'perceptual', '--steps', 'null'], /--steps: 'null' is not a number/],
    ['no images', ['train', 'perceptual', '--batch', '0'], /--batch: 0 .*whole number from 1/],
    ['no number', ['train', 'perceptual', '--lr', 'fast'], /--lr: 'fast' is not a number/],
    ['a negative count', ['start', '--steps', '-1'], /'--steps' .*use '--steps=-XYZ'/],
    ['an absurd count', ['start', '--steps', '1e99'], /--steps: 1e99 is not possible/],
    ['a batch that no memory holds', ['train', 'perceptual', '--batch', '1e9'], /--batch: 1e9 .*from 1 to 65536/],
    ['half a seed', ['train', 'perceptual', '--seed', '1.5'], /--seed: 1\.5 .*whole number from 0/],
    ['no time', ['train', 'perceptual', '--minutes', '0'], /--minutes: 0 .*over 0/],
    ['a negative rate', ['train', 'perceptual', '--lr=-1'], /--lr: -1 .*over 0/],
    ['no recipe', ['train'], /say what to train: e2style, .*--help/],
    [
      'an option of another recipe',
      ['train', 'perceptual', '--abort', 'off'],
      /--abort: perceptual has no setting 'abort'/,
    ],
    ['an unknown setting', ['train', 'perceptual', '--set', 'wdith=4'], /no setting 'wdith'; it has .*width/],
    ['a setting without value', ['train', 'perceptual', '--set', 'width'], /--set width: write --set key=value/],
    ['no such folder of images', ['train', 'stylegan2', '--data', 'nowhere'], /no folder nowhere: check the path/],
    ['no such config', ['train', 'perceptual', '--config', 'none.json'], /--config none\.json: .*no such file/],
    [
      'a run that is not there',
      ['train', '--resume', 'nowhere'],
      /--resume nowhere: there is no run and no file of weights/,
    ],
    ['two folders', ['train', '--resume', 'a', '--out', 'b'], /--resume a goes on in that folder: leave out --out b/],
    [
      'two starts',
      ['train', 'stylegan2', '--resume', STAGES, '--from', 'a.pt'],
      /--resume .*stages\.ts is as --from: leave out --from a\.pt/,
    ],
    [
      'a run with other weights',
      ['train', '--resume', 'a', '--from', 'b.pt'],
      /--resume a goes on with that run's weights: leave out --from b\.pt/,
    ],
    ['no such recipe file', ['train', './none.ts'], /no file \.\/none\.ts/],
    ['an adapter that is not there', ['train', 'perceptual', '--adapter', 'voodoo'], /voodoo/],
    ['the absolute method without threshold', ['train', STAGES, '--abort', 'paper-absolute'], /--threshold/],
    ['an unknown preset', ['train', STAGES, '--abort', 'sometimes'], /'sometimes'; choose one of off, paper-relative/],
    ['a size without loss networks', ['train', 'e2style', '--size', '128'], /loss networks for 32 and 64 pixels only/],
    ['a size that no network has', ['train', 'stylegan2', '--size', '48'], /size 48 is no power of two from 8 to 1024/],
    ['a configuration that is not there', ['train', 'stylegan2', '--config', 'huge'], /config: there is no 'huge'/],
    ['no file of weights', ['train', 'stylegan2', '--from', 'none.pt'], /There is no file none\.pt: check the path/],
    ['faces mirrored', ['train', 'stylegan2', '--mirror'], /--mirror: is for folders and zips of images/],
    [
      'rounds that do not fit',
      ['train', 'stylegan2', '--micro-batch', '3'],
      /--batch 8: cannot be cut into micro-batches/,
    ],
  ])('%s', (_, args, expected) => refused(args, expected));

  test('images: an empty folder, one without a whole image, too few', async () => {
    mkdirSync(at('data', 'empty'), { recursive: true });
    mkdirSync(at('data', 'corrupt'));
    mkdirSync(at('data', 'few'));
    for (const name of ['a.png', 'b.jpg']) writeFileSync(at('data', 'corrupt', name), 'no image');
    await sharp({ create: { width: 40, height: 40, channels: 3, background: 'red' } }).toFile(
      at('data', 'few', 'a.png'),
    );
    const check = (name: string, expected: RegExp) =>
      refusedTrain(['stylegan2', '--batch', '4', '--data', join('data', name)], expected);
    await check('empty', /data\/empty holds no \.jpg, \.jpeg, \.png or \.webp files/);
    await check('corrupt', /data\/corrupt: none of its 2 images can be decoded/);
    await check('few', /data\/few: 1 images are too few for batches of 4 .*lower --batch/);
    writeFileSync(at('data', 'cut.zip'), 'PK');
    await check('cut.zip', /data\/cut\.zip/);
  });

  test('config.json: broken, of another recipe, of nothing', async () => {
    mkdirSync(at('configs'));
    const write = (text: string) => writeFileSync(at('configs', 'c.json'), text);
    const check = (expected: RegExp) => refusedTrain(['perceptual', '--config', 'configs/c.json'], expected);
    write('{"recipe": "perceptual", "opt');
    await check(/--config configs\/c\.json: .*JSON/);
    write('{"recipe": "e2style", "options": {}}');
    await check(/is of the recipe 'e2style', not 'perceptual'/);
    write('[1]');
    await check(/configs\/c\.json/);
    write('{"recipe": "perceptual", "options": {"widht": 4}}');
    await check(/configs\/c\.json: perceptual has no setting 'widht'/);
  });

  test('a recipe file with a syntax error, without a recipe, with half a recipe, that fails', async () => {
    mkdirSync(at('recipes'));
    const check = async (text: string, ...expected: RegExp[]) => {
      writeFileSync(at('recipes', 'r.ts'), text);
      await refusedTrain(['recipes/r.ts'], ...expected);
      expect(readdirSync(at('recipes'))).toEqual(['r.ts']);
    };
    await check('export default {', /recipes\/r\.ts: .*r\.ts:1:16/);
    await check('export const a = 1;', /recipes\/r\.ts: its default export is not a recipe/);
    await check('export default { name: "x", create() {} }', /recipes\/r\.ts: its default export is not a recipe/);
    await check('export default { name: "x", defaults: { steps: 3 }, create() {} }', /no number for batch, lr/);
    await check('import "nothing-of-that-name"; export default {}', /recipes\/r\.ts: .*nothing-of-that-name/);
    await check('throw new Error("not today");', /recipes\/r\.ts: .*not today/);
    await check('throw null;', /recipes\/r\.ts: null/);
    await check(
      'export default { name: "../x", defaults: {}, create() {} }',
      /its name '\.\.\/x' names the run's folder/,
    );
  });

  test('--out that holds a run, or is a file', async () => {
    mkdirSync(at('taken'));
    writeFileSync(at('taken', 'config.json'), '{}');
    await refusedTrain(
      ['perceptual', '--out', 'taken'],
      /--out taken: there is a run already; go on with it by --resume/,
    );
    writeFileSync(at('a-file'), '');
    await refused(['start', '--out', 'taken'], /--out taken: there is a run already/);
    await refusedTrain([STAGES, '--out', 'a-file'], /a-file is a file: name a folder/);
    await refusedTrain([STAGES, '--out', 'a-file/run'], /not a directory.*a-file\/run.*; check that path/);
    await refusedTrain([STAGES, '--out='], /--out: name a folder/);
  });

  test('--resume: of a broken config.json, with other networks, of a damaged checkpoint; the run stays as it was', async () => {
    const run = at('resumed');
    const done = await train(STAGES, '--out', 'resumed', '--steps', '16', '--save-every', '8');
    expect(done.code).toBe(0);
    const contents = () =>
      readdirSync(run, { recursive: true, withFileTypes: true })
        .filter(entry => entry.isFile())
        .map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name), 'base64')]);
    const check = async (args: string[], ...expected: RegExp[]) => {
      const before = contents();
      await refusedTrain(['--resume', 'resumed', '--steps', '24', ...args], ...expected);
      expect(contents()).toEqual(before);
    };
    await check(['--set', 'stages=4'], /step-00000016\/model\.safetensors \(stage4\): no tensor .* of another model/);
    await check(['--abort', 'paper-relative'], /saved monitor state is not one of this run .*; start a new run/);
    const checkpoint = join(run, 'checkpoints', 'step-00000016');
    cpSync(checkpoint, at('copy'), { recursive: true });
    const model = readFileSync(join(checkpoint, 'model.safetensors'));
    writeFileSync(join(checkpoint, 'model.safetensors'), model.subarray(0, 1000));
    await check([], /step-00000016 is damaged: .*truncated; remove that folder/);
    rmSync(checkpoint, { recursive: true });
    cpSync(at('copy'), checkpoint, { recursive: true });
    await refusedTrain(['perceptual', '--resume', 'resumed'], /is of the recipe '.*stages\.ts', not 'perceptual'/);
    // A checkpoint of another recipe, put there by hand.
    const config = readFileSync(join(run, 'config.json'), 'utf8');
    const other = { recipe: 'perceptual', options: { width: 4, batch: 2, steps: 20 } };
    writeFileSync(join(run, 'config.json'), JSON.stringify(other));
    await check([], /step-00000016\/model\.safetensors \(network\): no tensor/);
    writeFileSync(join(run, 'config.json'), '{"recipe": 3}');
    await check([], /resumed\/config\.json: not the config\.json of a run/);
    writeFileSync(join(run, 'config.json'), config);
    const mended = await train('--resume', 'resumed', '--steps', '24');
    expect(mended).toMatchObject({ code: 0, stderr: '' });
  });

  test('losses that stay broken end the run with one line; what was saved before can be gone on with', async () => {
    const broken = await train(STAGES, '--out', 'broken', '--save-every', '8', '--steps', '90', '--set', 'broken=10-');
    expect(broken).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^wgrad: the losses were not finite[^\n]+\n$/),
    });
    expect(broken.stderr).toMatch(/up to step 32; .*Lower --lr/);
    const mended = await train('--resume', 'broken', '--steps', '40', '--set', 'broken=');
    expect(mended).toMatchObject({ code: 0, stderr: '' });
    expect(logOf(at('broken')).length).toBe(40);
  });

  test('--debug shows where it came from', async () => {
    const { code, stderr } = await wgrad(['train', 'perceptual', '--steps', '0', '--debug']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/UserError: --steps: 0[^\n]*\n\s+at /);
  });
});

test('a damaged image among good ones is named, skipped and counted', async () => {
  mkdirSync(at('photos'));
  for (let i = 0; i < 12; i++) {
    const background = { r: 20 * i, g: 100, b: 255 - 20 * i };
    await sharp({ create: { width: 20, height: 20, channels: 3, background } }).toFile(at('photos', `${i + 10}.png`));
  }
  const good = readFileSync(at('photos', '15.png'));
  writeFileSync(at('photos', '15-cut.png'), good.subarray(0, good.length / 2));
  const { code, stdout, stderr } = await train(
    'stylegan2',
    ...['--data', 'photos', '--batch', '4', '--steps', '3', '--out', 'damaged', '--sample-every', '0'],
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout.match(/image skipped: .*15-cut\.png.*/g)?.length).toBe(1);
  expect(stdout).toContain('damaged images that were skipped: 1');
});
