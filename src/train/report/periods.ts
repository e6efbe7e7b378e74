import type { RunReport } from '../report.ts';
import type { Period } from './chart.ts';
import { formatMilliseconds } from './html.ts';

/** The parts of the run with one number of active stages each. */
export function activePeriods({ step, active, msPerStep }: RunReport['log']): Period[] {
  const periods: Period[] = [];
  for (let start = 0; start < step.length; ) {
    let end = start + 1;
    while (end < step.length && active[end] === active[start]) end++;
    const { median } = quantiles(msPerStep.slice(start, end));
    const to = step[Math.min(end, step.length - 1)];
    periods.push({ from: step[start], to, active: active[start], ms: median, label: formatMilliseconds(median) });
    start = end;
  }
  return periods;
}

/** How many values are finite, and their quartiles. */
export function quantiles(values: readonly number[]) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.round((sorted.length - 1) * part)] ?? Number.NaN;
  return { count: sorted.length, lower: at(0.25), median: at(0.5), upper: at(0.75) };
}
