/** Runs in temporary folders, and what they left, for the tests of the training loop. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { openFolder } from '../src/io/files.ts';
import { readSafetensors } from '../src/io/safetensors.ts';
import type { Device } from '../src/runtime/device.ts';
import { assignOptions } from '../src/train/options.ts';
import type { LogLine } from '../src/train/runLog.ts';
import { type RunResult, train, type Watcher } from '../src/train/trainer.ts';
import type { Options, Recipe, Training } from '../src/train/training.ts';

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'wgrad-test-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface TestRun {
  readonly device: Device;
  readonly recipe: Recipe;
  readonly options?: Options;
  readonly path: string;
  /** The first step at or behind which the run is asked to stop. */
  readonly stopAt?: number;
  readonly watcher?: Watcher;
  /** False leaves the metrics at the end out, which take longer than a few steps. Default true. */
  readonly evaluate?: boolean;
  /** True makes each step as it is written, without programs. */
  readonly eager?: boolean;
  /** Called with each step's context before the step is made. */
  readonly onStep?: (step: number, training: Training) => void;
}

/** Trains a recipe with some settings of its own from scratch or from the folder's newest checkpoint. */
export async function trainRecipe(run: TestRun): Promise<{ training: Training; result: RunResult }> {
  const { device, recipe, path, stopAt = Number.POSITIVE_INFINITY, onStep, watcher } = run;
  const given = Object.entries(run.options ?? {}).map(([key, value]) => ({ key, value, where: 'the test' }));
  const options = assignOptions(recipe.name, recipe, given);
  const training = await recipe.create({ device, options });
  if (run.evaluate === false) training.evaluate = undefined;
  let last = 0;
  const make = training.step.bind(training);
  training.step = context => {
    last = context.step;
    onStep?.(last, training);
    return make(run.eager ? { ...context, phase: (name, body) => device.scope(name, body) } : context);
  };
  const folder = await openFolder(path, { create: true });
  const shouldStop = () => last >= stopAt;
  const result = await train({ device, training, folder, options, watcher: { shouldStop, ...watcher } });
  return { training, result };
}

/** The lines of log.jsonl but for their times. */
export function logOf(path: string): Omit<LogLine, 'msPerStep' | 'waitedMs'>[] {
  const lines = readFileSync(join(path, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  return lines.map(line => {
    const { msPerStep, waitedMs, ...rest } = JSON.parse(line) as LogLine;
    if (!(msPerStep > 0)) throw new Error(`a step took ${msPerStep} ms`);
    if (waitedMs !== undefined && !(waitedMs >= 0)) throw new Error(`a step waited ${waitedMs} ms`);
    return rest;
  });
}

/** The newest checkpoint: its tensors' bytes by name, and its state but for times. */
export function checkpointOf(path: string): { tensors: Map<string, string>; state: Record<string, unknown> } {
  const folder = join(path, 'checkpoints');
  const newest = join(folder, readdirSync(folder).sort().at(-1)!);
  const tensors = new Map<string, string>();
  for (const file of ['model.safetensors', 'optimizer.safetensors']) {
    for (const [key, tensor] of readSafetensors(readFileSync(join(newest, file)), { name: file })) {
      const { buffer, byteOffset, byteLength } = tensor.data();
      tensors.set(`${file}/${key}`, Buffer.from(buffer, byteOffset, byteLength).toString('base64'));
    }
  }
  const { wallSeconds, ...state } = JSON.parse(readFileSync(join(newest, 'state.json'), 'utf8'));
  if (!(wallSeconds >= 0)) throw new Error(`the checkpoint was written after ${wallSeconds} s`);
  for (const step of state.unseen) {
    delete step.msPerStep;
    delete step.waitedMs;
  }
  return { tensors, state };
}
