/** Where the time of a step goes: kernel by kernel and module by module. */
import { labelParts, type Parts } from '../models/labelModules.ts';
import type { Device } from '../runtime/device.ts';
import { setLabel } from '../runtime/labels.ts';
import { type Ceilings, measureCeilings } from '../runtime/measure.ts';
import { createTimer, type DispatchTimer } from '../runtime/profiler.ts';
import { buildReport, type ProfileReport } from './profile/report.ts';
import { chromeTrace, type Trace } from './profile/trace.ts';

export interface ProfileOptions {
  /** Modules, and other objects that compute, by the names that the report gives them. */
  readonly parts?: Parts;
  /**
   * The function is a step, and is called with each number from 1 to this three times: to warm up, and then to be
   * measured as it is and to be profiled. By default it is called once, and the report says nothing of the profiler's
   * own cost.
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
  /** Copies between buffers in it, which nothing times. */
  readonly copies: number;
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
  { parts = {}, steps, prepare, ceilings: known }: ProfileOptions = {},
): Promise<Profile<T>> {
  const ceilings = known ?? (await measureCeilings(device));
  device.memory.trim(); // what the ceilings were measured with
  const timer = createTimer(device);
  const call = (step: number) => callStep(device, step, body, prepare, timer);
  const numbers = Array.from({ length: steps ?? 1 }, (_, i) => i + 1);
  try {
    if (steps !== undefined) await underLabels(parts, () => inOrder(numbers, call));
    // Each step is taken as it is and then profiled, so that a machine that grows slower or faster does so in both.
    const calls = await inOrder(numbers, async step => {
      const plain = steps === undefined ? undefined : await call(step);
      device.stream.time(timer);
      const profiled = await underLabels(parts, () => call(step));
      device.stream.time(undefined);
      return { plain, profiled };
    });
    const spans = calls.map(({ profiled }) => profiled.span);
    const plain = calls.flatMap(({ plain }) => (plain ? [plain.span] : []));
    const timed = await timer.read();
    const { name } = device.adapter;
    const report = buildReport({ adapter: name, clock: timer.clock, ceilings, timed, spans, plain });
    return { result: calls[calls.length - 1].profiled.result, report, trace: () => chromeTrace(name, timed, spans) };
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

async function inOrder<T>(steps: readonly number[], call: (step: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (const step of steps) results.push(await call(step));
  return results;
}

async function callStep<T>(
  device: Device,
  step: number,
  body: (step: number) => T | Promise<T>,
  prepare: ProfileOptions['prepare'],
  timer: DispatchTimer,
): Promise<{ result: T; span: StepSpan }> {
  await prepare?.(step);
  await device.finish();
  const { stream } = device;
  const [first, copied, began] = [timer.count, stream.copies, performance.now()];
  const result = await body(step);
  device.flush();
  const submitted = performance.now();
  await device.finish();
  const [last, copies] = [timer.count, stream.copies - copied];
  return { result, span: { began, submitted, ended: performance.now(), first, last, copies } };
}
