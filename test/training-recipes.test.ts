/** The recipes of the package, at a few steps: resumed bit for bit, and E2Style's stages, each on its own. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import sharp from 'sharp';
import { describe, expect, test, vi } from 'vitest';
import { openFolder } from '../src/io/files.ts';
import { readStateDict } from '../src/models/module.ts';
import { Device } from '../src/runtime/device.ts';
import { philox4x32 } from '../src/runtime/philox.ts';
import { Programs } from '../src/runtime/program.ts';
import { commonDefaults } from '../src/train/options.ts';
import { recipes } from '../src/train/recipes/index.ts';
import { StepWords } from '../src/train/ring.ts';
import { train } from '../src/train/trainer.ts';
import type { Compute, Options, Training } from '../src/train/training.ts';
import { useDevice } from './device.ts';
import { checkpointOf, logOf, temporaryFolder, trainRecipe } from './runs.ts';

// Some seconds each, minutes where the cores are busy with other work.
vi.setConfig({ testTimeout: 600_000 });

const holder = useDevice();
const root = temporaryFolder();

const run = (name: string, recipe: string, options: Options, more: object = {}) =>
  trainRecipe({ device: holder.device, recipe: recipes[recipe], options, path: join(root, name), ...more });

async function resumedEqualsWhole(recipe: string, options: Options, stops: readonly number[]): Promise<void> {
  const whole = await run(`${recipe}-whole`, recipe, options, { evaluate: false });
  for (const stopAt of stops) await run(`${recipe}-pieces`, recipe, options, { stopAt, evaluate: false });
  const resumed = await run(`${recipe}-pieces`, recipe, options, { evaluate: false });
  expect(resumed.result.finished && whole.result.finished).toBe(true);
  const [one, other] = ['whole', 'pieces'].map(name => join(root, `${recipe}-${name}`));
  expect(logOf(one).length).toBe(options.steps);
  expect(logOf(other)).toEqual(logOf(one));
  expect(checkpointOf(other)).toEqual(checkpointOf(one));
}

/** 24 photographs of noise, of several sizes. */
async function photographs(): Promise<string> {
  const folder = join(root, 'photographs');
  if (existsSync(folder)) return folder;
  mkdirSync(folder);
  for (let i = 0; i < 24; i++) {
    const [width, height] = [34 + i, 50 - i];
    const data = Uint8Array.from({ length: width * height * 3 }, (_, k) => philox4x32([k, i, 0, 0], [1, 2])[0] & 255);
    await sharp(data, { raw: { width, height, channels: 3 } }).toFile(join(folder, `${i + 10}.png`));
  }
  return folder;
}

/** Augmentation whose probability rises fast, whatever the logits are. */
const augmented = { augment: 'ada', augmentTarget: -2, augmentKimg: 0.04 };

test.each([
  ['stylegan2', { model: 'micro16', steps: 6, batch: 4 }],
  ['stylegan2', { model: 'micro16', steps: 6, batch: 8, microBatch: 4, ...augmented }],
  ['recognition', { steps: 4, batch: 8, identities: 10 }],
  ['recognition', { steps: 4, batch: 8, identities: 10, head: 'curricular' }],
  ['parsing', { steps: 4, batch: 4, featureScale: 16 }],
  ['perceptual', { steps: 4, batch: 4, width: 4 }],
  ['e2style', { steps: 3, batch: 2, abort: 'off', abortAt: '3' }],
  ['e2style', { size: 64, steps: 2, batch: 4, stages: 2, abort: 'off' }],
] as const)('%s %o: recorded steps equal those made as they are written, bit for bit', async (recipe, options) => {
  const settings = { ...options, sampleEvery: 0 };
  const names = ['recorded', 'eager'].map(
    name => `${recipe}-${options.batch}-${'head' in options ? 'head-' : ''}${name}`,
  );
  for (const [i, name] of names.entries()) await run(name, recipe, settings, { evaluate: false, eager: i === 1 });
  const [recorded, eager] = names.map(name => join(root, name));
  expect(logOf(recorded).length).toBe(options.steps);
  expect(logOf(recorded)).toEqual(logOf(eager));
  expect(checkpointOf(recorded)).toEqual(checkpointOf(eager));
});

test.each([
  ...Object.keys(recipes).map(recipe => [recipe, {}] as const),
  ['stylegan2', { checkpointing: true }],
  ['stylegan2', { model: 'f256', batch: 4 }],
  ['stylegan2', { model: 'f256', batch: 4, checkpointing: true }],
  ['e2style', { checkpointing: true }],
] as const)(
  '%s %o: its programs together take at most 1.2 times the memory that the largest needs',
  async (recipe, given) => {
    // A device of its own: only the programs' memory is planned, but that of the weights is taken.
    const device = await Device.open();
    const options = { ...commonDefaults, ...recipes[recipe].defaults, ...given };
    const training = await recipes[recipe].create({ device, options });
    const [words, programs] = [new StepWords(device), new Programs(device)];
    const phase = <T>(name: string, body: () => T): T => programs.record(name, body).result;
    training.step({ step: 1, stepNumber: words.stepNumber, gate: words.gate, phase });
    const needed = Math.max(...[...programs.values()].map(([, { plan }]) => plan.needed));
    expect(device.arena.planned.reduce((sum, bytes) => sum + bytes)).toBeLessThanOrEqual(1.2 * needed);
    await device.finish();
    device.destroy();
  },
);

test('a run gives back the memory of its programs', async () => {
  const { device } = holder;
  const options = { ...commonDefaults, ...recipes.perceptual.defaults, batch: 4, width: 4, sampleEvery: 0 };
  const training = await recipes.perceptual.create({ device, options });
  const lent: number[] = [];
  for (const steps of [8, 16, 24]) {
    const folder = await openFolder(join(root, 'again'), { create: true });
    await train({ device, training, folder, options: { ...options, steps } });
    lent.push(device.memory.lentBytes);
  }
  // The first run makes what all later ones share, as tables of the resampling kernels.
  expect(lent[2]).toBe(lent[1]);
});

test('perceptual, resumed', async () => {
  await resumedEqualsWhole('perceptual', { steps: 24, batch: 4, width: 4, sampleEvery: 0 }, [8, 16]);
});

test('stylegan2 on a folder of photographs, resumed in the middle of an epoch', async () => {
  const data = await photographs();
  await resumedEqualsWhole('stylegan2', { data, steps: 13, batch: 4, sampleEvery: 0, ...augmented }, [8]);
  const lines = readFileSync(join(root, 'stylegan2-whole', 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n');
  // Every fourth step p rises by its images.
  const chances = lines.map(line => JSON.parse(line).losses.augmentation as number);
  expect(chances.map(p => Math.round(10 * p))).toEqual([0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12]);
  const waited = lines.map(line => JSON.parse(line).waitedMs as number);
  expect(waited.every(ms => ms >= 0) && waited[0] > 0).toBe(true);
});

test('stylegan2 without its regularisers trains with plain Adam', async () => {
  const { result } = await run('plain', 'stylegan2', { r1Every: 0, pathLengthEvery: 0, steps: 3, batch: 4 });
  expect(result.lines.map(({ finite }) => finite)).toEqual([true, true, true]);
  const [first, , third] = result.lines.map(({ losses }) => losses);
  for (const name of ['discriminator', 'generator']) expect(third[name]).not.toBe(first[name]);
  expect([first.r1, first.pathLength]).toEqual([Number.NaN, Number.NaN]);
  // Nor does it augment, unless told to.
  expect(third.augmentation).toBe(0);
  // The procedural faces are made on the device: there is nothing to wait for.
  expect(result.lines.filter(line => 'waitedMs' in line)).toEqual([]);
});

test('stylegan2: where a penalty is not finite, what was updated before it stays, and nothing behind it moves', async () => {
  const statesOf = ({ modules }: Training) =>
    Promise.all(Object.entries(modules).map(async ([name, module]) => [name, await readStateDict(module)] as const));
  let before: ReturnType<typeof statesOf> | undefined;
  // The factor of R1's penalty is infinite in f32.
  const options = { model: 'micro16', steps: 1, batch: 4, gamma: 1e38, sampleEvery: 0 };
  const { result, training } = await run('unbounded', 'stylegan2', options, {
    onStep: (_: number, training: Training) => {
      before = statesOf(training);
    },
  });
  expect(result.lines).toMatchObject([{ finite: false }]);
  const [old, now] = [new Map(await before), await statesOf(training)];
  const moved = now.filter(([name, state]) => !isDeepStrictEqual(state, old.get(name)));
  expect(moved.map(([name]) => name)).toEqual(['discriminator', 'latentAverage', 'ada']);
});

test('stylegan2: a model that is not there, whatever its name', async () => {
  for (const model of ['huge', 'constructor']) {
    const options = { ...recipes.stylegan2.defaults, seed: 1, model };
    const creating = recipes.stylegan2.create({ device: holder.device, options });
    await expect(creating as Promise<Training>).rejects.toThrow(`model: there is no '${model}'; there are `);
  }
});

describe('e2style, which needs the networks of weights/', () => {
  const small = { stages: 3, batch: 2, sampleEvery: 0, window: 1 };

  /** Runs `steps` steps and tells what each of them cost and which of its tensors moved. */
  async function measured(name: string, options: Options) {
    const { device } = holder;
    const dispatches: number[] = [];
    const lent: number[] = [];
    let last = 0;
    const onStep = () => {
      dispatches.push(device.dispatches - last);
      last = device.dispatches;
      lent.push(device.memory.lentBytes);
    };
    const { result } = await run(name, 'e2style', { ...small, ...options }, { onStep });
    return { dispatches, lent, result };
  }

  test('resumed, on a folder of photographs, with a scheduled drop behind the stop', async () => {
    const data = await photographs();
    await resumedEqualsWhole('e2style', { ...small, data, steps: 16, abort: 'off', abortAt: '12' }, [8]);
  });

  test('each stage trains on its own loss alone: without stage 3 the others train as with it, bit for bit', async () => {
    // Any gradient that reached a stage from one behind it would show.
    const options = { steps: 4, abort: 'off' };
    await run('three', 'e2style', { ...small, ...options }, { evaluate: false });
    await run('two', 'e2style', { ...small, ...options, abortAt: '2' }, { evaluate: false });
    const [three, two] = ['three', 'two'].map(name => checkpointOf(join(root, name)));
    let compared = 0;
    for (const [key, bytes] of three.tensors) {
      if (!/\/stage[12]\//.test(key)) continue;
      expect(two.tensors.get(key) === bytes, key).toBe(true);
      compared++;
    }
    expect(compared).toBeGreaterThan(100);
    const [a, b] = ['three', 'two'].map(name => logOf(join(root, name)).map(({ losses }) => losses.stage2));
    expect(b).toEqual(a);
    expect(new Set(a).size).toBe(4);
    // L2 + 0.8 LPIPS + 0.5 ID + parsing: the weights of E2Style's README.
    for (const { losses } of logOf(join(root, 'three'))) {
      for (const stage of ['stage1', 'stage2', 'stage3']) {
        const [l2, lpips, id, parsing] = ['l2', 'lpips', 'id', 'parsing'].map(term => losses[`${stage}/${term}`]);
        expect(losses[stage]).toBeCloseTo(l2 + 0.8 * lpips + 0.5 * id + parsing, 4);
        for (const term of [l2, lpips, id, parsing]) expect(term).toBeGreaterThan(0);
      }
    }
  });

  test('after a drop a step costs less, by the stage that left', async () => {
    const { dispatches, lent, result } = await measured('dropped', { steps: 12, abort: 'off', abortAt: '5,9' });
    expect(result.lines.map(({ active }) => active)).toEqual([3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1]);
    const [three, two, one] = [dispatches[3], dispatches[6], dispatches[10]];
    expect(two).toBeLessThan(three * 0.85);
    expect(one).toBeLessThan(two * 0.75);
    expect(lent[4]).toBeLessThan(lent[3]);
    expect(lent[8]).toBeLessThan(lent[7]);
    // The metrics are those of every stage, also of the dropped ones.
    const { metrics, reconstructions } = result.evaluation!;
    expect(metrics.map(({ name }) => name)).toEqual(['L2', 'LPIPS-like(self)', 'MS-SSIM', 'ID(self)']);
    for (const { baseline, stages } of metrics) {
      expect([baseline, ...stages].map(({ mean }) => Number.isFinite(mean))).toEqual([true, true, true, true]);
    }
    expect(reconstructions.map(({ label, images }) => [label, images.length])).toEqual(
      ['input', 'stage 1', 'stage 2', 'stage 3'].map(label => [label, 8]),
    );
    expect(Object.keys(logOf(join(root, 'dropped'))[11].losses).every(name => name.startsWith('stage1'))).toBe(true);
  });

  test('evaluated on each held-out image once, without memory that stays', async () => {
    const { device } = holder;
    const data = await photographs();
    const options = { ...recipes.e2style.defaults, ...small, seed: 1, stages: 1, data };
    const training = await (recipes.e2style.create({ device, options }) as Promise<Training>);
    const programs = new Programs(device);
    const compute: Compute = (name, body) => programs.compute(name, body);
    // The first time makes what all later ones share, as constants and tables.
    await training.samples!(compute);
    await training.evaluate!(compute);
    programs.release();
    const lent = device.memory.lentBytes;
    const grid = await training.samples!(compute);
    // Every twentieth of the 24 is held out: two columns, the inputs above their reconstructions.
    expect([grid.width, grid.height]).toEqual([64, 64]);
    const evaluation = await training.evaluate!(compute);
    programs.release();
    expect(device.memory.lentBytes).toBe(lent);
    expect(evaluation.description).toBe('2 images that the training never sees.');
    expect(evaluation.reconstructions.map(({ images }) => images.length)).toEqual([2, 2]);
    expect(new Set(evaluation.reconstructions[0].images).size).toBe(2);
  });

  test('--abort-at that is out of order, out of the run, or more than there are stages to drop', async () => {
    for (const abortAt of ['5,4', '1', '13', '3,5,7', 'soon', '3,,5']) {
      const create = recipes.e2style.create({
        device: holder.device,
        options: { ...recipes.e2style.defaults, ...small, steps: 12, seed: 1, abortAt },
      });
      await expect(create as Promise<Training>).rejects.toThrow(
        /^--abort-at .*: give at most 2 ascending steps from 2 to 12/,
      );
    }
  });
});
