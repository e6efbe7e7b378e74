/** The report of a training without stages: its losses, and its metrics where it has measured them. */
import type { MetricLine } from '../runLog.ts';
import { lossChart } from './chart.ts';
import { escapeHtml, formatMilliseconds, formatNumber, table } from './html.ts';
import { page, settings, wallTime } from './page.ts';

export interface TrainingReport {
  readonly title: string;
  readonly wallSeconds: number;
  /** The adapter as `wgrad doctor` prints it, by name. */
  readonly adapter: Record<string, string>;
  readonly config: Record<string, unknown>;
  /** One entry a step in each array; losses by name, NaN where a step has none. */
  readonly log: {
    readonly step: readonly number[];
    readonly msPerStep: readonly number[];
    readonly losses: Readonly<Record<string, readonly number[]>>;
  };
  readonly metrics: readonly MetricLine[];
}

/** The report as one HTML page without external resources or scripts; the same data give the same page. */
export function renderTrainingReport(run: TrainingReport): string {
  return page(run.title, [header(run), metricSection(run), lossSection(run), settings(run)]);
}

function header({ title, wallSeconds, log, metrics }: TrainingReport): string {
  const times = [...log.msPerStep].sort((a, b) => a - b);
  const tiles: [string, string, string][] = [
    ['Steps', formatNumber(log.step.at(-1) ?? 0), `in ${wallTime(wallSeconds)}`],
    ['Time of a step', formatMilliseconds(times[times.length >> 1] ?? Number.NaN), 'median'],
  ];
  const last = metrics.at(-1);
  for (const [name, value] of Object.entries(last?.metrics ?? {}).slice(0, 2)) {
    tiles.unshift([name, formatNumber(value), `at step ${formatNumber(last!.step)}`]);
  }
  const items = tiles.map(tile => {
    const [name, value, note] = tile.map(escapeHtml);
    return `<li><span>${name}</span><b>${value}</b><span>${note}</span></li>`;
  });
  return `<header>
<h1>${escapeHtml(title)}</h1>
<ul class="tiles">${items.join('')}</ul>
</header>`;
}

interface Named {
  readonly name: string;
  readonly values: readonly number[];
}

/** Charts side by side, one a curve, each of the steps that have a value: some losses come every few steps only. */
function charts(prefix: string, step: readonly number[], curves: readonly Named[]): string {
  const figures = curves.map(({ name, values }, i) => {
    const own = step.map((_, k) => k).filter(k => Number.isFinite(values[k]));
    const curve = { name, className: 's1', values: own.map(k => values[k]) };
    const steps = own.map(k => step[k]);
    const chart = lossChart(`${prefix}${i}`, name, steps, [curve], [], { width: 482, height: 210, labels: false });
    return `<figure><h3>${escapeHtml(name)}</h3>${chart}</figure>`;
  });
  return `<div class="pair">\n${figures.join('\n')}\n</div>`;
}

/** A chart and a row of each metric. */
function metricSection({ metrics }: TrainingReport): string {
  if (metrics.length === 0) return '';
  const names = [...new Set(metrics.flatMap(line => Object.keys(line.metrics)))];
  const curves = names.map(name => ({ name, values: metrics.map(line => line.metrics[name] ?? Number.NaN) }));
  const rows = curves.map(({ name, values }) => {
    const finite = values.filter(Number.isFinite);
    const shown = [values[0], Math.min(...finite), Math.max(...finite), values[values.length - 1]];
    return [escapeHtml(name), ...shown.map(formatNumber)];
  });
  return `<h2>Metrics</h2>
<p class="note">Of the average generator, at ${formatNumber(metrics.length)} steps. Names that end in -like(self) are measured with a
network that this project trained, and do not compare with published figures.</p>
${table('lrrrr', ['metric', 'first', 'least', 'greatest', 'last'], rows)}
${charts(
  'metric',
  metrics.map(({ step }) => step),
  curves,
)}`;
}

function lossSection({ log: { step, losses } }: TrainingReport): string {
  const curves = Object.entries(losses).map(([name, values]) => ({ name, values }));
  return `<h2>Losses</h2>
<p class="note">As logged (faint) and as their centred running mean. An axis marked log is logarithmic.</p>
${charts('loss', step, curves)}`;
}
