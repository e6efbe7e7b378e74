/** A run from its settings to its report: what the command and the page do alike. */
import type { Folder } from '../io/files.ts';
import type { Device } from '../runtime/device.ts';
import { abortionWarning } from './abortionPresets.ts';
import { exportWeights } from './exportWeights.ts';
import { type RunConfig, writeConfig } from './runConfig.ts';
import { runReport } from './runReport.ts';
import { type RunResult, train, type Watcher } from './trainer.ts';
import type { Recipe, RecipeContext, Training } from './training.ts';

/**
 * Builds a recipe's networks. Everything that can be wrong with the settings shows here, before anything is written.
 */
export async function createTraining(recipe: Recipe, context: RecipeContext): Promise<Training> {
  const training = await recipe.create(context);
  const warning = training.stages && abortionWarning(training.stages.abortion.options);
  if (warning) context.message?.(warning);
  return training;
}

export interface Run {
  readonly config: RunConfig;
  readonly device: Device;
  readonly training: Training;
  readonly folder: Folder;
  readonly watcher?: Watcher;
}

export interface RunOutcome extends RunResult {
  /** What a finished run left beside its log and checkpoints: names in its folder. */
  readonly weights: readonly string[];
  readonly report: string | undefined;
}

/**
 * Trains in a folder, from its newest checkpoint if there is one: config.json first; at the end, weights/ and
 * report.html.
 */
export async function trainAndReport({ config, device, training, folder, watcher }: Run): Promise<RunOutcome> {
  const begins = async () => {
    await writeConfig(folder, config, device);
    await watcher?.begins?.();
  };
  let used = 0;
  const saves = async () => {
    const { size } = device.choices.met;
    if (size > used) await writeConfig(folder, config, device);
    used = size;
  };
  const { recipe, options } = config;
  const result = await train({ device, training, folder, options, watcher: { ...watcher, begins, saves } });
  if (!result.finished) return { ...result, weights: [], report: undefined };
  const weights = await exportWeights(folder, training);
  const html = runReport(recipe, options, device, training, result);
  await folder.write('report.html', html);
  return { ...result, weights, report: 'report.html' };
}
