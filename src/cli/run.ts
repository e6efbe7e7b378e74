import { join } from 'node:path';
import { UserError } from '../io/errors.ts';
import { openFolder } from '../io/files.ts';
import { Device } from '../runtime/device.ts';
import { latestStep } from '../train/checkpoint.ts';
import { planText, planTraining } from '../train/profile/plan.ts';
import { formatShare, Progress } from '../train/progress.ts';
import { createTraining, type RunOutcome, trainAndReport } from '../train/run.ts';
import { applyVariants, type RunConfig } from '../train/runConfig.ts';
import { waitedShare } from '../train/runLog.ts';
import type { Options, Recipe, Training } from '../train/training.ts';
import { refuseRun, type TakenFolder, takeFolder } from './runFolder.ts';
import { tuneFirst } from './tune.ts';

export interface TrainingRun {
  readonly recipe: Recipe;
  /** As the user gave it: a recipe's name or a file. */
  readonly name: string;
  readonly options: Options;
  /** The folder of a new run; by default one of its own under runs/. */
  readonly out?: string;
  /** The folder of the run that goes on, in place of `out`. */
  readonly resume?: string;
  readonly adapter?: string;
  /** config.json of the run that goes on. */
  readonly resumed?: RunConfig;
  /** Measure the kernels' variants before, where that has not been done on this adapter. */
  readonly tune?: boolean;
}

/** A run from its options to its report, on the terminal. SIGINT and SIGTERM save it and end it. */
export async function runTraining(run: TrainingRun): Promise<number> {
  const { recipe, options } = run;
  if (run.out !== undefined && run.resume === undefined) refuseRun(run.out);
  if (run.tune) await tuneFirst(run);
  const device = await Device.open({ adapter: run.adapter });
  try {
    const progress = new Progress(process.stdout);
    const message = (text: string) => progress.message(text);
    await applyVariants(configOf(run), device, message);
    for (const passed of device.adapter.passedOver) console.log(`passed over: ${passed}`);
    console.log(`${recipe.name} on ${device.adapter.name}`);
    const training = await createTraining(recipe, { device, options, resumed: await hasCheckpoint(run), message });
    const taken = await takeFolder(recipe.name, run);
    try {
      const outcome = await withSignals(stop => trainOnTerminal(run, device, training, taken, progress, stop));
      if (outcome.finished) summarize(taken.path, training, outcome);
      else console.log(`stopped at step ${outcome.steps}; go on with: wgrad train --resume ${taken.path}`);
      return 0;
    } finally {
      taken.release();
    }
  } finally {
    device.destroy();
  }
}

async function hasCheckpoint({ resume }: TrainingRun): Promise<boolean> {
  if (resume === undefined) return false;
  const folder = await openFolder(resume);
  return (await latestStep(await folder.folder('checkpoints'))) !== undefined;
}

/** Says what a run would take, and trains and writes nothing. */
export async function planRun(run: TrainingRun): Promise<number> {
  if (run.tune) throw new UserError('--dry-run runs nothing, so there is nothing for --tune to measure: leave one out');
  const { recipe, options } = run;
  const device = await Device.open({ adapter: run.adapter });
  try {
    await applyVariants(configOf(run), device);
    const message = (text: string) => console.error(text);
    const training = await createTraining(recipe, { device, options, resumed: await hasCheckpoint(run), message });
    const plan = await planTraining(device, training);
    console.log(`${recipe.name} on ${device.adapter.name}, a dry run\n\n${planText(plan, training.imagesPerStep)}`);
    await device.finish();
    return 0;
  } finally {
    device.destroy();
  }
}

function configOf({ name, options, resumed }: TrainingRun): RunConfig {
  return { ...resumed, recipe: name, options };
}

async function trainOnTerminal(
  run: TrainingRun,
  device: Device,
  training: Training,
  { folder }: TakenFolder,
  progress: Progress,
  stop: () => boolean,
): Promise<RunOutcome> {
  try {
    return await trainAndReport({
      config: configOf(run),
      device,
      training,
      folder,
      watcher: {
        message: text => progress.message(text),
        shouldStop: stop,
        progress: ({ line, steps, stages, imagesPerSecond, waited, secondsLeft }) => {
          const name = training.stages?.lossName(line.active) ?? training.mainLoss;
          const losses = { [name]: line.losses[name] };
          const { step, active: activeStages } = line;
          progress.update({ step, steps, losses, activeStages, stages, imagesPerSecond, waited, secondsLeft });
        },
      },
    });
  } finally {
    progress.end();
  }
}

/**
 * Runs with SIGINT and SIGTERM turned into a request to stop; a second signal ends the process as usual. Whoever closes
 * the output, as `| head` does, asks for the same.
 */
async function withSignals<T>(body: (stop: () => boolean) => Promise<T>): Promise<T> {
  let stopped = false;
  const request = () => {
    stopped = true;
    process.off('SIGINT', request);
    process.off('SIGTERM', request);
  };
  process.on('SIGINT', request);
  process.on('SIGTERM', request);
  process.stdout.on('error', request);
  try {
    return await body(() => stopped);
  } finally {
    process.off('SIGINT', request);
    process.off('SIGTERM', request);
    process.stdout.off('error', request);
  }
}

function summarize(path: string, { skippedImages }: Training, outcome: RunOutcome): void {
  const { evaluation, control, wallSeconds, weights, report, lines } = outcome;
  const waited = waitedShare(lines);
  for (const file of weights) console.log(`weights: ${join(path, file)}`);
  if (skippedImages) console.log(`damaged images that were skipped: ${skippedImages}`);
  const share = waited === undefined ? '' : `, ${formatShare(waited)} of it waiting for images`;
  console.log(`finished in ${Math.round(wallSeconds)} s${share}`);
  for (const { name, baseline, stages } of evaluation?.metrics ?? []) {
    const values = stages.map(({ mean }, i) => `stage ${i + 1} ${mean.toPrecision(4)}`).join(', ');
    console.log(`held-out ${name}: ${values}; mean latent ${baseline.mean.toPrecision(4)}`);
  }
  if (control) {
    const { preset, drops, floorFirings, lateFirings } = control.report();
    const obeyed = drops.filter(({ kind }) => kind === 'obeyed').length;
    const inVain =
      floorFirings + lateFirings > 0 ? 'the monitor fired where no stage could leave' : 'the monitor did not fire';
    console.log(`abortion (${preset}): ${obeyed === 0 ? inVain : `${obeyed} stage(s) dropped`}`);
  }
  console.log(report ? `report: ${join(path, report)}` : `run: ${path}`);
}
