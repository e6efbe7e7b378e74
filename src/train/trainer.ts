import { discardEffects } from '../autograd/effects.ts';
import { UserError } from '../io/errors.ts';
import type { Folder } from '../io/files.ts';
import type { Rgb8 } from '../io/images.ts';
import type { Device } from '../runtime/device.ts';
import { Programs } from '../runtime/program.ts';
import type { Observation } from './abortion.ts';
import { AbortionControl } from './abortionControl.ts';
import { type Checkpoint, latestCheckpoint, saveCheckpoint } from './checkpoint.ts';
import { LossRing, RING, StepWords } from './ring.ts';
import { type LogLine, type MetricLine, RunLog, waitedShare } from './runLog.ts';
import { decodeStep, encodeStep, type MadeStep, type RunState, runStateOf } from './runState.ts';
import type { Compute, Evaluation, Options, Training } from './training.ts';

/** Steps in a row that may be not finite before the run stops. */
const MAX_BROKEN_STEPS = 16;

/** What the trainer tells whoever watches: the terminal or the page. */
export interface Watcher {
  /**
   * Once, before the first step: the checkpoint, if there is one, fits, and from here on the run's folder is written.
   */
  begins?(): Promise<void>;
  /** Before a checkpoint is written. */
  saves?(): Promise<void>;
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
  /** The share of their time that these steps waited for data; undefined where it is not read from a disk. */
  readonly waited: number | undefined;
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
  /** False where the watcher stopped it before its steps were made, its time was over or the monitor ended it. */
  readonly finished: boolean;
  readonly wallSeconds: number;
  readonly lines: readonly LogLine[];
  /** What the metrics were behind which steps. */
  readonly measured: readonly MetricLine[];
  readonly control: AbortionControl | undefined;
  readonly evaluation: Evaluation | undefined;
}

/**
 * Trains until `options.steps`, or for `options.minutes`, from the newest checkpoint of the folder if there is one.
 *
 * Losses are read a ring of steps at a time. When one ring is full, the one before is waited for, logged, and replayed
 * in order through the abortion monitor; what the monitor decides takes effect at once. So at every moment the number
 * of active stages depends on the step number alone, and a run that was killed and resumed equals one that was not.
 */
export async function train(run: RunOptions): Promise<RunResult> {
  const { device, training, folder, options } = run;
  const steps = Number(options.steps);
  const checkpoints = await folder.folder('checkpoints');
  const found = await latestCheckpoint(checkpoints);
  const state = found && runStateOf(found);
  // A checkpoint that does not fit shows here, before anything is written.
  if (found && state) restoreTraining(training, found, state);
  const control = training.stages && new AbortionControl(training.stages, state?.control);
  await run.watcher?.begins?.();
  const log = await RunLog.open(folder, state?.logged ?? 0, state?.step);
  if (found) run.watcher?.message?.(`resumed from ${found.path}`);
  const began = performance.now();
  const wallSeconds = () => (state?.wallSeconds ?? 0) + (performance.now() - began) / 1000;
  const end = options.minutes === null ? Number.POSITIVE_INFINITY : began + Number(options.minutes) * 60_000;
  const loop = new Loop(run, checkpoints, log, control, state, end);

  let step = state?.step ?? 0;
  const isOver = () => step >= steps || performance.now() > end || control?.stopped === true;
  try {
    while (!isOver() && !run.watcher?.shouldStop?.()) {
      const last = Math.min(step + RING - (step % RING), steps);
      while (step < last) await loop.step(++step);
      await loop.turn(step, wallSeconds);
      if (isDue(step, Number(options.metricsEvery))) await loop.aside(() => loop.measure(step));
      if (isDue(step, Number(options.saveEvery))) await loop.aside(() => loop.save(step, wallSeconds()));
      if (step < steps && isDue(step, Number(options.sampleEvery))) await loop.aside(() => loop.sample(step));
    }
    const finished = isOver();
    if (finished && Number(options.metricsEvery) > 0) await loop.measure(step);
    // Saved with its last steps unseen, as at any other step: a finished run can go on with more steps.
    await loop.save(step, wallSeconds());
    if (finished) {
      await loop.drain(wallSeconds);
      await loop.sample(step);
    }
    const evaluation = finished ? await training.evaluate?.(loop.compute) : undefined;
    await device.finish();
    await log.flush();
    return {
      steps: step,
      finished,
      wallSeconds: wallSeconds(),
      lines: log.lines,
      measured: log.measured,
      control,
      evaluation,
    };
  } finally {
    discardEffects();
    loop.release();
    await log.flush();
  }
}

/** Whether a multiple of `every` (0 for never) lies in the ring that ends with this step. */
function isDue(step: number, every: number): boolean {
  return every > 0 && Math.floor(step / every) > Math.floor((step - RING) / every);
}

function restoreTraining(training: Training, checkpoint: Checkpoint, state: RunState): void {
  const { stages } = training;
  while (stages && stages.active > (state.activeStages ?? 1)) stages.dropLast();
  checkpoint.restore(training);
  training.restore?.(state.training);
}

/** A line every few seconds where compiling takes that long, as on SwiftShader. */
function compilingMessage(watcher: Watcher | undefined): (done: number, count: number) => void {
  const interval = 5000;
  let last = performance.now();
  return (done, count) => {
    if (done === 1) last = performance.now();
    if (performance.now() - last < interval) return;
    last = performance.now();
    watcher?.message?.(`compiling kernels: ${done} of ${count}`);
  };
}

class Loop {
  private readonly ring: LossRing;
  private readonly words: StepWords;
  /** What the host knows of the steps in the ring. */
  private made: { active: number; waitedMs?: number }[] = [];
  /** The last full ring: its losses are on their way. */
  private pending: Promise<MadeStep[]> | undefined;
  /** The first steps of the ring now being filled, where an earlier run ended in its middle. */
  private open: readonly MadeStep[];
  private readonly programs: Programs;
  private ringStarted = performance.now();
  /** Steps in a row, up to the last one seen, that were not finite; a run that is taken up again counts anew. */
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
    this.programs = new Programs(device, compilingMessage(run.watcher));
    const unseen = state?.unseen.map(decodeStep) ?? [];
    const isOpen = ({ step }: MadeStep) => step > state!.step - (state!.step % RING);
    const full = unseen.filter(step => !isOpen(step));
    this.pending = full.length > 0 ? Promise.resolve(full) : undefined;
    this.open = unseen.filter(isOpen);
    this.images = log.lines.at(-1)?.images ?? 0;
  }

  /** Makes one step: everything is queued, nothing is waited for. */
  async step(step: number): Promise<void> {
    const { device, training } = this.run;
    if (this.control?.isScheduled(step)) this.drop('scheduled', step, step);
    const waitedBefore = training.waitedMs;
    await training.prepare?.(step);
    const { words, ring, programs } = this;
    const phase = <T>(name: string, body: () => T): T => programs.run(name, body);
    device.scope(`training step ${step}`, () => {
      words.begin(step);
      const losses = training.step({ step, stepNumber: words.stepNumber, gate: words.gate, phase });
      ring.push(step, losses, words.gate);
    });
    await programs.compiled();
    const waited = waitedBefore === undefined ? {} : { waitedMs: round(training.waitedMs! - waitedBefore) };
    this.made.push({ active: training.stages?.active ?? 0, ...waited });
  }

  /** Starts reading the steps just made and, where they fill their ring, deals with the ring before. */
  async turn(step: number, wallSeconds: () => number): Promise<void> {
    const ring = this.read();
    if (step % RING !== 0) {
      // The run ends here. With more steps it would go on to fill this ring before the one before is seen.
      this.open = await ring;
      return;
    }
    const lines = this.pending ? this.replay(await this.pending, step + 1) : [];
    this.pending = ring;
    this.tell(lines, wallSeconds());
  }

  /** Deals with the steps not yet seen, at the end of the run. */
  async drain(wallSeconds: () => number): Promise<void> {
    const lines = this.replay(await this.unseen(), Number.POSITIVE_INFINITY);
    this.pending = undefined;
    this.open = [];
    this.tell(lines, wallSeconds());
  }

  /** The steps of the ring, when their losses arrive: the device has then made them, which tells how long that took. */
  private read(): Promise<MadeStep[]> {
    const { made, open } = this;
    this.made = [];
    this.open = [];
    const steps = this.ring.read().then(losses => {
      const now = performance.now();
      const msPerStep = round((now - this.ringStarted) / losses.length);
      this.ringStarted = now;
      return [...open, ...losses.map((entry, i) => ({ ...entry, ...made[i], msPerStep }))];
    });
    steps.catch(() => {}); // whoever awaits it hears of the failure
    return steps;
  }

  private async unseen(): Promise<MadeStep[]> {
    return [...((await this.pending) ?? []), ...this.open];
  }

  /** Logs steps and lets the monitor see them; what it decides takes effect at `nextStep`. */
  private replay(steps: readonly MadeStep[], nextStep: number): LogLine[] {
    const { training } = this.run;
    const lines: LogLine[] = [];
    for (const step of steps) {
      this.images += training.imagesPerStep;
      this.broken = step.finite ? 0 : this.broken + 1;
      const observation = this.observe(step);
      const line = { ...step, images: this.images };
      lines.push(observation ? { ...line, monitor: brief(observation) } : line);
      if (observation?.event?.kind === 'ABORT' && nextStep !== Number.POSITIVE_INFINITY) {
        this.drop('obeyed', step.step, nextStep);
      }
    }
    this.log.add(lines);
    if (this.broken >= MAX_BROKEN_STEPS) this.giveUp();
    return lines;
  }

  /** Shows the monitor the loss of the last stage that was active at a step. */
  private observe({ losses, active }: MadeStep): Observation | undefined {
    const { stages } = this.run.training;
    return stages && this.control?.observe(losses[stages.lossName(active)]);
  }

  private drop(kind: 'obeyed' | 'scheduled', decisionStep: number, effectiveStep: number): void {
    // Their memory goes before that of the stage.
    this.programs.release();
    const drop = this.control!.drop(kind, decisionStep, effectiveStep);
    const why = kind === 'obeyed' ? `the monitor fired at step ${decisionStep}` : 'as scheduled';
    this.run.watcher?.message?.(`stage ${drop.from} dropped from step ${effectiveStep} on: ${why}`);
  }

  private giveUp(): never {
    throw new UserError(
      `the losses were not finite for ${this.broken} steps, up to step ${this.log.lines.at(-1)?.step}; each of ` +
        'those changed nothing from that loss on. Lower --lr, or go on from an earlier checkpoint',
    );
  }

  private tell(lines: readonly LogLine[], wallSeconds: number): void {
    const line = lines.at(-1);
    if (!line) return;
    const { options, training, watcher } = this.run;
    const steps = Number(options.steps);
    watcher?.progress?.({
      line,
      lines,
      steps,
      stages: training.stages?.initial ?? 0,
      waited: waitedShare(lines),
      imagesPerSecond: (training.imagesPerStep * 1000) / line.msPerStep,
      secondsLeft: Math.min((wallSeconds / line.step) * (steps - line.step), (this.end - performance.now()) / 1000),
    });
  }

  /** Does what is no step, when all steps are made: its time is not the steps'. */
  async aside(work: () => Promise<void>): Promise<void> {
    await this.pending;
    await work();
    this.ringStarted = performance.now();
  }

  /** Writes a checkpoint. */
  async save(step: number, wallSeconds: number): Promise<void> {
    const { training, options, watcher } = this.run;
    await watcher?.saves?.();
    await this.log.flush();
    const unseen = (await this.unseen()).map(encodeStep);
    const state: RunState = {
      step,
      logged: step - unseen.length,
      wallSeconds,
      activeStages: training.stages?.active,
      control: this.control?.state(),
      unseen,
      training: training.state?.(),
    };
    await saveCheckpoint(this.checkpoints, training, state, Number(options.keep));
  }

  readonly compute: Compute = (name, body) => this.programs.compute(name, body);

  async sample(step: number): Promise<void> {
    const grid = await this.run.training.samples?.(this.compute);
    if (grid) {
      await this.log.addSamples(step, grid);
      this.run.watcher?.samples?.(step, grid);
    }
  }

  /** Measures how good the networks are, once a step. */
  async measure(step: number): Promise<void> {
    const { training, folder, watcher } = this.run;
    if (this.log.measured.at(-1)?.step === step) return;
    const metrics = await training.metrics?.(this.compute, folder);
    if (!metrics) return;
    this.log.addMetrics({ step, metrics });
    const values = Object.entries(metrics).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
    watcher?.message?.(`step ${step}: ${values.join(', ')}`);
  }

  /** Gives the loop's own memory back. */
  release(): void {
    this.programs.release();
    this.ring.release();
    this.words.release();
  }
}

function brief({ count, good, baseline, event }: Observation): LogLine['monitor'] {
  return { count, good, baseline: Number.isFinite(baseline) ? baseline : null, event: event?.kind };
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
