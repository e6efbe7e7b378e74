/** wgrad train … --dry-run: what it says of a training beside what a real one does. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { discardEffects } from '../src/autograd/effects.ts';
import { Device } from '../src/runtime/device.ts';
import { createTimer } from '../src/runtime/profiler.ts';
import { Programs } from '../src/runtime/program.ts';
import { assignOptions } from '../src/train/options.ts';
import { planTraining, type TrainingPlan } from '../src/train/profile/plan.ts';
import { recipes } from '../src/train/recipes/index.ts';
import { StepWords } from '../src/train/ring.ts';
import type { Options, Recipe } from '../src/train/training.ts';
import { wgrad } from './command.ts';
import stages from './fixtures/stages.ts';
import { temporaryFolder } from './runs.ts';

vi.setConfig({ testTimeout: 600_000 });

interface Real {
  readonly dispatches: number;
  readonly flop: number;
  readonly bytes: number;
  readonly pipelines: number;
  readonly parameters: Record<string, number>;
}

async function onDevice<T>(body: (device: Device) => Promise<T>): Promise<T> {
  const device = await Device.open();
  try {
    const result = await body(device);
    await device.finish();
    return result;
  } finally {
    device.destroy();
  }
}

const create = (recipe: Recipe, device: Device, given: Options) => {
  const assignments = Object.entries(given).map(([key, value]) => ({ key, value, where: 'the test' }));
  return recipe.create({ device, options: assignOptions(recipe.name, recipe, assignments) });
};

const plan = (recipe: Recipe, given: Options) =>
  onDevice(async device => planTraining(device, await create(recipe, device, given)));

/** What so many steps, as the trainer makes them, and a grid of samples really do. */
const run = (recipe: Recipe, given: Options, steps: number) =>
  onDevice(async (device): Promise<Real> => {
    const training = await create(recipe, device, given);
    const [words, programs, timer] = [new StepWords(device), new Programs(device), createTimer(device)];
    const phase = <T>(name: string, body: () => T): T => programs.run(name, body);
    await device.finish();
    const counted: { flop: number }[] = [];
    const pass = timer.pass.bind(timer);
    timer.pass = dispatch => {
      counted.push({ flop: dispatch.work?.flop ?? 0 });
      return pass(dispatch);
    };
    // Once round before: a first step prepares what others find.
    for (let step = 1; step <= 2 * steps; step++) {
      if (step === steps + 1) device.stream.time(timer);
      await training.prepare?.(step);
      device.scope('step', () => {
        words.begin(step);
        training.step({ step, stepNumber: words.stepNumber, gate: words.gate, phase });
      });
      await programs.compiled();
      await device.stream.drain();
    }
    device.stream.time(undefined);
    await training.samples?.(async (name, body) => {
      const result = programs.run(name, body);
      await programs.compiled();
      return result;
    });
    discardEffects();
    return {
      dispatches: counted.length / steps,
      flop: counted.reduce((sum, { flop }) => sum + flop, 0) / steps,
      bytes: device.memory.reservedBytes,
      pipelines: [...device.kernels.all()].filter(({ isCompiled }) => isCompiled).length,
      parameters: Object.fromEntries(
        Object.entries(training.modules).map(([name, { parameterCount }]) => [name, parameterCount]),
      ),
    };
  });

describe('a plan says what a run does', () => {
  test.each([
    ['stylegan2', recipes.stylegan2, { model: 'micro16', size: 16, batch: 4, r1Every: 4, pathLengthEvery: 2 }, 4],
    [
      'stylegan2 in two parts',
      recipes.stylegan2,
      { model: 'micro16', size: 16, batch: 8, microBatch: 4, r1Every: 0, pathLengthEvery: 0 },
      2,
    ],
    ['a recipe whose step is no phase', stages, { stages: 2 }, 2],
  ] as const)('%s', async (_, recipe, given, steps) => {
    const [planned, real] = [await plan(recipe, given), await run(recipe, given, steps)];
    expect(planned.parameters).toEqual(real.parameters);
    expect(planned.dispatches).toBeCloseTo(real.dispatches, 6);
    expect(planned.flop / real.flop).toBeCloseTo(1, 9);
    expect(planned.pipelines).toBe(real.pipelines);
    // Blocks that the pool lends between the steps are of a few sizes.
    expect(planned.peak / real.bytes).toBeGreaterThan(0.98);
    expect(planned.peak / real.bytes).toBeLessThan(1.02);
  });
});

test.each(Object.values(recipes))('$name can be planned', async recipe => {
  const small: Options = { ...('model' in recipe.defaults ? { model: 'tiny32' } : {}), batch: 4 };
  const { phases, peak, kept, temporaries, flop, dispatches, pipelines }: TrainingPlan = await plan(recipe, small);
  expect(peak).toBe(kept + temporaries);
  expect(Math.min(kept, temporaries, flop, dispatches, pipelines)).toBeGreaterThan(0);
  const largest = Math.max(...phases.map(({ needed = 0 }) => needed));
  expect(temporaries).toBeGreaterThanOrEqual(largest);
});

test('wgrad train --dry-run says it, and leaves nothing', async () => {
  const cwd = temporaryFolder();
  const settings = ['--set', 'model=micro16', '--size', '16', '--batch', '4'];
  const { code, stdout, stderr } = await wgrad(['train', 'stylegan2', ...settings, '--dry-run'], { cwd });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(
    /^stylegan2 on .*, a dry run\n\nparameters +generator 14,902, average 14,902, discriminator 13,401\n/,
  );
  expect(stdout).toMatch(/\na step +4 images, [\d.]+ GFLOP, [\d,.]+ dispatches, on average\n/);
  expect(stdout).toMatch(
    /\nmemory +[\d.]+ MiB at its peak: [\d.]+ KiB of parameters, optimiser state and data, [\d.]+ KiB of temp/,
  );
  expect(stdout).toMatch(/\npipelines +\d+, /);
  expect(stdout).toMatch(/\nR1 +0\.0625 +[\d.]+ GFLOP +\d+ +[\d.]+ (KiB|MiB)\n/);
  expect(readdirSync(cwd)).toEqual([]);
  const refused = await wgrad(['train', 'stylegan2', '--dry-run', '--tune'], { cwd });
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(/^wgrad: --dry-run runs nothing.*\n$/) });
});

test('a wrong setting is refused as in a run', async () => {
  const { code, stderr } = await wgrad(['train', 'stylegan2', '--size', '48', '--dry-run'], {
    cwd: join(temporaryFolder()),
  });
  expect(code).toBe(2);
  expect(stderr).toMatch(/^wgrad: .*48.*\n$/);
});
