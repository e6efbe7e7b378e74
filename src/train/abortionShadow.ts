import { UserError } from '../io/errors.ts';
import { AbortionMonitor, type MonitorState } from './abortion.ts';
import { type AbortionOptions, presetOptions } from './abortionPresets.ts';

/** When a monitor that the run does not obey would have fired first. */
export interface FirstFiring {
  name: string;
  /** 1-based observation of the first firing, null if it has not fired. */
  observation: number | null;
}

/**
 * Monitors that watch a run without being obeyed. Each is asked for its first firing only: what would have come
 * after it is unknown, since the run went on with a stage that the monitor would have dropped.
 */
export class ShadowMonitors {
  private readonly monitors: Map<string, AbortionMonitor>;
  private readonly fired: Map<string, number>;

  /** Monitors by name with their options, new or going on from `state`. Throws UserError for a state of others. */
  constructor(options: Record<string, AbortionOptions>, state?: ShadowState) {
    this.monitors = new Map();
    this.fired = new Map();
    for (const [name, own] of Object.entries(options)) {
      const saved = state?.[name];
      const observation = saved?.firstFiring ?? null;
      if ((state && !saved) || (observation !== null && !(Number.isInteger(observation) && observation > 0))) {
        throw new UserError(`abort: the saved state of the monitor '${name}' is not one of this run; start a new run`);
      }
      this.monitors.set(name, new AbortionMonitor(own, saved?.monitor));
      if (observation !== null) this.fired.set(name, observation);
    }
  }

  /** The loss of one training step, in order. */
  observe(loss: number): void {
    for (const [name, monitor] of this.monitors) {
      if (this.fired.has(name)) continue;
      const { event } = monitor.observe(loss);
      if (event?.kind === 'ABORT' || event?.kind === 'FLOOR') this.fired.set(name, event.observation);
    }
  }

  firstFirings(): FirstFiring[] {
    return [...this.monitors.keys()].map(name => ({ name, observation: this.fired.get(name) ?? null }));
  }

  /** All that the monitors remember, safe for JSON. */
  state(): ShadowState {
    return Object.fromEntries(
      [...this.monitors].map(([name, monitor]) => [
        name,
        { monitor: monitor.state(), firstFiring: this.fired.get(name) ?? null },
      ]),
    );
  }
}

export type ShadowState = Record<string, { monitor: MonitorState; firstFiring: number | null }>;

/** The first firing of each monitor on a whole sequence of losses, none of which it influenced. */
export function firstFirings(options: Record<string, AbortionOptions>, losses: Iterable<number>): FirstFiring[] {
  const shadow = new ShadowMonitors(options);
  for (const loss of losses) shadow.observe(loss);
  return shadow.firstFirings();
}

/** One row of the table of `absoluteDeciles`. */
export interface DecileFiring {
  /** 10, 20, … 90 per cent of the losses lie below the threshold. */
  percent: number;
  threshold: number;
  /** 1-based observation of the first firing, null if it never fires. */
  observation: number | null;
}

/**
 * When paper-absolute would have fired first with its threshold at each decile of the run's own losses. Only the
 * finished run knows its deciles, so this tells how the method depends on the threshold, not what a user would have
 * got. Deciles interpolate linearly between order statistics; non-finite losses are left out of them.
 */
export function absoluteDeciles(losses: readonly number[]): DecileFiring[] {
  const sorted = losses.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return [];
  return [10, 20, 30, 40, 50, 60, 70, 80, 90].map(percent => {
    const position = ((sorted.length - 1) * percent) / 100;
    const below = sorted[Math.floor(position)];
    const threshold = below + (sorted[Math.ceil(position)] - below) * (position % 1);
    const [{ observation }] = firstFirings(
      { absolute: presetOptions('paper-absolute', { thresholdA: threshold }) },
      losses,
    );
    return { percent, threshold, observation };
  });
}
