import { labelled } from '../runtime/labels.ts';
import type { Tensor } from '../runtime/tensor.ts';

/**
 * Side effects of a forward pass in training mode (running statistics, the generator's average w). They wait until the
 * step is known to be finite, and happen once even where a layer is computed twice.
 */
export interface Effect {
  /** The step's tensors that it uses: they must live until it is carried out. */
  readonly tensors: readonly Tensor[];
  /** Gets the step's gate (u32 [1], 0 if all is finite) and must do nothing on the device when that is not 0. */
  readonly run: (gate: Tensor) => void;
}

let pending: Effect[] = [];
let muted = false;

/** Notes an effect. */
export function defer(tensors: readonly Tensor[], run: Effect['run']): void {
  if (!muted) pending.push({ tensors, run: labelled(run) });
}

/** The effects noted so far: return them from an inner scope whose end comes before `applyEffects`. */
export function pendingEffects(): readonly Effect[] {
  return pending;
}

/** Carries the noted effects out, in order. */
export function applyEffects(gate: Tensor): void {
  const effects = pending;
  pending = [];
  for (const { run } of effects) run(gate);
}

/** Forgets the noted effects, as after a forward pass that was only looked at. */
export function discardEffects(): void {
  pending = [];
}

/** Runs a function whose effects are not noted: a repeated forward pass, or one on images that are not data. */
export function withoutEffects<T>(body: () => T): T {
  const before = muted;
  muted = true;
  try {
    return body();
  } finally {
    muted = before;
  }
}
