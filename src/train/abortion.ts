import { UserError } from '../io/errors.ts';
import { type AbortionOptions, checkedOptions } from './abortionPresets.ts';

/** A number as JSON can carry it: the text 'Infinity', '-Infinity' or 'NaN' where it is not finite. */
export type JsonNumber = number | 'Infinity' | '-Infinity' | 'NaN';

/** All that a monitor remembers, safe for JSON. */
export interface MonitorState {
  /** Observations so far. */
  observations: number;
  /** Consecutive failures so far. */
  count: number;
  active: number;
  /** The last value judged, which mode relative compares with. */
  previous: JsonNumber;
  /** The best value so far, which mode best compares with. */
  best: JsonNumber;
  windowSum: JsonNumber;
  windowCount: number;
  warmupLeft: number;
  cooldownLeft: number;
  aborts: number;
  /** Observation of the last ABORT, FLOOR or WARMUP_END, 0 if there was none. */
  lastEvent: number;
  /** A firing at the floor asked for the run to stop (onFloor 'stop'). */
  stopped: boolean;
}

export interface MonitorEvent {
  kind: 'ABORT' | 'FLOOR' | 'WARMUP_END' | 'NONFINITE';
  /** Active stages before and after; they differ only for ABORT. */
  from: number;
  to: number;
  /** 1-based number of the observation that caused it. */
  observation: number;
  before: MonitorState;
  after: MonitorState;
}

export interface Observation {
  /** Consecutive failures after this observation, already 0 if it fired. */
  count: number;
  /** Whether the value beat the baseline; null where nothing was judged (inside a window, warm-up, cool-down). */
  good: boolean | null;
  /** What the value was, or will be, compared with: the baseline before this observation. */
  baseline: number;
  /** Active stages from the next step on. */
  active: number;
  event?: MonitorEvent;
}

type Memory = { [K in keyof MonitorState]: JsonNumber extends MonitorState[K] ? number : MonitorState[K] };

/**
 * The abortion method: a network of N refinement stages loses its last one each time the monitored loss has failed
 * to improve `patience` times in a row. A pure state machine: the trainer feeds it the losses in order and obeys the
 * number of active stages. Losses are compared as f64, so that a tie is an exact tie; a tie is a failure.
 */
export class AbortionMonitor {
  readonly options: AbortionOptions;
  private memory: Memory;

  /** A new monitor, or one that goes on from `state`. Throws UserError for options or a state that cannot be. */
  constructor(options: AbortionOptions, state?: MonitorState) {
    this.options = checkedOptions({ ...options });
    this.memory = state === undefined ? initialMemory(this.options) : decoded(state, this.options);
  }

  /** The number of stages to train, validate and infer with. */
  get active(): number {
    return this.memory.active;
  }

  /** Whether a firing at the floor asked for the run to stop. */
  get stopped(): boolean {
    return this.memory.stopped;
  }

  /**
   * Takes the loss of one training step, computed with the weights before the step's update (in mode marginalGain:
   * the value of `marginalGain`). Throws UserError for a non-finite loss if `nonFinite` is 'throw'.
   */
  observe(loss: number): Observation {
    const before = { ...this.memory };
    const memory = this.memory;
    const baseline = this.baseline();
    if (this.options.mode === 'off') {
      memory.observations += 1;
      return { count: 0, good: null, baseline, active: memory.active };
    }
    const finite = Number.isFinite(loss);
    if (!finite && this.options.nonFinite === 'throw') {
      throw new UserError(
        `the monitored loss is ${loss} at observation ${memory.observations + 1}; lower the learning rate`,
      );
    }
    memory.observations += 1;
    const { good, event: decided } = this.transition(loss, finite);
    const kind = decided ?? (finite ? undefined : 'NONFINITE');
    const observation: Observation = { count: memory.count, good, baseline, active: memory.active };
    if (kind === undefined) return observation;
    if (kind !== 'NONFINITE') memory.lastEvent = memory.observations;
    const after = this.state();
    observation.event = {
      kind,
      from: before.active,
      to: memory.active,
      observation: memory.observations,
      before: encoded(before),
      after,
    };
    return observation;
  }

  /**
   * Tells the monitor that a stage left without its asking, as one does by schedule. Throws RangeError at the floor.
   */
  stageLeft(): void {
    if (this.memory.active <= this.options.minStages) throw new RangeError('stageLeft: only minStages are left');
    this.memory.active -= 1;
  }

  /** A copy of all that the monitor remembers, for the checkpoint. */
  state(): MonitorState {
    return encoded(this.memory);
  }

  private transition(loss: number, finite: boolean): { good: boolean | null; event?: MonitorEvent['kind'] } {
    const { options, memory } = this;
    if (!finite && options.nonFinite === 'ignore') return { good: null };
    if (!finite && options.nonFinite === 'count') {
      // Counted at once, also inside a window, whose sum it must not enter.
      return memory.warmupLeft > 0 || memory.cooldownLeft > 0 ? { good: null } : this.judge(false);
    }
    if (options.signal === 'trainStep') return this.decide(loss);
    memory.windowSum += loss;
    memory.windowCount += 1;
    if (memory.windowCount < options.window) return { good: null };
    const mean = memory.windowSum / memory.windowCount;
    memory.windowSum = 0;
    memory.windowCount = 0;
    return this.decide(mean);
  }

  /** One value against the baseline, which then moves. */
  private decide(value: number): { good: boolean | null; event?: MonitorEvent['kind'] } {
    const { memory } = this;
    const settling = memory.warmupLeft > 0 || memory.cooldownLeft > 0;
    const good = this.improves(value);
    memory.previous = value;
    if (settling ? value < memory.best : good) memory.best = value;
    if (!settling) return this.judge(good);
    if (memory.warmupLeft === 0) memory.cooldownLeft -= 1;
    else if (--memory.warmupLeft === 0) return { good: null, event: 'WARMUP_END' };
    return { good: null };
  }

  private improves(value: number): boolean {
    const { options } = this;
    const baseline = this.baseline();
    switch (options.mode) {
      case 'absolute':
        return options.absoluteSense === 'resetBelow' ? value < baseline : value > baseline;
      case 'marginalGain':
        return value >= baseline;
      default:
        return value < baseline * (1 - options.minDeltaRel) - options.minDeltaAbs;
    }
  }

  /** Counts a success or a failure, and fires when there have been enough failures in a row. */
  private judge(good: boolean): { good: boolean; event?: MonitorEvent['kind'] } {
    const { options, memory } = this;
    memory.count = good ? 0 : memory.count + 1;
    const fires = options.fireWhen === 'gte' ? memory.count >= options.patience : memory.count > options.patience;
    if (!fires) return { good };
    memory.count = 0;
    memory.cooldownLeft = options.cooldown;
    if (options.resetBaselineOnAbort) {
      memory.previous = Infinity;
      memory.best = Infinity;
    }
    if (memory.active > options.minStages) {
      memory.active -= 1;
      memory.aborts += 1;
      return { good, event: 'ABORT' };
    }
    if (options.onFloor === 'stop') memory.stopped = true;
    return { good, event: 'FLOOR' };
  }

  private baseline(): number {
    const { options, memory } = this;
    switch (options.mode) {
      case 'absolute':
        return options.thresholdA!;
      case 'marginalGain':
        return options.tau;
      case 'best':
        return memory.best;
      default:
        return memory.previous;
    }
  }
}

/**
 * The relative gain (V[a-1] - V[a]) / V[a-1] of the last active stage a over the one before it, from the losses V of
 * all active stages in order, on the same images and noise: what mode marginalGain observes. Needs two stages.
 */
export function marginalGain(stageLosses: readonly number[]): number {
  if (stageLosses.length < 2) throw new RangeError('marginalGain: needs the losses of at least two stages');
  const [before, last] = stageLosses.slice(-2);
  return (before - last) / before;
}

function initialMemory(options: AbortionOptions): Memory {
  return {
    observations: 0,
    count: 0,
    active: options.initialStages,
    previous: Infinity,
    best: Infinity,
    windowSum: 0,
    windowCount: 0,
    warmupLeft: options.warmup,
    cooldownLeft: 0,
    aborts: 0,
    lastEvent: 0,
    stopped: false,
  };
}

const reals = ['previous', 'best', 'windowSum'] as const;

function encoded(memory: Memory): MonitorState {
  const state: MonitorState = { ...memory };
  for (const name of reals) {
    const value = memory[name];
    state[name] = Number.isFinite(value) ? value : (String(value) as JsonNumber);
  }
  return state;
}

/** The memory that a state describes; UserError if no monitor with these options can be in that state. */
function decoded(state: MonitorState, options: AbortionOptions): Memory {
  const refuse = (name: string): never => {
    const value = JSON.stringify((state as unknown as Record<string, unknown>)?.[name]);
    throw new UserError(`abort: the saved monitor state is not one of this run (${name} is ${value}); start a new run`);
  };
  const limit = options.fireWhen === 'gte' ? options.patience - 1 : options.patience;
  const most: Partial<Record<keyof MonitorState, number>> = {
    observations: Number.MAX_SAFE_INTEGER,
    count: limit,
    active: options.initialStages,
    windowCount: options.window - 1,
    warmupLeft: options.warmup,
    cooldownLeft: options.cooldown,
    aborts: options.initialStages - options.minStages,
    lastEvent: Number.MAX_SAFE_INTEGER,
  };
  const memory = initialMemory(options);
  if (typeof state !== 'object' || state === null) return refuse('observations');
  for (const [name, limit] of Object.entries(most)) {
    const value = state[name as keyof MonitorState];
    const least = name === 'active' ? options.minStages : 0;
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > limit) refuse(name);
    memory[name as 'count'] = value as number;
  }
  for (const name of reals) {
    const value = state[name];
    const special = value === 'Infinity' || value === '-Infinity' || value === 'NaN';
    if (!special && !Number.isFinite(value)) refuse(name);
    memory[name] = Number(value);
  }
  if (typeof state.stopped !== 'boolean') refuse('stopped');
  memory.stopped = state.stopped;
  return memory;
}
