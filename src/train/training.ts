import type { Folder } from '../io/files.ts';
import type { Rgb8 } from '../io/images.ts';
import type { Module } from '../models/module.ts';
import type { Device } from '../runtime/device.ts';
import type { Tensor } from '../runtime/tensor.ts';
import type { AbortionOptions } from './abortionPresets.ts';
import type { MetricRow, ReconstructionRow } from './report.ts';

export type OptionValue = number | string | boolean | null;

/** The settings of a run, all of them: what config.json holds and --set changes. */
export type Options = Record<string, OptionValue>;

/** A system to train: its default settings, and how it is built from them. */
export interface Recipe {
  readonly name: string;
  /** One line for `wgrad train --help` and the page. */
  readonly about: string;
  /**
   * Every setting with its default; the default's type is the setting's. `steps`, `batch`, `lr` and `seed` must be
   * there.
   */
  readonly defaults: Readonly<Options>;
  /**
   * Defaults that follow from what was given, as from a configuration's name or an image size: they come over
   * `defaults`, and what was given over them.
   *
   * @throws UserError where what was given does not fit together
   */
  derive?(given: Readonly<Options>): Options;
  /** Loads what is needed (frozen networks, data) and builds the networks on the device. */
  create(context: RecipeContext): Promise<Training>;
}

export interface RecipeContext {
  readonly device: Device;
  readonly options: Readonly<Options>;
  /** A checkpoint will be put over the new networks, so that nothing else need be loaded into them. */
  readonly resumed?: boolean;
  /** Tells the user something in one line, as that an image is damaged. */
  readonly message?: (text: string) => void;
}

/** What saves an optimiser and brings it back, bit by bit. */
export interface Saved {
  state(): Promise<Map<string, { shape: readonly number[]; data: Float32Array | Uint32Array }>>;
  /** @throws UserError where an entry is missing or of another shape, with `source` as the place */
  load(
    entries: ReadonlyMap<string, { shape: readonly number[]; data: ArrayLike<number> }>,
    options: { source: string },
  ): void;
}

/** What a training step is given. */
export interface StepContext {
  /** From 1. */
  readonly step: number;
  /** The same on the device, u32 [1]: the counter of the step's random numbers. */
  readonly stepNumber: Tensor;
  /** u32 [1], 0 at the start of a step: set it with checkFinite, and nothing that is gated by it happens any more. */
  readonly gate: Tensor;
  /**
   * Runs a part of the step as a program: recorded when its name first comes, replayed from then on, with the same
   * results. All that changes from step to step must lie in kept tensors that `prepare` writes. What is not in a phase
   * runs as it is written.
   */
  phase<T>(name: string, body: () => T): T;
}

/**
 * Runs a part of an evaluation as a program, as `phase` does with one of a step: recorded when its name first comes,
 * and compiled before it runs. Its results hold until it runs again, so read them before that.
 */
export type Compute = <T>(name: string, body: () => T) => Promise<T>;

/** A training in progress, as the trainer drives it. */
export interface Training {
  /** What is saved: networks by name. */
  readonly modules: Readonly<Record<string, Module>>;
  readonly optimizers: Readonly<Record<string, Saved>>;
  /** What else computes in a step (frozen networks, losses, data), by the names that a profile gives it. */
  readonly parts?: Readonly<Record<string, object>>;
  /** Names of the scalars that steps return, in the order of the log. */
  readonly lossNames: readonly string[];
  /** The loss that the terminal shows first. */
  readonly mainLoss: string;
  readonly imagesPerStep: number;
  /** Learning rate schedules and data that must be there before a step; awaited before the step is made. */
  prepare?(step: number): Promise<void> | void;
  /** One step: everything that it computes goes back to the pool at its end. Returns its losses, [1] each, by name. */
  step(context: StepContext): Record<string, Tensor>;
  /** What a step waited for data so far, in milliseconds. */
  readonly waitedMs?: number;
  /** Damaged images that were passed over so far. */
  readonly skippedImages?: number;
  /** Stages that can be dropped; absent where there are none. */
  readonly stages?: Stages;
  /** A grid of samples, in evaluation mode. */
  samples?(compute: Compute): Promise<Rgb8>;
  /**
   * How good the networks are, as numbers by name, every `metricsEvery` steps. What is known of the data may be kept in
   * the folder of the run.
   */
  metrics?(compute: Compute, folder: Folder): Promise<Readonly<Record<string, number>>>;
  /** Metrics on held-out data, and pictures, for the report. */
  evaluate?(compute: Compute): Promise<Evaluation>;
  /**
   * What a finished run leaves in its folder weights/ for others to load: networks by the name of their file, without
   * ending.
   */
  readonly exports?: Readonly<Record<string, Module>>;
  /** What else a resumed run needs, safe for JSON. */
  state?(): unknown;
  restore?(state: unknown): void;
}

/** The stages of a training, the abortion method's object. */
export interface Stages {
  readonly initial: number;
  readonly active: number;
  /** Removes the last stage: it is neither computed nor trained from the next step on. */
  dropLast(): void;
  /** The name of stage k's loss (from 1) and of its terms, among lossNames. */
  readonly terms: readonly { name: string; title: string; weight: number }[];
  lossName(stage: number, term?: string): string;
  readonly abortion: { readonly preset: string; readonly options: AbortionOptions };
  /** Steps at which the last stage is dropped whatever the monitor says, ascending; for measuring. */
  readonly scheduledDrops: readonly number[];
}

export interface Evaluation {
  /** One sentence: what was trained, on what. */
  readonly subtitle: string;
  /** What the metrics were measured on. */
  readonly description: string;
  readonly metrics: readonly MetricRow[];
  readonly reconstructions: readonly ReconstructionRow[];
}
