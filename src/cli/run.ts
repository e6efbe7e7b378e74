import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../io/errors.ts';
import { type Folder, openFolder } from '../io/files.ts';
import { Device } from '../runtime/device.ts';
import { abortionWarning } from '../train/abortionPresets.ts';
import { exportWeights } from '../train/exportWeights.ts';
import { Progress } from '../train/progress.ts';
import { writeConfig } from '../train/runConfig.ts';
import { runReport } from '../train/runReport.ts';
import { type RunResult, train } from '../train/trainer.ts';
import type { Options, Recipe, Training } from '../train/training.ts';

export interface TrainingRun {
  readonly recipe: Recipe;
  /** As the user gave it: a recipe's name or a file. */
  readonly name: string;
  readonly options: Options;
  /** The run's folder; by default one of its own under runs/. */
  readonly out?: string;
  readonly adapter?: string;
}

/** A run from its options to its report, on the terminal. SIGINT and SIGTERM save it and end it. */
export async function runTraining(run: TrainingRun): Promise<number> {
  const { recipe, name, options } = run;
  const out = run.out ?? freeName(recipe.name);
  const device = await Device.open({ adapter: run.adapter });
  try {
    for (const passed of device.adapter.passedOver) console.log(`passed over: ${passed}`);
    console.log(`${recipe.name} on ${device.adapter.name}`);
    // Everything that can be wrong with the input shows here, before anything is written.
    const progress = new Progress(process.stdout);
    const training = await recipe.create({ device, options, message: text => progress.message(text) });
    const warning = training.stages && abortionWarning(training.stages.abortion.options);
    if (warning) progress.message(warning);
    const folder = await openFolder(out, { create: true });
    const result = await withSignals(stop => trainOnTerminal(run, device, training, folder, progress, stop));
    if (!result.finished) {
      console.log(`stopped at step ${result.steps}; go on with: wgrad train --resume ${out}`);
      return 0;
    }
    for (const file of await exportWeights(folder, training)) console.log(`weights: ${join(out, file)}`);
    const report = runReport(name, options, device, training, result);
    if (report) await folder.write('report.html', report);
    if (training.skippedImages) console.log(`damaged images that were skipped: ${training.skippedImages}`);
    summarize(out, result, report !== undefined);
    return 0;
  } finally {
    device.destroy();
  }
}

async function trainOnTerminal(
  { name, options }: TrainingRun,
  device: Device,
  training: Training,
  folder: Folder,
  progress: Progress,
  stop: () => boolean,
): Promise<RunResult> {
  try {
    return await train({
      device,
      training,
      folder,
      options,
      watcher: {
        begins: () => writeConfig(folder, { recipe: name, options }, device),
        message: text => progress.message(text),
        shouldStop: stop,
        progress: ({ line, steps, stages, imagesPerSecond, secondsLeft }) => {
          const name = training.stages?.lossName(line.active) ?? training.mainLoss;
          const losses = { [name]: line.losses[name] };
          const { step, active: activeStages } = line;
          progress.update({ step, steps, losses, activeStages, stages, imagesPerSecond, secondsLeft });
        },
      },
    });
  } finally {
    progress.end();
  }
}

/** Runs with SIGINT and SIGTERM turned into a request to stop; a second signal ends the process as usual. */
async function withSignals<T>(body: (stop: () => boolean) => Promise<T>): Promise<T> {
  let stopped = false;
  const request = () => {
    stopped = true;
    process.off('SIGINT', request);
    process.off('SIGTERM', request);
  };
  process.on('SIGINT', request);
  process.on('SIGTERM', request);
  try {
    return await body(() => stopped);
  } finally {
    process.off('SIGINT', request);
    process.off('SIGTERM', request);
  }
}

function summarize(out: string, { evaluation, control, wallSeconds }: RunResult, hasReport: boolean): void {
  console.log(`finished in ${Math.round(wallSeconds)} s`);
  for (const { name, baseline, stages } of evaluation?.metrics ?? []) {
    const values = stages.map(({ mean }, i) => `stage ${i + 1} ${mean.toPrecision(4)}`).join(', ');
    console.log(`held-out ${name}: ${values}; mean latent ${baseline.mean.toPrecision(4)}`);
  }
  if (control) {
    const { preset, drops } = control.report();
    const obeyed = drops.filter(({ kind }) => kind === 'obeyed').length;
    console.log(`abortion (${preset}): ${obeyed === 0 ? 'the monitor did not fire' : `${obeyed} stage(s) dropped`}`);
  }
  console.log(hasReport ? `report: ${join(out, 'report.html')}` : `run: ${out}`);
}

/** runs/RECIPE, or the first of runs/RECIPE-2, -3, … that is not there. */
function freeName(recipe: string): string {
  for (let i = 1; ; i++) {
    const path = join('runs', i === 1 ? recipe : `${recipe}-${i}`);
    if (!existsSync(path)) return path;
  }
}

/** Refuses a folder that holds a run already, unless that run is to go on. */
export function checkOut(out: string | undefined): void {
  if (out !== undefined && existsSync(join(out, 'config.json'))) {
    throw new UserError(
      `--out ${out}: there is a run already; go on with it by --resume ${out}, or give another folder`,
    );
  }
}
