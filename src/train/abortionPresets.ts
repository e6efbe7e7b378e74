import { UserError } from '../io/errors.ts';

/**
 * The options of the abortion monitor. An observation is one call of `AbortionMonitor.observe`; a decision is one
 * value compared with the baseline: every observation, or the mean of every `window` observations.
 */
export interface AbortionOptions {
  /** What a value must beat: the value before it, `thresholdA`, the best so far, or the gain `tau`; or nothing. */
  mode: 'relative' | 'absolute' | 'best' | 'marginalGain' | 'off';
  /** Consecutive failures that are waited for, at least 1. */
  patience: number;
  /** Fire when the count reaches the patience (gte) or when it exceeds it (gt). */
  fireWhen: 'gte' | 'gt';
  /** The constant a of mode absolute, in units of the loss; no default, as it depends on the scale of the loss. */
  thresholdA?: number;
  /** Which side of `thresholdA` resets the count: below (as the paper words it) or above. */
  absoluteSense: 'resetBelow' | 'resetAbove';
  /** Judge each observation, or the mean of each `window` of them. */
  signal: 'trainStep' | 'trainWindowMean';
  /** Observations a decision for signal trainWindowMean, at least 1. */
  window: number;
  /** Relative improvement on the baseline that modes relative and best ask for, in [0, 1). */
  minDeltaRel: number;
  /** Absolute improvement on the baseline that modes relative and best ask for, at least 0. */
  minDeltaAbs: number;
  /** Decisions at the start, and after each firing, that move the baseline but count nothing. */
  warmup: number;
  cooldown: number;
  /** Forget the baseline when the monitor fires: the first loss of the shorter network is usually higher. */
  resetBaselineOnAbort: boolean;
  initialStages: number;
  minStages: number;
  /** A NaN or infinite loss: no change of state, one more failure, an error, or plain arithmetic (for tests). */
  nonFinite: 'ignore' | 'count' | 'throw' | 'literal';
  /** A firing with `minStages` left: report it and go on, or ask for the run to stop. */
  onFloor: 'ignore' | 'stop';
  /** Least relative gain of the last stage over the one before it, for mode marginalGain. */
  tau: number;
}

const base: AbortionOptions = {
  mode: 'off',
  patience: 10,
  fireWhen: 'gte',
  absoluteSense: 'resetBelow',
  signal: 'trainStep',
  window: 200,
  minDeltaRel: 0,
  minDeltaAbs: 0,
  warmup: 0,
  cooldown: 0,
  resetBaselineOnAbort: false,
  initialStages: 3,
  minStages: 1,
  nonFinite: 'ignore',
  onFloor: 'ignore',
  tau: 0.02,
};

const presets = {
  off: base,
  /** "When the count reaches 10": each loss against the one before it. */
  'paper-relative': { ...base, mode: 'relative' },
  /** "A count exceeding 10": each loss against a constant of the user's. */
  'paper-absolute': { ...base, mode: 'absolute', fireWhen: 'gt' },
  /** Window means against the best so far, which pure noise around a falling trend does not set off. */
  robust: {
    ...base,
    mode: 'best',
    signal: 'trainWindowMean',
    minDeltaRel: 0.002,
    warmup: 10,
    cooldown: 5,
    resetBaselineOnAbort: true,
  },
} satisfies Record<string, AbortionOptions>;

export type PresetName = keyof typeof presets;

export const presetNames = Object.keys(presets) as PresetName[];

/**
 * The options of a preset, with some of them overridden, checked.
 * Throws UserError for an unknown preset or option, a value out of range, and paper-absolute without `thresholdA`.
 */
export function presetOptions(name: string, overrides: Partial<AbortionOptions> = {}): AbortionOptions {
  if (!Object.hasOwn(presets, name)) {
    throw new UserError(`abort: no preset is called '${name}'; choose one of ${presetNames.join(', ')}`);
  }
  return checkedOptions({ ...presets[name as PresetName], ...overrides });
}

const choices = {
  mode: ['relative', 'absolute', 'best', 'marginalGain', 'off'],
  fireWhen: ['gte', 'gt'],
  absoluteSense: ['resetBelow', 'resetAbove'],
  signal: ['trainStep', 'trainWindowMean'],
  resetBaselineOnAbort: [false, true],
  nonFinite: ['ignore', 'count', 'throw', 'literal'],
  onFloor: ['ignore', 'stop'],
} as const;

const leastInteger = { patience: 1, window: 1, warmup: 0, cooldown: 0, initialStages: 1, minStages: 1 } as const;

/** The options themselves, or UserError naming the first that a monitor cannot work with. */
export function checkedOptions(options: AbortionOptions): AbortionOptions {
  const refuse = (name: string, value: unknown, expected: string): never => {
    throw new UserError(`abort: ${name} is ${String(value)}; give ${expected}`);
  };
  const known = new Set([...Object.keys(base), 'thresholdA']);
  for (const name of Object.keys(options)) {
    if (!known.has(name)) {
      throw new UserError(`abort: no option is called '${name}'; the options are ${[...known].join(', ')}`);
    }
  }
  for (const [name, allowed] of Object.entries(choices)) {
    const value = options[name as keyof typeof choices];
    if (!(allowed as readonly unknown[]).includes(value)) refuse(name, value, `one of ${allowed.join(', ')}`);
  }
  for (const [name, least] of Object.entries(leastInteger)) {
    const value = options[name as keyof typeof leastInteger];
    if (!Number.isInteger(value) || value < least) refuse(name, value, `a whole number of at least ${least}`);
  }
  if (!(options.minDeltaRel >= 0 && options.minDeltaRel < 1)) {
    refuse('minDeltaRel', options.minDeltaRel, 'a number of at least 0 and below 1');
  }
  if (!(options.minDeltaAbs >= 0 && options.minDeltaAbs < Infinity)) {
    refuse('minDeltaAbs', options.minDeltaAbs, 'a number of at least 0');
  }
  if (!Number.isFinite(options.tau)) refuse('tau', options.tau, 'a number');
  if (options.minStages > options.initialStages) {
    refuse('minStages', options.minStages, `at most initialStages, which is ${options.initialStages}`);
  }
  const { thresholdA } = options;
  if (options.mode === 'absolute' && thresholdA === undefined) {
    throw new UserError(
      'abort: the absolute method has no default threshold; give one with --threshold, on the scale of the loss',
    );
  }
  if (thresholdA !== undefined && !Number.isFinite(thresholdA)) refuse('thresholdA', thresholdA, 'a finite number');
  return options;
}

/** What the user should know before the run about the options chosen, in one line, if anything. */
export function abortionWarning(options: AbortionOptions): string | undefined {
  if (options.mode !== 'absolute' || options.absoluteSense !== 'resetBelow') return undefined;
  const least = options.patience + (options.fireWhen === 'gt' ? 1 : 0);
  return (
    `abort: by the literal absolute rule a stage leaves after every ${least} losses in a row at or above ` +
    `${options.thresholdA}, so a threshold below the loss's level drops stages from the start`
  );
}
