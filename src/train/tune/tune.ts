import type { Device } from '../../runtime/device.ts';
import { type Measured, tuneProblem } from '../../runtime/tuner.ts';
import { type Met, type Variant, variantText } from '../../runtime/variants.ts';
import { createTraining } from '../run.ts';
import type { Options, Recipe } from '../training.ts';
import type { TuningCache } from './cache.ts';
import { traceSteps } from './trace.ts';

export interface TuneOptions {
  readonly recipe: Recipe;
  readonly options: Options;
  /** Seconds of measuring after which no further class is begun. */
  readonly budget: number;
  /** Leave out the classes that are remembered already. */
  readonly onlyNew?: boolean;
  readonly cache: TuningCache;
  readonly message?: (text: string) => void;
  /** Asked before each class: whether to begin nothing more. */
  readonly shouldStop?: () => boolean;
  /** Told of each class when it is measured. */
  readonly progress?: (tuned: TunedClass, done: number, count: number) => void;
}

/** A class of problems, measured. */
export interface TunedClass {
  /** The family and the class. */
  readonly name: string;
  /** Times that a step meets it, where steps are traced once. */
  readonly count: number;
  readonly flop: number;
  readonly before: Variant;
  readonly best: Variant | undefined;
  readonly measured: readonly Measured[];
}

export interface Tuning {
  readonly classes: readonly TunedClass[];
  /** Classes that were not begun: the time was over, or it was to stop. */
  readonly left: readonly string[];
  /** Classes that were remembered already. */
  readonly known: number;
}

/**
 * Measures the variants for the problems that a recipe's steps meet, those with the most arithmetic first, and remembers
 * the fastest of each class as soon as it is known: what ends the tuning early takes nothing back. The device is to be
 * given back afterwards.
 */
export async function tuneRecipe(
  device: Device,
  { recipe, options, budget, onlyNew = false, cache, message, shouldStop, progress }: TuneOptions,
): Promise<Tuning> {
  const training = await createTraining(recipe, { device, options, message });
  await traceSteps(device, training);
  const all = [...device.choices.met].map(([name, met]) => ({ name, ...met, work: workOf(met) }));
  const wanted = all.filter(({ family, problem }) => !(onlyNew && cache.has(family, problem, device)));
  wanted.sort((a, b) => b.work - a.work);
  if (wanted.length > 0) await cache.save(); // before the time is spent: what cannot be kept fails here
  const classes: TunedClass[] = [];
  const end = performance.now() + 1000 * budget;
  for (const { name, family, problem, variant: before, count } of wanted) {
    if (performance.now() > end || shouldStop?.()) break;
    const { measured, best } = await tuneProblem(device, family, problem, { current: before });
    device.trim();
    if (best) {
      cache.remember(family, problem, best);
      await cache.save();
    }
    classes.push({ name, count, flop: family.flop(problem), before, best, measured });
    progress?.(classes[classes.length - 1], classes.length, wanted.length);
    for (const { variant, failure } of measured) {
      if (failure) message?.(`${name}: ${variantText(variant)} is left out: ${failure}`);
    }
  }
  const left = wanted.slice(classes.length).map(({ name }) => name);
  return { classes, left, known: all.length - wanted.length };
}

function workOf({ family, problem, count }: Met): number {
  return family.flop(problem) * count;
}
