/** Where the time of a step goes: kernel by kernel and module by module. */
import { labelParts, type Parts } from '../models/labelModules.ts';
import type { Device } from '../runtime/device.ts';
import { setLabel } from '../runtime/labels.ts';
import { type Ceilings, measureCeilings } from '../runtime/measure.ts';
import { createTimer } from '../runtime/profiler.ts';
import { buildReport, type ProfileReport } from './profile/report.ts';
import { chromeTrace, type Trace } from './profile/trace.ts';

export interface ProfileOptions {
  /** Modules, and other objects that compute, by the names that the report gives them. */
  readonly parts?: Parts;
  /**
   * The function is a step, and is called with the numbers from 1 to this three times: to warm up, to be measured as it
   * is, and to be profiled. By default it is called once, and the report says nothing of the profiler's own cost.
   */
  readonly steps?: number;
  /** Done before each step, and not measured. */
  readonly prepare?: (step: number) => Promise<void> | void;
  /** Measured before, to save the second that it takes. */
  readonly ceilings?: Ceilings;
}

export interface Profile<T> {
  /** What the function returned when it was last called. */
  readonly result: T;
  readonly report: ProfileReport;
  /** In Chrome's format, which Perfetto (ui.perfetto.dev) and chrome://tracing open. */
  trace(): Trace;
}

/** The host's part of a step, in milliseconds of performance.now(). */
export interface StepSpan {
  readonly began: number;
  /** Everything was submitted. */
  readonly submitted: number;
  /** Everything was done. */
  readonly ended: number;
  /** The dispatches timed before and after it. */
  readonly first: number;
  readonly last: number;
}

/**
 * Calls a function and tells what each kernel that it dispatched took, with a compute pass and two timestamps for each
 * dispatch, eager or replayed; the results are the same bit for bit. Without timestamp-query each dispatch is submitted
 * and waited for alone, which the report warns of. Programs know the modules of their dispatches only if they were
 * recorded within.
 */
export async function profile<T>(
  device: Device,
  body: (step: number) => T | Promise<T>,
  options: ProfileOptions = {},
): Promise<Profile<T>> {
  const { parts = {} } = options;
  const run = (count?: () => number) => callSteps(device, body, options, count);
  const ceilings = options.ceilings ?? (await measureCeilings(device));
  device.memory.trim(); // what the ceilings were measured with
  let plain: StepSpan[] | undefined;
  if (options.steps !== undefined) {
    await underLabels(parts, () => run());
    plain = (await run()).spans;
  }
  const timer = createTimer(device);
  try {
    device.stream.time(timer);
    const { result, spans } = await underLabels(parts, () => run(() => timer.count));
    const timed = await timer.read();
    const { name } = device.adapter;
    const report = buildReport({ adapter: name, clock: timer.clock, ceilings, timed, spans, plain });
    return { result, report, trace: () => chromeTrace(name, timed, spans) };
  } finally {
    await device.stream.drain();
    device.stream.time(undefined);
    timer.release();
  }
}

/** Runs a function while modules label what they dispatch. */
async function underLabels<T>(parts: Parts, body: () => Promise<T>): Promise<T> {
  const restore = labelParts(parts);
  setLabel({ module: '', backward: false });
  try {
    return await body();
  } finally {
    setLabel(undefined);
    restore();
  }
}

async function callSteps<T>(
  device: Device,
  body: (step: number) => T | Promise<T>,
  { steps = 1, prepare }: ProfileOptions,
  count = () => 0,
): Promise<{ result: T; spans: StepSpan[] }> {
  const spans: StepSpan[] = [];
  let result!: T;
  for (let step = 1; step <= steps; step++) {
    await prepare?.(step);
    await device.finish();
    const [first, began] = [count(), performance.now()];
    result = await body(step);
    device.flush();
    const submitted = performance.now();
    await device.finish();
    spans.push({ began, submitted, ended: performance.now(), first, last: count() });
  }
  return { result, spans };
}
