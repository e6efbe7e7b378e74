/** A profile for people, on a terminal. */
import type { Ceilings } from '../../runtime/measure.ts';
import { formatBytes, formatDigits, formatMilliseconds, formatPercent } from '../report/html.ts';
import type { MemoryUse } from './memory.ts';
import type { ModuleTotal } from './modules.ts';
import { type KernelTotal, type ProfileReport, ratesOf } from './report.ts';

/** Shapes and modules with less of the time than this are not shown one by one. */
const LEAST_SHARE = 0.01;
/** How deep modules are shown. */
const DEPTH = 3;
/** What a line has for a module, or a kernel and the shapes of its tensors. */
const NAME_WIDTH = 56;

export function profileText(report: ProfileReport, memory?: MemoryUse): string {
  return [
    ...report.warnings.map(warning => `warning: ${warning}`),
    summaryText(report, memory),
    kernelTable(report),
    moduleTable(report),
  ].join('\n\n');
}

/** What a step took, and what kernels, host and profiler had of it. */
export function summary(report: ProfileReport): [name: string, text: string][] {
  const { stepMs, hostMs = 0, overhead = 0, covered = 0, kernelMs, profiledMs, ceilings, dispatches, copies } = report;
  const launching = (dispatches * ceilings.dispatchDevice) / 1e3;
  const added = (1e3 * (profiledMs - (stepMs ?? 0))) / dispatches;
  const kernels = `${formatMilliseconds(kernelMs)} in ${formatCount(dispatches)} dispatches`;
  const limits = `${formatDigits(ceilings.arithmetic)} GFLOP/s, ${formatDigits(ceilings.bandwidth)} GB/s`;
  return [
    ...(stepMs === undefined
      ? ([
          ['kernels', kernels],
          ['in all', `${formatMilliseconds(profiledMs)}, profiled`],
        ] as [string, string][])
      : ([
          ['step', formatMilliseconds(stepMs)],
          ['kernels', `${kernels}: ${formatPercent(covered)} of the step without what profiling adds`],
          ['host', `${formatMilliseconds(hostMs)} to encode and submit: ${formatPercent(hostMs / stepMs)} of the step`],
          [
            'profiler',
            `a profiled step takes ${formatMilliseconds(profiledMs)}: ${signed(formatPercent(overhead))}, ${signed(added.toFixed(1))} µs a dispatch`,
          ],
        ] as [string, string][])),
    ['copies', `${formatCount(copies)} between buffers, which are not timed`],
    ['ceilings', `${limits}; as many empty kernels take ${formatMilliseconds(launching)} to launch`],
  ];
}

function summaryText(report: ProfileReport, memory: MemoryUse | undefined): string {
  const lines = summary(report);
  if (memory) lines.push(['memory', memoryText(memory)]);
  return lines.map(([name, text]) => `${name.padEnd(10)}${text}`).join('\n');
}

export function memoryText({ planned, needed, reserved }: MemoryUse): string {
  const ratio = `${(planned / needed).toFixed(2)} times the ${formatBytes(needed)} needed`;
  const plan = needed > 0 ? `${formatBytes(planned)} of temporaries, ${ratio}` : 'no plan, as the step has no phase(…)';
  return `${plan}; ${formatBytes(reserved)} in all buffers`;
}

/** A line of a table: `depth` tells how far it is indented below what it is a part of. */
export interface Row {
  readonly depth: number;
  readonly cells: readonly string[];
}

/** The head of the table of kernels, and its rows: each kernel, and below it the shapes that it takes most time for. */
export function kernelRows({ kernels, ceilings }: ProfileReport): { head: string[]; rows: Row[] } {
  const families = new Map<string, KernelTotal[]>();
  for (const one of kernels) families.set(one.kernel, [...(families.get(one.kernel) ?? []), one]);
  const totals = [...families].map(([kernel, shapes]) => ({ total: totalOf(kernel, shapes, ceilings), shapes }));
  totals.sort((a, b) => b.total.ms - a.total.ms);
  const rows: Row[] = [];
  for (const { total, shapes } of totals) {
    const { kernel } = total;
    if (shapes.length === 1) {
      rows.push({ depth: 0, cells: [`${kernel} ${shapes[0].shape}`, ...cellsOf(total)] });
      continue;
    }
    rows.push({ depth: 0, cells: [kernel, ...cellsOf(total)] });
    const shown = shapes.filter(({ share }) => share >= LEAST_SHARE);
    for (const one of shown) rows.push({ depth: 1, cells: [one.shape, ...cellsOf(one)] });
    const rest = shapes.slice(shown.length);
    if (shown.length === 0 || rest.length === 0) continue;
    const name = rest.length === 1 ? rest[0].shape : `${rest.length} other shapes`;
    rows.push({ depth: 1, cells: [name, ...cellsOf(totalOf(kernel, rest, ceilings))] });
  }
  const head = ['kernel', 'count', 'ms', 'share', 'GFLOP/s', 'GB/s', 'of arith.', 'of bandw.'];
  return { head, rows };
}

function totalOf(kernel: string, shapes: readonly KernelTotal[], ceilings: Ceilings): KernelTotal {
  const sum = (of: (one: KernelTotal) => number) => shapes.reduce((total, one) => total + of(one), 0);
  const [count, ms, share, flop, bytes] = [
    sum(one => one.count),
    sum(one => one.ms),
    sum(one => one.share),
    sum(one => one.flop),
    sum(one => one.bytes),
  ];
  return { kernel, shape: '', count, ms, share, ...ratesOf({ flop, bytes, ms }, ceilings) };
}

function cellsOf({ count, ms, share, flop, gflops, gbs, ofArithmetic, ofBandwidth }: KernelTotal): string[] {
  const arithmetic = flop > 0 ? [formatRate(gflops), formatPercent(ofArithmetic)] : ['–', '–'];
  const [rate, part] = arithmetic;
  return [
    formatCount(count),
    ms.toFixed(2),
    formatPercent(share),
    rate,
    formatRate(gbs),
    part,
    formatPercent(ofBandwidth),
  ];
}

function kernelTable(report: ProfileReport): string {
  const { head, rows } = kernelRows(report);
  return columns(head, rows, 'lrrrrrrr');
}

/** The head of the table of modules, and its rows: name, depth in the tree, and the numbers. */
export function moduleRows({ modules }: ProfileReport): { head: string[]; rows: Row[] } {
  const rows: Row[] = [];
  const add = (name: string, depth: number, total: Pick<ModuleTotal, 'count' | 'ms'>, passes: string[]) => {
    const share = modules.ms > 0 ? total.ms / modules.ms : 0;
    const cells = [name, formatCount(total.count), total.ms.toFixed(2), formatPercent(share), ...passes];
    rows.push({ depth, cells });
  };
  const visit = (children: readonly ModuleTotal[], depth: number) => {
    for (const total of children) {
      if (total.ms < LEAST_SHARE * modules.ms) continue;
      add(
        depth === 0 ? total.path : total.name,
        depth,
        total,
        [total.forwardMs, total.backwardMs].map(ms => ms.toFixed(2)),
      );
      if (depth + 1 < DEPTH) visit(total.children, depth + 1);
    }
  };
  // The two losses of 'loss.lpips' and 'loss.id' say more than their sum.
  const tops = modules.children.flatMap(top => (top.ownMs === 0 && top.name === 'loss' ? top.children : [top]));
  visit(
    tops.sort((a, b) => b.ms - a.ms),
    0,
  );
  const counted = modules.children.reduce((sum, { count }) => sum + count, 0);
  if (counted < modules.count) add('in no module', 0, { count: modules.count - counted, ms: modules.ownMs }, []);
  return { head: ['module', 'count', 'ms', 'share', 'forward', 'backward'], rows };
}

function moduleTable(report: ProfileReport): string {
  const { head, rows } = moduleRows(report);
  return columns(head, rows, 'lrrrrr');
}

/** Cells in columns; `align` is one letter a column, l or r. */
function columns(head: readonly string[], rows: readonly Row[], align: string): string {
  const first = ({ depth, cells: [name] }: Row) => shortened('  '.repeat(depth) + name, NAME_WIDTH);
  const lines = [head, ...rows.map(row => [first(row), ...row.cells.slice(1)])];
  const widths = [...align].map((_, i) => Math.max(...lines.map(line => line[i]?.length ?? 0)));
  const pad = (cell: string, i: number) => (align[i] === 'l' ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  return lines.map(line => line.map(pad).join('  ').trimEnd()).join('\n');
}

function shortened(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

/** GFLOP/s or GB/s: below a thousandth nothing is left to tell. */
function formatRate(rate: number): string {
  return rate >= 0.001 ? formatDigits(rate) : '0';
}

/** A number's text with its sign, which a minus has already. */
function signed(text: string): string {
  return /^[-−]/.test(text) ? text.replace('-', '−') : `+${text}`;
}

/** Counts of a step are not whole where it does something in some steps only. */
function formatCount(count: number): string {
  return Number.isInteger(count) ? String(count) : count.toFixed(1);
}
