import { type Curve, lossChart, type Marker, timelineChart } from '../train/report/chart.ts';
import { escapeHtml } from '../train/report/html.ts';
import { activePeriods } from '../train/report/periods.ts';
import type { LogLine } from '../train/runLog.ts';

/** A stage that left: by the monitor's decision, or by schedule. */
export interface StageDrop {
  readonly step: number;
  readonly stage: number;
  readonly kind: 'obeyed' | 'scheduled';
}

/**
 * The drops that a log shows: each step with fewer stages than the step before it. It was the monitor's if a firing
 * before it has had no drop yet; one takes effect up to two rings of steps later.
 */
export function stageDrops(lines: readonly LogLine[]): StageDrop[] {
  const drops: StageDrop[] = [];
  let firings = 0;
  lines.forEach(({ step, active, monitor }, i) => {
    for (let stage = lines[i - 1]?.active ?? active; stage > active; stage--) {
      drops.push({ step, stage, kind: firings > 0 ? 'obeyed' : 'scheduled' });
      firings = Math.max(0, firings - 1);
    }
    if (monitor?.event === 'ABORT') firings++;
  });
  return drops;
}

/** Terms of the stages' losses, as in `stage1/lpips`. */
export function termsOf(lines: readonly LogLine[]): string[] {
  const names = Object.keys(lines[0]?.losses ?? {}).filter(name => name.includes('/'));
  return [...new Set(names.map(name => name.split('/')[1]))];
}

/** The curves of a term, or of the whole losses: those that two neighbouring steps have (regularisers come rarely). */
function curvesOf(lines: readonly LogLine[], term: string): Curve[] {
  const names = Object.keys(lines[0]?.losses ?? {}).filter(name => (name.split('/')[1] ?? '') === term);
  const curves = names.map((name, i) => ({
    name: titleOf(name),
    className: `s${(i % 5) + 1}`,
    values: lines.map(({ losses }) => losses[name] ?? Number.NaN),
  }));
  return curves.filter(({ values }) => values.some((value, i) => Number.isFinite(value + values[i - 1])));
}

/** stage2/lpips → stage 2 */
function titleOf(name: string): string {
  return name.split('/')[0].replace(/^stage(\d+)$/, 'stage $1');
}

function markersOf(lines: readonly LogLine[]): Marker[] {
  return stageDrops(lines).map(({ step, stage, kind }) => ({
    step,
    className: kind,
    label: kind === 'obeyed' ? `stage ${stage} aborted` : `stage ${stage} dropped by schedule`,
  }));
}

/** Losses over steps as SVG, with the legend as HTML. `width` in pixels; `term` is empty for the whole losses. */
export function lossFigure(lines: readonly LogLine[], term: string, width: number): { svg: string; legend: string } {
  const curves = curvesOf(lines, term);
  const steps = lines.map(({ step }) => step);
  const height = Math.max(200, Math.min(320, width * 0.42));
  const size = { width, height, labels: width > 560 };
  const svg = lossChart('loss-clip', 'Losses over steps', steps, curves, markersOf(lines), size);
  const legend = curves.map(({ name, className, values }) => {
    const line = `<svg viewBox="0 0 24 12" aria-hidden="true"><path class="curve ${className}" d="M2 6H22"/></svg>`;
    const last = values.at(-1)!;
    const value = Number.isFinite(last) ? `<b>${last.toPrecision(3)}</b>` : '<i>left</i>';
    return `<li>${line}${escapeHtml(name)} ${value}</li>`;
  });
  return { svg, legend: legend.join('') };
}

/** Active stages and milliseconds a step, as SVG; empty for a run without stages. */
export function stageFigure(lines: readonly LogLine[], width: number): string {
  if (!lines[0]?.active) return '';
  const step = lines.map(line => line.step);
  const active = lines.map(line => line.active);
  const msPerStep = lines.map(line => line.msPerStep);
  const periods = activePeriods({ step, active, msPerStep });
  const markers = width > 560 ? markersOf(lines) : [];
  return timelineChart('stage-clip', step, msPerStep, periods, markers, width);
}
