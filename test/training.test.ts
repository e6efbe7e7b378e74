import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { full } from '../src/runtime/kernels/copy.ts';
import { runReport } from '../src/train/runReport.ts';
import type { Options, Recipe } from '../src/train/training.ts';
import { useDevice } from './device.ts';
import { decodeEvents } from './events.ts';
import stages from './fixtures/stages.ts';
import { checkpointOf, logOf, temporaryFolder, trainRecipe } from './runs.ts';

const holder = useDevice();
const root = temporaryFolder();

const run = (name: string, options: Options = {}, more: object = {}) =>
  trainRecipe({ device: holder.device, recipe: stages, options, path: join(root, name), ...more });

/** What a run left, all that must not depend on how often it was interrupted. */
const leftBy = (name: string) => ({ log: logOf(join(root, name)), checkpoint: checkpointOf(join(root, name)) });

const STEPS = 40;

test('stopped four times and resumed, a run equals one that was not, bit for bit', async () => {
  const whole = await run('whole');
  for (const stopAt of [1, 9, 17, 25]) {
    const { result } = await run('pieces', {}, { stopAt });
    expect(result).toMatchObject({ finished: false, steps: Math.ceil(stopAt / 8) * 8 });
  }
  const { result } = await run('pieces');
  expect(result.finished).toBe(true);
  const left = leftBy('whole');
  expect(left.log.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
  expect(left.checkpoint.tensors.size).toBeGreaterThan(50);
  // Stages were dropped between the stops, so that drops, and decisions to drop, are part of what is resumed.
  const { drops } = whole.result.control!.report();
  expect(drops).toMatchObject([
    { kind: 'obeyed', from: 3, to: 2 },
    { kind: 'obeyed', from: 2, to: 1 },
  ]);
  expect(drops[0].effectiveStep).toBeLessThanOrEqual(32);
  expect(leftBy('pieces')).toEqual(left);
  expect(result.control!.report()).toEqual(whole.result.control!.report());
  expect(result.control!.state()).toEqual(whole.result.control!.state());
});

test('the random numbers, the monitor and the optimiser are each part of what is compared', async () => {
  await run('other-seed', { seed: 2 });
  const [whole, other] = [leftBy('whole'), leftBy('other-seed')];
  expect(other.log[0].losses).not.toEqual(whole.log[0].losses);
  const keys = [...whole.checkpoint.tensors.keys()];
  for (const part of [
    'stage1/first.weight',
    'stage1/norm.running_mean',
    'average/last.bias',
    'stage1/m.first.weight',
  ]) {
    const key = keys.find(found => found.endsWith(part))!;
    expect(other.checkpoint.tensors.get(key), part).not.toBe(whole.checkpoint.tensors.get(key));
  }
  expect(whole.checkpoint.state.control).toMatchObject({ monitor: { aborts: 2, active: 1 } });
});

test.each([0, 3])('a finished run goes on with more steps as if they had been asked for at once (%i)', async rest => {
  // The monitor fires in the shorter run's last rings, which that run sees only when it has ended.
  const firing = leftBy('whole').log.find(({ monitor }) => monitor?.event === 'ABORT')!;
  await run(`extended-${rest}`, { steps: Math.ceil(firing.step / 8) * 8 + rest });
  await run(`extended-${rest}`, { steps: STEPS });
  expect(leftBy(`extended-${rest}`)).toEqual(leftBy('whole'));
});

test('a run that was killed between its end and its report ends again with the same log', async () => {
  const before = leftBy('whole');
  const { result } = await run('whole');
  expect(result).toMatchObject({ finished: true, steps: STEPS });
  expect(leftBy('whole')).toEqual(before);
});

test('checkpoints: every --save-every steps, the newest --keep of them', async () => {
  const saved: string[][] = [];
  const path = join(root, 'kept');
  const onStep = (step: number) => step % 8 === 1 && step > 1 && saved.push(readdirSync(join(path, 'checkpoints')));
  await run('kept', { steps: 44, saveEvery: 16, keep: 2 }, { onStep });
  expect(saved).toEqual([
    [],
    ['step-00000016'],
    ['step-00000016'],
    ['step-00000016', 'step-00000032'],
    ['step-00000016', 'step-00000032'],
  ]);
  expect(readdirSync(join(path, 'checkpoints'))).toEqual(['step-00000032', 'step-00000044']);
});

test('a checkpoint that the user copied under another name stays, and is not taken for the newest', async () => {
  const path = join(root, 'copied', 'checkpoints');
  await run('copied', { steps: 24 }, { stopAt: 8 });
  for (const name of ['best', 'zero']) cpSync(join(path, 'step-00000008'), join(path, name), { recursive: true });
  await run('copied', { steps: 24, saveEvery: 8, keep: 1 });
  expect(readdirSync(path)).toEqual(['best', 'step-00000024', 'zero']);
});

describe('a checkpoint that cannot be taken over is named, and the run stays as it is', () => {
  const damage = async (name: string, change: (checkpoint: string) => void, options: Options = {}) => {
    const path = join(root, name);
    await run(name, { saveEvery: 8 }, { stopAt: 16 });
    change(join(path, 'checkpoints', 'step-00000016'));
    const log = readFileSync(join(path, 'log.jsonl'), 'utf8');
    const begun: string[] = [];
    const watcher = { begins: async () => void begun.push(name) };
    const error = await run(name, options, { watcher }).then(() => undefined, String);
    expect(readFileSync(join(path, 'log.jsonl'), 'utf8')).toBe(log);
    expect(begun).toEqual([]);
    expect(error?.split('\n').length).toBe(1);
    return error;
  };
  const cut = (file: string) => (checkpoint: string) => {
    const bytes = readFileSync(join(checkpoint, file));
    writeFileSync(join(checkpoint, file), bytes.subarray(0, bytes.length - 100));
  };

  test.each(['model.safetensors', 'optimizer.safetensors', 'state.json'])('%s is truncated', async file => {
    expect(await damage(`cut-${file}`, cut(file))).toMatch(/step-00000016 is damaged: .* remove that folder to go on/);
    rmSync(join(root, `cut-${file}`, 'checkpoints', 'step-00000016'), { recursive: true });
    await run(`cut-${file}`);
    expect(leftBy(`cut-${file}`)).toEqual(leftBy('whole'));
  });

  test('a file is missing', async () => {
    const error = await damage('missing', checkpoint => rmSync(join(checkpoint, 'optimizer.safetensors')));
    expect(error).toMatch(/step-00000016 is damaged/);
  });

  test('its header is not one', async () => {
    const change = (checkpoint: string) => {
      const file = join(checkpoint, 'model.safetensors');
      const bytes = readFileSync(file);
      bytes.fill(0xff, 8, 40);
      writeFileSync(file, bytes);
    };
    expect(await damage('header', change)).toMatch(/step-00000016\/model\.safetensors/);
  });

  test('its state is of something else', async () => {
    const change = (checkpoint: string) => {
      const file = join(checkpoint, 'state.json');
      writeFileSync(file, JSON.stringify({ step: 3 }).padEnd(readFileSync(file).length));
    };
    expect(await damage('state', change)).toMatch(/step-00000016 is damaged: its state\.json/);
  });

  test.each([
    ['logged', { logged: -1 }],
    ['unseen', { unseen: [{ step: 9 }] }],
    ['activeStages', { activeStages: 0 }],
    ['control', { control: { monitor: {}, shadows: {} } }],
  ])('its state has no possible %s', async (name, changed) => {
    const change = (checkpoint: string) => {
      const file = join(checkpoint, 'state.json');
      const state = JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...changed });
      writeFileSync(file, state);
      const manifest = join(checkpoint, 'complete.json');
      const { files } = JSON.parse(readFileSync(manifest, 'utf8'));
      writeFileSync(manifest, JSON.stringify({ files: { ...files, 'state.json': state.length } }));
    };
    expect(await damage(`state-${name}`, change)).toMatch(/^UserError: .*(not one of a run|not one of this run)/);
  });

  test('it is of a training with more stages, or of another monitor', async () => {
    expect(await damage('stages', () => {}, { stages: 4 })).toMatch(
      /stage4.*no tensor ".*"; the file is of another model/,
    );
    expect(await damage('monitor', () => {}, { abort: 'paper-relative' })).toMatch(/not one of this run/);
  });
});

describe('steps that are not finite', () => {
  test('nothing moves in them, they are logged, and the run goes on', async () => {
    // '9-' is every step from 9 on.
    await run('broken', { broken: '9-', steps: 16, abort: 'off' }, { stopAt: 8 });
    const before = checkpointOf(join(root, 'broken'));
    await run('broken', { broken: '9-', steps: 16, abort: 'off' });
    const after = checkpointOf(join(root, 'broken'));
    const moved = [...after.tensors].filter(([key, bytes]) => before.tensors.get(key) !== bytes).map(([key]) => key);
    expect(moved).toEqual([]);
    const log = logOf(join(root, 'broken'));
    expect(log.map(({ finite }) => finite)).toEqual([...Array(8).fill(true), ...Array(8).fill(false)]);
    expect(log[8].losses).toMatchObject({ stage1: 'NaN' });
    await run('broken', { steps: 24, abort: 'off' });
    const mended = checkpointOf(join(root, 'broken'));
    for (const key of ['stage1/first.weight', 'average/first.weight', 'stage1/norm.running_var']) {
      expect(mended.tensors.get(`model.safetensors/${key}`)).not.toBe(after.tensors.get(`model.safetensors/${key}`));
    }
  });

  test('a single one between good ones', async () => {
    await run('once', { broken: '5', steps: 16, abort: 'off' });
    const log = logOf(join(root, 'once'));
    expect(log.filter(({ finite }) => !finite).map(({ step }) => step)).toEqual([5]);
    expect(Number.isFinite(log[5].losses.stage1)).toBe(true);
    // Of the two runs only the one without the broken step trained in it.
    await run('never', { steps: 16, abort: 'off' });
    const [once, never] = [logOf(join(root, 'once')), logOf(join(root, 'never'))];
    expect(once.slice(0, 4)).toEqual(never.slice(0, 4));
    expect(once[5].losses).not.toEqual(never[5].losses);
  });

  test('many in a row end the run, and its last checkpoint is good', async () => {
    const options = { broken: '11-', saveEvery: 8, steps: 100, abort: 'off', keep: 20 };
    await expect(run('lost', options)).rejects.toThrow(/not finite for 22 steps, up to step 32; .*Lower --lr/);
    const log = logOf(join(root, 'lost'));
    expect(log.map(({ step, finite }) => [step, finite])).toEqual(
      Array.from({ length: 32 }, (_, i) => [i + 1, i + 1 < 11]),
    );
    const { result } = await run('lost', { ...options, broken: '', steps: 48 });
    expect(result.finished).toBe(true);
    expect(
      logOf(join(root, 'lost'))
        .filter(({ finite }) => !finite)
        .map(({ step }) => step),
    ).toEqual(Array.from({ length: 22 }, (_, i) => i + 11));
  });
});

describe('abortion', () => {
  /** Dispatches of each step, and the memory lent at its start. */
  async function measured(name: string, options: Options) {
    const { device } = holder;
    const [dispatches, bytes]: number[][] = [[], []];
    let last = device.dispatches;
    const onStep = () => {
      dispatches.push(device.dispatches - last);
      last = device.dispatches;
      bytes.push(device.memory.lentBytes);
    };
    const { result } = await run(name, options, { onStep });
    return { dispatches, bytes, result };
  }

  test('a dropped stage costs nothing any more: neither dispatches nor the memory of its optimiser', async () => {
    const { dispatches, bytes, result } = await measured('scheduled', { abort: 'off', abortAt: '11,21', steps: 32 });
    expect(result.control!.report().drops).toEqual([
      { kind: 'scheduled', decisionStep: 11, effectiveStep: 11, from: 3, to: 2 },
      { kind: 'scheduled', decisionStep: 21, effectiveStep: 21, from: 2, to: 1 },
    ]);
    expect(result.lines.map(({ active }) => active)).toEqual([
      ...Array(10).fill(3),
      ...Array(10).fill(2),
      ...Array(12).fill(1),
    ]);
    // Element i is what lies between the calls of step i and step i + 1 (from 1), which is step i.
    const [three, two, one] = [dispatches[6], dispatches[14], dispatches[26]];
    expect(two).toBeLessThan(three * 0.75);
    expect(three - two).toBe(two - one);
    // Ranger holds m, v, a slow copy and the gradient of about 300 parameters, in blocks of at least 256 bytes.
    expect(bytes[9] - bytes[10]).toBeGreaterThan(4 * 300 * 4);
    expect(bytes[9] - bytes[10]).toBe(bytes[19] - bytes[20]);
    const losses = Object.keys(logOf(join(root, 'scheduled'))[25].losses);
    expect(losses).toEqual(['stage1', 'stage1/l1']);
  });

  test('the effective step of an obeyed drop follows from the deciding step alone', async () => {
    for (const seed of [1, 3]) {
      const { result } = await run(`obeyed-${seed}`, { seed, abort: 'paper-relative', steps: 64 });
      const { drops } = result.control!.report();
      expect(drops.length).toBe(2);
      for (const { kind, decisionStep, effectiveStep } of drops) {
        expect(kind).toBe('obeyed');
        // Its ring is replayed when the next one is full.
        expect(effectiveStep).toBe(Math.ceil(decisionStep / 8) * 8 + 9);
      }
      for (const { step, active } of result.lines) {
        expect(active).toBe(3 - drops.filter(({ effectiveStep }) => effectiveStep <= step).length);
      }
      const events = result.lines.filter(({ monitor }) => monitor?.event === 'ABORT').map(({ step }) => step);
      expect(events).toEqual(drops.map(({ decisionStep }) => decisionStep));
    }
  });

  test('the monitor sees the loss of the last active stage', async () => {
    const { result } = await run('watched', { abort: 'paper-absolute', threshold: 1e9, abortAt: '17', steps: 32 });
    const state = result.control!.state();
    expect(state.losses).toEqual(result.lines.map(({ losses, active }) => losses[`stage${active}`]));
    expect(result.lines[20].active).toBe(2);
  });

  test('a stage that leaves by schedule is one less for the monitor', async () => {
    const options = { abort: 'paper-absolute', threshold: 0, patience: 3, abortAt: '5', steps: 40 };
    const { result } = await run('both', options);
    const events = result.lines.flatMap(({ step, monitor }) => (monitor?.event ? [`${monitor.event}@${step}`] : []));
    // With 'gt' it fires at every fourth failure: once with two stages left, then with one.
    expect(events.slice(0, 3)).toEqual(['ABORT@4', 'FLOOR@8', 'FLOOR@12']);
    expect(result.control!.report().drops.map(({ kind, effectiveStep }) => [kind, effectiveStep])).toEqual([
      ['scheduled', 5],
      ['obeyed', 17],
    ]);
    expect(result.lines.map(({ active }) => active).slice(15, 17)).toEqual([2, 1]);
  });

  test('a firing too late to have an effect is told as one', async () => {
    const options = { abort: 'paper-absolute', threshold: 0, patience: 10, steps: 12 };
    const { result, training } = await run('late', options);
    expect(result.lines[10].monitor?.event).toBe('ABORT');
    expect(result.control!.report()).toMatchObject({ drops: [], floorFirings: 0, lateFirings: 1 });
    const html = runReport('stages', stages.defaults, holder.device, training, result)!;
    expect(html).toContain('It fired once so near the end of the run that no step was left to train without the stage');
    expect(html).not.toMatch(/did not fire|No monitor fired/);
  });

  test('the monitor can end the run at the floor, and a run that it ended ends again when it is resumed', async () => {
    const options = { abort: 'paper-absolute', threshold: 0, patience: 3, stages: 2, onFloor: 'stop', steps: 64 };
    const { result } = await run('floor', options);
    // It fires at steps 4 and 8, which are seen when step 16 is made.
    expect(result).toMatchObject({ finished: true, steps: 16 });
    const left = leftBy('floor');
    expect(left.log.length).toBe(16);
    expect((await run('floor', options)).result).toMatchObject({ finished: true, steps: 16 });
    expect(leftBy('floor')).toEqual(left);
  });

  test('a mode that a run has no values for is refused', async () => {
    await expect(run('gain', { abort: 'robust', mode: 'marginalGain' })).rejects.toThrow(
      /^abort: mode marginalGain judges validation losses/,
    );
  });

  test('off: no stage leaves; the monitors that are not obeyed watch, and the report shows what they saw', async () => {
    const { training, result } = await run('off', { abort: 'off', steps: 64, window: 1 });
    const report = result.control!.report();
    expect(report.drops).toEqual([]);
    expect(result.lines.every(({ active }) => active === 3)).toBe(true);
    expect(report.firstFirings.map(({ name }) => name)).toEqual(['paper-relative', 'robust']);
    expect(report.deciles.map(({ percent }) => percent)).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90]);
    const low = report.deciles[0].observation!;
    expect(low).toBeGreaterThan(10); // eleven losses in a row that are not below the lowest decile
    const html = runReport('stages', stages.defaults, holder.device, training, result)!;
    const expected = ['Tiny stages.', 'paper-relative', 'first firing at step', 'Computed afterwards', 'id="timeline"'];
    expected.push(...report.deciles.map(({ threshold }) => threshold.toPrecision(4)));
    expect(expected.filter(text => !html.includes(text))).toEqual([]);
  });

  test('a broken loss moves no observation of the deciles', async () => {
    const options = { abort: 'off', steps: 40, window: 1 };
    const { result } = await run('shifted', { ...options, broken: '3' });
    const { deciles } = result.control!.report();
    const losses = result.lines.map(line => line.losses.stage3);
    const [{ threshold, observation }] = deciles;
    let count = 0;
    const firing = losses.findIndex(loss => {
      if (Number.isFinite(loss)) count = loss < threshold ? 0 : count + 1;
      return count > 10;
    });
    expect(observation).toBe(firing + 1);
  });
});

describe('the time of a step', () => {
  test('is that of its own ring, not of the one that is waited for meanwhile', async () => {
    const { device } = holder;
    const heavy = device.keep(full(device, [1024, 1024], 0));
    const onStep = (step: number) => {
      if (step <= 8 || step > 16) return;
      device.scope('much work', () => {
        for (let i = 0; i < 4; i++) ops.matmul(heavy, heavy);
      });
    };
    const { result } = await run('timed', { abort: 'off', stages: 1, steps: 40 }, { onStep });
    device.discard(heavy);
    const [, second, third, fourth, fifth] = [0, 8, 16, 24, 32].map(i => result.lines[i].msPerStep);
    // The second ring is the slow one, by so much that other work on the machine cannot hide it.
    for (const ms of [third, fourth, fifth]) expect(ms).toBeLessThan(second / 2);
    expect(result.lines.filter(line => 'waitedMs' in line)).toEqual([]);
  });

  test('says what of it was waited for data, where the training has any to wait for', async () => {
    const path = join(root, 'waited');
    let waitedMs = 0;
    const recipe: Recipe = {
      ...stages,
      async create(context) {
        const training = await stages.create(context);
        const prepare = training.prepare!.bind(training);
        const waiting = {
          async prepare(step: number) {
            waitedMs += step === 3 ? 50 : 0.25;
            await prepare(step);
          },
        };
        return Object.defineProperty(Object.assign(training, waiting), 'waitedMs', { get: () => waitedMs });
      },
    };
    await trainRecipe({ device: holder.device, recipe, options: { steps: 8 }, path });
    const log = readFileSync(join(path, 'log.jsonl'), 'utf8').trimEnd().split('\n');
    expect(log.map(line => JSON.parse(line).waitedMs)).toEqual([0.25, 0.25, 50, 0.25, 0.25, 0.25, 0.25, 0.25]);
  });
});

test('TensorBoard events hold the scalars of the log', async () => {
  const folder = join(root, 'scheduled', 'events');
  const [file, ...others] = readdirSync(folder);
  expect(others).toEqual([]);
  const events = decodeEvents(readFileSync(join(folder, file)));
  expect(events[0]).toMatchObject({ file_version: 'brain.Event:2' });
  const scalars = new Map<string, number>();
  for (const { step, summary } of events.slice(1)) {
    for (const { tag, simple_value } of (summary as { value: { tag: string; simple_value: number }[] }).value) {
      scalars.set(`${step} ${tag}`, simple_value);
    }
  }
  const log = logOf(join(root, 'scheduled'));
  expect(log.length).toBe(32);
  let expected = 0;
  for (const { step, losses, active } of log) {
    for (const [name, value] of Object.entries(losses)) expect(scalars.get(`${step} loss/${name}`)).toBe(value);
    expect(scalars.get(`${step} stages/active`)).toBe(active);
    expect(scalars.get(`${step} time/ms per step`)).toBeGreaterThan(0);
    expected += Object.keys(losses).length + 2;
  }
  expect(scalars.size).toBe(expected);
});
