import type { TimedDispatch } from '../../runtime/profiler.ts';
import type { StepSpan } from '../profile.ts';
import { shapeOf } from './report.ts';

/** The Trace Event Format of Chrome; times in microseconds. */
export interface Trace {
  readonly displayTimeUnit: 'ns';
  readonly traceEvents: readonly TraceEvent[];
}

/** A complete event ('X') with begin and duration, or metadata ('M'): the name of a process or a thread. */
export interface TraceEvent {
  readonly ph: 'X' | 'M';
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

const PROCESS = 1;
const [HOST, MODULES, KERNELS] = [1, 2, 3];

/** The host's steps, the modules nested as they are called, and the kernels on the device, on a track each. */
export function chromeTrace(adapter: string, timed: readonly TimedDispatch[], spans: readonly StepSpan[]): Trace {
  const origin = spans[0]?.began ?? 0;
  const shift = offsetOf(timed, spans);
  /** Nanoseconds of the device's clock on the trace's axis. */
  const at = (time: number) => Math.round(time + shift - origin * 1e6);
  const events = [
    ...spans.flatMap(({ began, submitted, ended }, i) => [
      event(HOST, `step ${i + 1}: encode and submit`, 1e6 * (began - origin), 1e6 * (submitted - origin)),
      event(HOST, `step ${i + 1}: wait`, 1e6 * (submitted - origin), 1e6 * (ended - origin)),
    ]),
    ...moduleEvents(timed, spans, at),
    ...timed.map(({ dispatch, begin, end }) => {
      const { kernel, work, groups } = dispatch;
      const { module, backward } = work?.label ?? {};
      const args = { shape: shapeOf(dispatch), module, backward, flop: work?.flop, workgroups: groups.join('×') };
      return event(KERNELS, kernel.name, at(begin), at(end), args);
    }),
  ];
  return {
    displayTimeUnit: 'ns',
    traceEvents: [
      metadata('process_name', 0, { name: `wgrad on ${adapter}` }),
      metadata('thread_name', HOST, { name: 'host' }),
      metadata('thread_name', MODULES, { name: 'modules' }),
      metadata('thread_name', KERNELS, { name: 'kernels' }),
      ...[HOST, MODULES, KERNELS].map(tid => metadata('thread_sort_index', tid, { sort_index: tid })),
      // What encloses another event stands before it.
      ...events.sort((a, b) => a.ts! - b.ts! || b.dur! - a.dur!),
    ],
  };
}

function metadata(name: string, tid: number, args: TraceEvent['args']): TraceEvent {
  return { ph: 'M', name, pid: PROCESS, tid, args };
}

/** An event from its ends in nanoseconds. */
function event(tid: number, name: string, begin: number, end: number, args?: TraceEvent['args']): TraceEvent {
  const [ts, dur] = [Math.round(begin), Math.round(end) - Math.round(begin)];
  return { ph: 'X', name, pid: PROCESS, tid, ts: ts / 1000, dur: Math.max(0, dur) / 1000, args };
}

/**
 * From the device's clock to the host's, in ns: as late as can be if every step's last kernel ends before the host
 * learns of it.
 */
function offsetOf(timed: readonly TimedDispatch[], spans: readonly StepSpan[]): number {
  const gaps = spans
    .filter(({ first, last }) => last > first)
    .map(({ ended, last }) => ended * 1e6 - timed[last - 1].end);
  return gaps.length > 0 ? Math.min(...gaps) : 0;
}

/** Slices of the modules at work, nested: one goes on as long as dispatches come from it. */
function moduleEvents(
  timed: readonly TimedDispatch[],
  spans: readonly StepSpan[],
  at: (time: number) => number,
): TraceEvent[] {
  const events: TraceEvent[] = [];
  for (const { first, last } of spans) {
    const open: { name: string; begin: number }[] = [];
    let now = 0;
    const close = (depth: number) => {
      for (const { name, begin } of open.splice(depth).reverse()) events.push(event(MODULES, name, begin, now));
    };
    for (const { dispatch, begin, end } of timed.slice(first, last)) {
      const { module = '', backward = false } = dispatch.work?.label ?? {};
      const path = module === '' ? [] : [backward ? 'backward' : 'forward', ...module.split('.')];
      const same = path.findIndex((name, depth) => open[depth]?.name !== name);
      close(same < 0 ? path.length : same);
      for (const name of path.slice(open.length)) open.push({ name, begin: at(begin) });
      now = at(end);
    }
    close(0);
  }
  return events;
}
