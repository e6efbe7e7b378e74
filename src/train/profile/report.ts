import type { Ceilings } from '../../runtime/measure.ts';
import type { TimedDispatch } from '../../runtime/profiler.ts';
import type { Dispatch } from '../../runtime/stream.ts';
import type { StepSpan } from '../profile.ts';
import { type ModuleTotal, moduleTotals } from './modules.ts';

/** Where the time of a step went. All times, counts, operations and bytes are those of one step, on average. */
export interface ProfileReport {
  readonly adapter: string;
  /** What the kernels' times come from: timestamps of the device, or the host's clock around each dispatch. */
  readonly clock: 'timestamps' | 'wall';
  /** Steps that were profiled. */
  readonly steps: number;
  readonly ceilings: Ceilings;
  readonly dispatches: number;
  /** Copies between buffers: no times are measured of these, so `kernelMs` and `covered` are without them. */
  readonly copies: number;
  /** The sum of the kernels' own times, in milliseconds. */
  readonly kernelMs: number;
  /** What a profiled step took from its first command until everything was done. */
  readonly profiledMs: number;
  /** The same of steps that were not profiled, if there were any: what they took, and the host's part of it. */
  readonly stepMs?: number;
  readonly hostMs?: number;
  /** The profiler's own cost: profiledMs / stepMs - 1. */
  readonly overhead?: number;
  /**
   * The part of stepMs that kernels take. What profiling adds to a step counts as if it were all in their times, which
   * it mostly is where timestamps are slow: the truth is this or more.
   */
  readonly covered?: number;
  /** By kernel and shape, the longest first. */
  readonly kernels: readonly KernelTotal[];
  /** The tree of the modules; the root stands for everything. */
  readonly modules: ModuleTotal;
  /** What the reader must know to trust the times. */
  readonly warnings: readonly string[];
}

/** All dispatches of a kernel with tensors of the same shapes. */
export interface KernelTotal {
  readonly kernel: string;
  /** Of the tensors that it reads → of those that it writes. */
  readonly shape: string;
  readonly count: number;
  readonly ms: number;
  /** Of the sum of all kernels' times. */
  readonly share: number;
  /** Arithmetic operations; 0 where the kernel does not state them. */
  readonly flop: number;
  /** Each tensor counted once. */
  readonly bytes: number;
  readonly gflops: number;
  readonly gbs: number;
  /** Parts of the adapter's measured ceilings. */
  readonly ofArithmetic: number;
  readonly ofBandwidth: number;
  /** Of its roofline: the larger of the two. */
  readonly ofRoofline: number;
}

export interface Measured {
  readonly adapter: string;
  readonly clock: 'timestamps' | 'wall';
  readonly ceilings: Ceilings;
  readonly timed: readonly TimedDispatch[];
  readonly spans: readonly StepSpan[];
  /** Of the steps that were not profiled; empty where there were none. */
  readonly plain: readonly StepSpan[];
}

export function buildReport({ adapter, clock, ceilings, timed, spans, plain }: Measured): ProfileReport {
  const steps = spans.length;
  const kernelMs = sum(timed.map(msOf)) / steps;
  const profiledMs = mean(spans, ({ began, ended }) => ended - began);
  const stepMs = mean(plain, ({ began, ended }) => ended - began);
  return {
    adapter,
    clock,
    steps,
    ceilings,
    dispatches: timed.length / steps,
    copies: mean(spans, ({ copies }) => copies),
    kernelMs,
    profiledMs,
    ...(plain.length > 0 && {
      stepMs,
      hostMs: mean(plain, ({ began, submitted }) => submitted - began),
      overhead: profiledMs / stepMs - 1,
      covered: Math.max(0, kernelMs - Math.max(0, profiledMs - stepMs)) / stepMs,
    }),
    kernels: kernelTotals(timed, steps, kernelMs, ceilings),
    modules: moduleTotals(timed, steps),
    warnings: warningsOf(clock, timed),
  };
}

function msOf({ begin, end }: TimedDispatch): number {
  return (end - begin) / 1e6;
}

function kernelTotals(
  timed: readonly TimedDispatch[],
  steps: number,
  kernelMs: number,
  ceilings: Ceilings,
): KernelTotal[] {
  const groups = new Map<string, { kernel: string; shape: string; members: TimedDispatch[] }>();
  const keys = new Map<Dispatch, string>();
  for (const one of timed) {
    const { dispatch } = one;
    let key = keys.get(dispatch);
    if (key === undefined) {
      const [kernel, shape] = [dispatch.kernel.name, shapeOf(dispatch)];
      key = `${kernel} ${shape}`;
      keys.set(dispatch, key);
      if (!groups.has(key)) groups.set(key, { kernel, shape, members: [] });
    }
    groups.get(key)!.members.push(one);
  }
  const totals = [...groups.values()].map(({ kernel, shape, members }) => {
    const perStep = (of: (one: TimedDispatch) => number) => sum(members.map(of)) / steps;
    const ms = perStep(msOf);
    const [flop, bytes] = [perStep(flopOf), perStep(bytesOf)];
    const share = kernelMs > 0 ? ms / kernelMs : 0;
    return { kernel, shape, count: members.length / steps, ms, share, ...ratesOf({ flop, bytes, ms }, ceilings) };
  });
  return totals.sort((a, b) => b.ms - a.ms);
}

/** What work of so many operations, bytes and milliseconds reaches; nothing where no time was measured. */
export function ratesOf(
  { flop, bytes, ms }: Pick<KernelTotal, 'flop' | 'bytes' | 'ms'>,
  { arithmetic, bandwidth }: Ceilings,
): Omit<KernelTotal, 'kernel' | 'shape' | 'count' | 'ms' | 'share'> {
  const [gflops, gbs] = ms > 0 ? [flop / ms / 1e6, bytes / ms / 1e6] : [0, 0];
  const [ofArithmetic, ofBandwidth] = [gflops / arithmetic, gbs / bandwidth];
  const ofRoofline = Math.max(ofArithmetic, ofBandwidth);
  return { flop, bytes, gflops, gbs, ofArithmetic, ofBandwidth, ofRoofline };
}

/** A dispatch without times does not count for the rates. */
function flopOf({ dispatch, timed }: TimedDispatch): number {
  return timed ? (dispatch.work?.flop ?? 0) : 0;
}

/** The bytes of a dispatch's tensors; what is bound twice is one of them. */
function bytesOf({ dispatch, timed }: TimedDispatch): number {
  if (!timed) return 0;
  const { slices } = dispatch;
  const isFirst = (i: number) =>
    slices.findIndex(({ block, offset }) => block === slices[i].block && offset === slices[i].offset) === i;
  return sum(slices.map(({ bytes }, i) => (isFirst(i) ? bytes : 0)));
}

/** '8×64×32×32, 64×64×3×3 → 8×64×32×32' */
export function shapeOf({ kernel, slices, work }: Dispatch): string {
  const text = (access: 'read' | 'read_write') => {
    const shapes = slices.flatMap((slice, i) => {
      if (kernel.access[i] !== access) return [];
      return [work ? work.shapes[i].join('×') || '1' : `${slice.bytes / 4}`];
    });
    const runs: { shape: string; count: number }[] = [];
    for (const shape of shapes) {
      if (runs.at(-1)?.shape === shape) runs[runs.length - 1].count++;
      else runs.push({ shape, count: 1 });
    }
    return runs.map(({ shape, count }) => (count > 1 ? `${count} of ${shape}` : shape)).join(', ');
  };
  const [read, written] = [text('read'), text('read_write')];
  return read ? `${read} → ${written}` : `→ ${written}`;
}

/** Of coarser timestamps a single kernel's time says little. */
const FINE_NS = 1000;

function warningsOf(clock: 'timestamps' | 'wall', timed: readonly TimedDispatch[]): string[] {
  const warnings: string[] = [];
  if (clock === 'wall') {
    warnings.push(
      'the device has no timestamp-query: each dispatch was submitted and waited for alone, and its time holds both',
    );
  }
  const lost = timed.filter(one => !one.timed).length;
  if (lost > 0) warnings.push(`${lost} of ${timed.length} dispatches got no usable timestamps and count with no time`);
  const resolution = clock === 'wall' ? 0 : resolutionOf(timed);
  if (resolution > FINE_NS) {
    warnings.push(
      `timestamps are rounded to ${resolution / 1000} µs here: times of short kernels are right on average only`,
    );
  }
  return warnings;
}

/** The largest step, in ns, that all times are multiples of. */
function resolutionOf(timed: readonly TimedDispatch[]): number {
  let step = 0;
  for (const { begin, end } of timed) {
    for (const time of [begin, end]) {
      let rest = Math.round(time);
      while (rest > 0) [step, rest] = [rest, step % rest];
      if (step === 1) return 1;
    }
  }
  return step;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean<T>(values: readonly T[], of: (value: T) => number): number {
  return sum(values.map(of)) / values.length;
}
