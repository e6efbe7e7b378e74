import { UserError } from '../io/errors.ts';
import type { Checkpoint, CheckpointState } from './checkpoint.ts';
import type { LogLine } from './runLog.ts';

/** A step that has been made: its line in the log, but for what is added when the monitor sees it. */
export type MadeStep = Omit<LogLine, 'images' | 'monitor'>;

/** state.json of a checkpoint. */
export interface RunState extends CheckpointState {
  /** The last step in log.jsonl; the later ones are in `unseen`. */
  readonly logged: number;
  readonly wallSeconds: number;
  readonly activeStages?: number;
  /** AbortionControl.state(). */
  readonly control?: unknown;
  /** Steps whose losses neither the log nor the monitor has seen: those since the second last full ring. */
  readonly unseen: readonly SavedStep[];
  /** Training.state(). */
  readonly training?: unknown;
}

/** MadeStep with texts for what JSON cannot say. */
type SavedStep = Omit<MadeStep, 'losses'> & { readonly losses: Readonly<Record<string, number | string>> };

export function encodeStep({ losses, ...step }: MadeStep): SavedStep {
  const entries = Object.entries(losses);
  return {
    ...step,
    losses: Object.fromEntries(entries.map(([name, value]) => [name, Number.isFinite(value) ? value : String(value)])),
  };
}

export function decodeStep({ losses, ...step }: SavedStep): MadeStep {
  return { ...step, losses: Object.fromEntries(Object.entries(losses).map(([name, value]) => [name, Number(value)])) };
}

/** The state of a checkpoint, which is not trusted. @throws UserError where it is not one that a run saved */
export function runStateOf({ path, state }: Checkpoint): RunState {
  const { logged, wallSeconds, activeStages, unseen = [] } = state as Partial<RunState>;
  const valid =
    isWhole(state.step, 0) &&
    isWhole(logged, 0) &&
    Number.isFinite(wallSeconds) &&
    (activeStages === undefined || isWhole(activeStages, 1)) &&
    Array.isArray(unseen) &&
    unseen.every(isSavedStep);
  if (!valid) {
    throw new UserError(
      `${path}/state.json is not one of a run; remove that folder to go on from the checkpoint before`,
    );
  }
  return { ...(state as RunState), unseen };
}

function isSavedStep(step: Partial<SavedStep> | null): boolean {
  return (
    typeof step === 'object' &&
    step !== null &&
    isWhole(step.step, 1) &&
    isWhole(step.active, 0) &&
    typeof step.finite === 'boolean' &&
    Number.isFinite(step.msPerStep) &&
    typeof step.losses === 'object' &&
    step.losses !== null
  );
}

const isWhole = (value: unknown, least: number): boolean => Number.isInteger(value) && (value as number) >= least;
