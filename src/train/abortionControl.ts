import { UserError } from '../io/errors.ts';
import { AbortionMonitor, type MonitorState, type Observation } from './abortion.ts';
import { presetOptions } from './abortionPresets.ts';
import { absoluteDeciles, ShadowMonitors } from './abortionShadow.ts';
import type { AbortionReport, Drop } from './report.ts';
import type { Stages } from './training.ts';

/** The presets that watch every run without being obeyed. */
const SHADOWS = ['paper-relative', 'robust'];

interface ControlState {
  monitor: MonitorState;
  shadows: ReturnType<ShadowMonitors['state']>;
  /** null where it was not finite. */
  losses: (number | null)[];
  drops: Drop[];
  floorFirings: number;
}

/**
 * Decides which stages a run trains: the obeyed monitor and the schedule drop the last one, the shadow monitors only
 * watch. It sees the losses of the last active stage in order, some steps late; a decision takes effect at a step that
 * depends on the step number alone.
 */
export class AbortionControl {
  private readonly monitor: AbortionMonitor;
  private readonly shadows: ShadowMonitors;
  private readonly losses: number[] = [];
  private readonly drops: Drop[] = [];
  private floorFirings = 0;

  constructor(
    private readonly stages: Stages,
    saved?: unknown,
  ) {
    const { preset, options } = stages.abortion;
    if (options.mode === 'marginalGain') {
      throw new UserError(
        'abort: mode marginalGain judges validation losses, which a run does not have; choose another',
      );
    }
    const state = saved === undefined ? undefined : checkedState(saved);
    this.monitor = new AbortionMonitor(options, state?.monitor);
    const { window, initialStages, minStages } = options;
    const watched = SHADOWS.filter(name => name !== preset);
    const shadowOptions = watched.map(name => [name, presetOptions(name, { window, initialStages, minStages })]);
    this.shadows = new ShadowMonitors(Object.fromEntries(shadowOptions), state?.shadows);
    if (state) {
      this.losses.push(...state.losses.map(loss => loss ?? Number.NaN));
      this.drops.push(...state.drops);
      this.floorFirings = state.floorFirings;
    }
  }

  /** Whether the monitor asked for the run to end (onFloor 'stop'). */
  get stopped(): boolean {
    return this.monitor.stopped;
  }

  /** One step's loss at its last active stage. */
  observe(loss: number): Observation {
    this.losses.push(loss);
    this.shadows.observe(loss);
    const observation = this.monitor.observe(loss);
    if (observation.event?.kind === 'FLOOR') this.floorFirings++;
    return observation;
  }

  /** Whether the schedule drops a stage before this step; like the monitor it leaves `minStages`. */
  isScheduled(step: number): boolean {
    const { scheduledDrops, active, abortion } = this.stages;
    return scheduledDrops.includes(step) && active > abortion.options.minStages;
  }

  /** Drops the last stage from `effectiveStep` on. The obeyed monitor knows of its own drops already. */
  drop(kind: Drop['kind'], decisionStep: number, effectiveStep: number): Drop {
    const from = this.stages.active;
    this.stages.dropLast();
    if (kind === 'scheduled') this.monitor.stageLeft();
    const drop = { kind, decisionStep, effectiveStep, from, to: from - 1 };
    this.drops.push(drop);
    return drop;
  }

  report(): AbortionReport {
    const obeyed = this.drops.filter(({ kind }) => kind === 'obeyed').length;
    return {
      ...this.stages.abortion,
      drops: this.drops,
      floorFirings: this.floorFirings,
      lateFirings: this.monitor.state().aborts - obeyed,
      firstFirings: this.shadows.firstFirings(),
      deciles: absoluteDeciles(this.losses),
    };
  }

  /** Safe for JSON. */
  state(): ControlState {
    const { losses, drops, floorFirings } = this;
    return {
      monitor: this.monitor.state(),
      shadows: this.shadows.state(),
      losses: losses.map(loss => (Number.isFinite(loss) ? loss : null)),
      drops,
      floorFirings,
    };
  }
}

function checkedState(saved: unknown): ControlState {
  const { losses, drops, floorFirings } = (saved ?? {}) as Partial<ControlState>;
  const valid =
    Array.isArray(losses) &&
    losses.every(loss => loss === null || typeof loss === 'number') &&
    Array.isArray(drops) &&
    drops.every(drop => [drop?.decisionStep, drop?.effectiveStep, drop?.from, drop?.to].every(Number.isInteger)) &&
    Number.isInteger(floorFirings);
  if (!valid) throw new UserError('abort: the saved state is not one of this run; start a new run');
  return saved as ControlState;
}
