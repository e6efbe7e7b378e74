import { UserError } from '../io/errors.ts';
import type { Folder } from '../io/files.ts';
import type { Rgb8 } from '../io/images.ts';
import { discardEffects } from '../models/effects.ts';
import type { Device } from '../runtime/device.ts';
import type { Observation } from './abortion.ts';
import { AbortionControl } from './abortionControl.ts';
import { type Checkpoint, latestCheckpoint, saveCheckpoint } from './checkpoint.ts';
import { LossRing, RING, type StepLosses, StepWords } from './ring.ts';
import { type LogLine, RunLog } from './runLog.ts';
import type { Evaluation, Options, Training } from './training.ts';

/** Steps in a row that may be not finite before the run stops. */
const MAX_BROKEN_STEPS = 16;

/** What the trainer tells whoever watches: the terminal or the page. */
export interface Watcher {
  /** Once, before the first step: the checkpoint, if there is one, fits, and from here on the run's folder is written. */
  begins?(): Promise<void>;
  /** After each ring of steps. */
  progress?(status: RunStatus): void;
  message?(text: string): void;
  /** A grid of samples, as it is written to the run's folder. */
  samples?(step: number, grid: Rgb8): void;
  /** True when the run should save and end, unfinished: a signal, a button. */
  shouldStop?(): boolean;
}

export interface RunStatus {
  /** The newest line of the log, and all that came with it. */
  readonly line: LogLine;
  readonly lines: readonly LogLine[];
  readonly steps: number;
  readonly stages: number;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
}

export interface RunOptions {
  readonly device: Device;
  readonly training: Training;
  /** The run's folder: log.jsonl, events/, samples/ and checkpoints/ are written there. */
  readonly folder: Folder;
  readonly options: Readonly<Options>;
  readonly watcher?: Watcher;
}

/** How a run ended. */
export interface RunResult {
  readonly steps: number;
  /** False where the watcher stopped it before its steps were made or its time was over. */
  readonly finished: boolean;
  readonly wallSeconds: number;
  readonly lines: readonly LogLine[];
  readonly control: AbortionControl | undefined;
  readonly evaluation: Evaluation | undefined;
}

/** The steps of a ring whose losses are on their way to the host. */
interface Pending {
  readonly losses: Promise<StepLosses[]>;
  readonly active: readonly number[];
  readonly msPerStep: number;
}

/**
 * Trains until `options.steps`, or for `options.minutes`, from the newest checkpoint of the folder if there is one.
 *
 * Losses are read a ring of steps at a time. When one ring is full, the one before is waited for, logged, and replayed in order
 * through the abortion monitor; what the monitor decides takes effect at once. So at every moment the number of active stages depends on
 * the step number alone, and a run that was killed and resumed equals one that was not.
 */
export async function train(run: RunOptions): Promise<RunResult> {
  const { device, training, folder, options } = run;
  const steps = Number(options.steps);
  const checkpoints = await folder.folder('checkpoints');
  const found = await latestCheckpoint(checkpoints);
  const state = found?.state as RunState | undefined;
  // A checkpoint that does not fit shows here, before anything is written.
  if (found && state) restoreTraining(training, found, state);
  const control = training.stages && new AbortionControl(training.stages, state?.control);
  await run.watcher?.begins?.();
  const log = await RunLog.open(folder, state?.logged ?? 0);
  if (found) run.watcher?.message?.(`resumed from ${found.path}`);
  const began = performance.now();
  const wallSeconds = () => (state?.wallSeconds ?? 0) + (performance.now() - began) / 1000;
  const end = options.minutes === null ? Number.POSITIVE_INFINITY : began + Number(options.minutes) * 60_000;
  const loop = new Loop(run, checkpoints, log, control, state, end);

  let step = state?.step ?? 0;
  const isOver = () => step >= steps || performance.now() > end;
  try {
    while (!isOver() && !run.watcher?.shouldStop?.()) {
      const last = Math.min(step + RING - (step % RING), steps);
      while (step < last) await loop.step(++step);
      await loop.turn(step, wallSeconds());
      const every = Number(options.saveEvery);
      if (every > 0 && Math.floor(step / every) > Math.floor((step - RING) / every))
        await loop.aside(() => loop.save(step, wallSeconds()));
      const sampleEvery = Number(options.sampleEvery);
      if (sampleEvery > 0 && step < steps && Math.floor(step / sampleEvery) > Math.floor((step - RING) / sampleEvery)) {
        await loop.aside(() => loop.sample(step));
      }
    }
    const finished = isOver();
    // Saved with its last ring unseen, as at any other step: a finished run can go on with more steps.
    await loop.save(step, wallSeconds());
    if (finished) {
      await loop.drain(step, wallSeconds());
      await loop.sample(step);
    }
    const evaluation = finished ? await training.evaluate?.() : undefined;
    await device.finish();
    await log.flush();
    return { steps: step, finished, wallSeconds: wallSeconds(), lines: log.lines, control, evaluation };
  } finally {
    discardEffects();
    await log.flush();
  }
}

/** state.json of a checkpoint. */
interface RunState {
  readonly step: number;
  /** The last step in log.jsonl; the later ones are in `pending`. */
  readonly logged: number;
  readonly wallSeconds: number;
  readonly activeStages: number | undefined;
  readonly control: unknown;
  readonly pending: { losses: SavedLosses[]; active: number[]; msPerStep: number } | undefined;
  readonly training: unknown;
  readonly [key: string]: unknown;
}

/** StepLosses with texts for what JSON cannot say. */
type SavedLosses = Omit<StepLosses, 'losses'> & { losses: Record<string, number | string> };

function restoreTraining(training: Training, checkpoint: Checkpoint, state: RunState): void {
  const { stages } = training;
  while (stages && stages.active > (state.activeStages ?? 1)) stages.dropLast();
  checkpoint.restore(training);
  training.restore?.(state.training);
}

class Loop {
  private readonly ring: LossRing;
  private readonly words: StepWords;
  private active: number[] = [];
  private pending: Pending | undefined;
  private ringStarted = performance.now();
  private broken = 0;
  private images: number;

  constructor(
    private readonly run: RunOptions,
    private readonly checkpoints: Folder,
    private readonly log: RunLog,
    private readonly control: AbortionControl | undefined,
    state: RunState | undefined,
    /** When the run's time is over, by performance.now(). */
    private readonly end: number,
  ) {
    const { device, training } = run;
    this.ring = new LossRing(device, training.lossNames);
    this.words = new StepWords(device);
    this.pending = state?.pending && restorePending(state.pending);
    this.images = log.lines[log.lines.length - 1]?.images ?? 0;
  }

  /** Makes one step: everything is queued, nothing is waited for. */
  async step(step: number): Promise<void> {
    const { device, training } = this.run;
    if (this.control?.isScheduled(step)) this.drop('scheduled', step, step);
    await training.prepare?.(step);
    const { words, ring } = this;
    device.scope(`training step ${step}`, () => {
      words.begin(step);
      const losses = training.step({ step, stepNumber: words.stepNumber, gate: words.gate });
      ring.push(step, losses, words.gate);
    });
    this.active.push(training.stages?.active ?? 0);
  }

  /** A ring is full: starts reading it, and deals with the one before. */
  async turn(step: number, wallSeconds: number): Promise<void> {
    const count = this.ring.count;
    if (count === 0) return;
    const losses = this.ring.read();
    losses.catch(() => {}); // awaited below, or in the next turn
    const previous = this.pending;
    const lines = previous ? await this.replay(previous, step + 1) : [];
    const now = performance.now();
    this.pending = { losses, active: this.active, msPerStep: (now - this.ringStarted) / count };
    this.ringStarted = now;
    this.active = [];
    this.tell(lines, step, wallSeconds);
  }

  /** Deals with the last ring, at the end of the run. */
  async drain(step: number, wallSeconds: number): Promise<void> {
    if (!this.pending) return;
    const lines = await this.replay(this.pending, Number.POSITIVE_INFINITY);
    this.pending = undefined;
    this.tell(lines, step, wallSeconds);
  }

  /** Logs the steps of a ring and lets the monitor see them; what it decides takes effect at `nextStep`. */
  private async replay({ losses, active, msPerStep }: Pending, nextStep: number): Promise<LogLine[]> {
    const { training } = this.run;
    const lines: LogLine[] = [];
    for (const [i, entry] of (await losses).entries()) {
      this.images += training.imagesPerStep;
      const common = { ...entry, active: active[i], msPerStep: round(msPerStep), images: this.images };
      this.broken = entry.finite ? 0 : this.broken + 1;
      const observation = this.observe(entry, active[i]);
      lines.push(observation ? { ...common, monitor: brief(observation) } : common);
      if (observation?.event?.kind === 'ABORT' && nextStep !== Number.POSITIVE_INFINITY) {
        this.drop('obeyed', entry.step, nextStep);
      }
    }
    this.log.add(lines);
    if (this.broken >= MAX_BROKEN_STEPS) this.giveUp(lines);
    return lines;
  }

  /** Shows the monitor the loss of the last stage that was active at a step. */
  private observe(entry: StepLosses, active: number): Observation | undefined {
    const { stages } = this.run.training;
    if (!this.control || !stages) return undefined;
    return this.control.observe(entry.losses[stages.lossName(active)]);
  }

  private drop(kind: 'obeyed' | 'scheduled', decisionStep: number, effectiveStep: number): void {
    if ((this.run.training.stages?.active ?? 1) < 2) return;
    const drop = this.control!.drop(kind, decisionStep, effectiveStep);
    const why = kind === 'obeyed' ? `the monitor fired at step ${decisionStep}` : 'as scheduled';
    this.run.watcher?.message?.(`stage ${drop.from} dropped from step ${effectiveStep} on: ${why}`);
  }

  private giveUp(lines: readonly LogLine[]): never {
    const { step } = lines[lines.length - 1];
    throw new UserError(
      `the losses were not finite for ${this.broken} steps, up to step ${step}; nothing was updated in them. ` +
        'Lower --lr, or go on from an earlier checkpoint',
    );
  }

  private tell(lines: readonly LogLine[], step: number, wallSeconds: number): void {
    const line = lines[lines.length - 1];
    if (!line) return;
    const { options, training, watcher } = this.run;
    const steps = Number(options.steps);
    watcher?.progress?.({
      line,
      lines,
      steps,
      stages: training.stages?.initial ?? 0,
      imagesPerSecond: (training.imagesPerStep * 1000) / line.msPerStep,
      secondsLeft: Math.min((wallSeconds / step) * (steps - step), (this.end - performance.now()) / 1000),
    });
  }

  /** Does what is no step: its time is not the steps'. */
  async aside(work: () => Promise<void>): Promise<void> {
    await this.run.device.finish();
    const began = performance.now();
    await work();
    this.ringStarted += performance.now() - began;
  }

  /** Writes a checkpoint. */
  async save(step: number, wallSeconds: number): Promise<void> {
    const { training, options } = this.run;
    await this.log.flush();
    const pending = this.pending && (await savePending(this.pending));
    const state: RunState = {
      step,
      logged: step - (pending?.losses.length ?? 0),
      wallSeconds,
      activeStages: training.stages?.active,
      control: this.control?.state(),
      pending,
      training: training.state?.(),
    };
    await saveCheckpoint(this.checkpoints, training, state, Number(options.keep));
  }

  async sample(step: number): Promise<void> {
    const grid = await this.run.training.samples?.();
    if (grid) {
      await this.log.addSamples(step, grid);
      this.run.watcher?.samples?.(step, grid);
    }
  }
}

function brief({ count, good, baseline, event }: Observation): LogLine['monitor'] {
  return { count, good, baseline: Number.isFinite(baseline) ? baseline : null, event: event?.kind };
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

async function savePending({ losses, active, msPerStep }: Pending): Promise<RunState['pending']> {
  const entries = (await losses).map(entry => ({
    ...entry,
    losses: Object.fromEntries(
      Object.entries(entry.losses).map(([name, value]) => [name, Number.isFinite(value) ? value : String(value)]),
    ),
  }));
  return { losses: entries, active: [...active], msPerStep };
}

function restorePending({ losses, active, msPerStep }: NonNullable<RunState['pending']>): Pending {
  const entries = losses.map(entry => ({
    ...entry,
    losses: Object.fromEntries(Object.entries(entry.losses).map(([name, value]) => [name, Number(value)])),
  }));
  return { losses: Promise.resolve(entries), active, msPerStep };
}
