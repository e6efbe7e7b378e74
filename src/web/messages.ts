/** What the page, which only draws, and its Worker, which trains, say to each other. */
import type { Rgb8 } from '../io/images.ts';
import type { Measurements } from '../runtime/measure.ts';
import type { MemoryUse } from '../train/profile/memory.ts';
import type { ProfileReport } from '../train/profile/report.ts';
import type { LogLine } from '../train/runLog.ts';
import type { Options } from '../train/training.ts';
import type { TunedClass } from '../train/tune/tune.ts';

export type ToWorker =
  /** Begins a run with these settings, as they were typed; it takes the place of the one in storage. */
  | { readonly type: 'start'; readonly recipe: string; readonly settings: Readonly<Record<string, string>> }
  /** Goes on with the run that is paused or in storage. */
  | { readonly type: 'resume' }
  /** Saves, and keeps all in memory. */
  | { readonly type: 'pause' }
  /** Saves, and gives the device back; ends a tuning. */
  | { readonly type: 'stop' }
  /** Asks for the run in storage as a zip. */
  | { readonly type: 'export' }
  /** Puts a run in storage: one zip, or the files of a folder with their paths. */
  | { readonly type: 'import'; readonly files: readonly { readonly path: string; readonly file: File }[] }
  | { readonly type: 'discard' }
  | { readonly type: 'measure' }
  /** Profiles a few steps of a training with these settings, on a device of its own; no run is touched. */
  | { readonly type: 'profile'; readonly recipe: string; readonly settings: Readonly<Record<string, string>> }
  /** Measures, for so many seconds, which kernels are fastest for these settings; the runs that begin later take them. */
  | {
      readonly type: 'tune';
      readonly recipe: string;
      readonly settings: Readonly<Record<string, string>>;
      readonly seconds: string;
    };

export type FromWorker =
  /** First of all: what can be trained. */
  | { readonly type: 'ready'; readonly recipes: readonly RecipeChoice[]; readonly presets: readonly string[] }
  | { readonly type: 'adapter'; readonly adapter: AdapterInfo }
  | { readonly type: 'measured'; readonly measurements: Measurements }
  | ({ readonly type: 'profiled' } & ProfileResult)
  | ({ readonly type: 'tuned' } & TuningStatus)
  /** There is nothing to train with; `text` says why, and what would help. */
  | { readonly type: 'unsupported'; readonly text: string }
  | { readonly type: 'phase'; readonly phase: Phase }
  /** The run in storage, whenever it has changed but for its steps. */
  | { readonly type: 'run'; readonly run: StoredRun | undefined }
  | ({ readonly type: 'progress' } & Progress)
  | ({ readonly type: 'samples' } & Samples)
  | { readonly type: 'message'; readonly text: string }
  | { readonly type: 'error'; readonly text: string }
  | { readonly type: 'exported'; readonly name: string; readonly zip: Blob };

/** What the Worker does; `idle` covers a run in storage that nobody works on. */
export type Phase = 'idle' | 'starting' | 'training' | 'paused' | 'recovering' | 'profiling' | 'tuning';

export interface ProfileResult {
  readonly recipe: string;
  readonly report: ProfileReport;
  readonly memory: MemoryUse;
  /** The plan of the memory, as SVG. */
  readonly picture: string;
  /** In Chrome's trace format. */
  readonly trace: Blob;
}

/** A tuning that goes on or, with a summary, has ended. */
export interface TuningStatus {
  readonly recipe: string;
  /** Measured so far. */
  readonly classes: readonly TunedClass[];
  /** Classes to measure; undefined until the first one is measured. */
  readonly count: number | undefined;
  readonly summary: readonly string[] | undefined;
}

export interface RecipeChoice {
  readonly name: string;
  readonly about: string;
  readonly defaults: Readonly<Options>;
}

export interface AdapterInfo {
  readonly name: string;
  readonly features: readonly string[];
  /** In bytes. */
  readonly maxBufferSize: number;
  readonly maxBindingSize: number;
  readonly workgroupMemory: number;
}

/** Log lines that are new since the last message, and how the run goes. */
export interface Progress {
  readonly lines: readonly LogLine[];
  readonly steps: number;
  /** With which the run began; 0 where there are none. */
  readonly stages: number;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
}

export interface Samples {
  readonly step: number;
  readonly grid: Rgb8;
}

export interface StoredRun {
  readonly recipe: string;
  readonly options: Options;
  /** Of the newest checkpoint; 0 without one. */
  readonly step: number;
  readonly finished: boolean;
  readonly lines: readonly LogLine[];
  readonly samples: Samples | undefined;
  /** report.html, once the run has finished and if its recipe makes one. */
  readonly report: string | undefined;
  /** Names of the files under weights/, once the run has finished. */
  readonly weights: readonly string[];
}
