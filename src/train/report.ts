import type { AbortionOptions } from './abortionPresets.ts';
import type { DecileFiring, FirstFiring } from './abortionShadow.ts';
import { abortionSection, savingSection } from './report/abortionSection.ts';
import { lossChart, type Marker, type Period, stageClass, timelineChart } from './report/chart.ts';
import { escapeHtml, formatMilliseconds, formatNumber, formatPercent, table } from './report/html.ts';
import { page, settings, wallTime } from './report/page.ts';
import { activePeriods } from './report/periods.ts';

/** All that the report shows of a run: plain data, losses as they were logged. */
export interface RunReport {
  title: string;
  /** One sentence: what was trained, on what. */
  subtitle: string;
  /** Wall-clock time of the training, in seconds. */
  wallSeconds: number;
  /** The adapter as `wgrad doctor` prints it, by name. */
  adapter: Record<string, string>;
  /** The configuration that repeats the run; nested objects are shown with dotted names. */
  config: Record<string, unknown>;
  /** One entry a step in each array. */
  log: { step: readonly number[]; active: readonly number[]; msPerStep: readonly number[] };
  /** The terms of the loss, in the order of the charts; `name` is the key in StageLosses.terms. */
  terms: readonly { name: string; title: string; weight: number }[];
  /** The losses of stage 1, 2, …: one value a step, NaN where the stage was not active. */
  stages: readonly StageLosses[];
  abortion: AbortionReport;
  reconstructions: { step: number; rows: readonly ReconstructionRow[] };
  /**
   * `description` is one sentence: on what they were measured. `resultStage` (from 1) is the stage whose output is the
   * run's result.
   */
  metrics: { description: string; resultStage: number; rows: readonly MetricRow[] };
}

export interface StageLosses {
  total: readonly number[];
  /** Each unweighted, by the name of the term. */
  terms: Record<string, readonly number[]>;
}

/** What took stages away, and what would have. */
export interface AbortionReport {
  /** The preset that the run obeyed, with its options; preset 'off' for none. */
  preset: string;
  options: AbortionOptions;
  drops: readonly Drop[];
  /** How often the obeyed monitor fired with no stage left to drop. */
  floorFirings: number;
  /** How often it fired so near the end of the run that no step was left to train without the stage. */
  lateFirings: number;
  /** Of the monitors that the run did not obey; observation n is the n-th step of the log. */
  firstFirings: readonly FirstFiring[];
  deciles: readonly DecileFiring[];
}

export interface Drop {
  kind: 'obeyed' | 'scheduled';
  /** The step whose loss decided it, and the first step without the stage. */
  decisionStep: number;
  effectiveStep: number;
  from: number;
  to: number;
}

/** A row of pictures, one a face, in the same order in each row. */
export interface ReconstructionRow {
  label: string;
  note?: string;
  /** PNG images as data URIs. */
  images: readonly string[];
}

export interface Statistic {
  mean: number;
  std?: number;
}

/** A metric over the held-out images; `stages[k]` is that of the output of stage k + 1. */
export interface MetricRow {
  name: string;
  better: 'lower' | 'higher';
  baseline: Statistic;
  stages: readonly Statistic[];
}

/** The report as one HTML page without external resources or scripts; the same data give the same page. */
export function renderReport(run: RunReport): string {
  const periods = activePeriods(run.log);
  const markers = dropMarkers(run);
  const sections = [
    header(run, periods),
    reconstructionSection(run),
    lossSection(run, markers),
    timelineSection(run, periods, markers),
    metricSection(run),
    abortionSection(run),
    savingSection(run, periods),
    settings(run),
  ];
  return page(run.title, sections);
}

function header(run: RunReport, periods: Period[]): string {
  const steps = run.log.step.length;
  const first = periods[0];
  const last = periods[periods.length - 1];
  const tiles: [string, string, string][] = [];
  const metric = run.metrics.rows[0];
  const result = metric?.stages[run.metrics.resultStage - 1];
  if (metric && result) {
    const part = formatPercent(result.mean / metric.baseline.mean);
    tiles.push([`Held-out ${metric.name}`, formatNumber(result.mean), `${part} of the mean latent’s`]);
  }
  if (first && last) {
    const by = (kind: Drop['kind']) => run.abortion.drops.filter(drop => drop.kind === kind).length;
    const dropped = `drops: ${by('obeyed')} monitor, ${by('scheduled')} schedule`;
    tiles.push(['Active stages at the end', `${last.active} of ${first.active}`, dropped]);
    const before =
      last.active < first.active ? `${formatMilliseconds(first.ms)} with ${first.active} stages` : 'median';
    tiles.push(['Time of a step', formatMilliseconds(last.ms), before]);
  }
  tiles.push(['Steps', formatNumber(steps), `in ${wallTime(run.wallSeconds)}`]);
  const items = tiles.map(tile => {
    const [name, value, note] = tile.map(escapeHtml);
    return `<li><span>${name}</span><b>${value}</b><span>${note}</span></li>`;
  });
  return `<header>
<h1>${escapeHtml(run.title)}</h1>
<p class="subtitle">${escapeHtml(run.subtitle)}</p>
<ul class="tiles">${items.join('')}</ul>
</header>`;
}

function reconstructionSection({ reconstructions: { step, rows } }: RunReport): string {
  if (rows.length === 0) return '';
  const columns = Math.max(...rows.map(({ images }) => images.length));
  const cells = rows.map(({ label, note, images }) => {
    const pictures = images.map((image, i) => {
      if (!/^data:image\/png;base64,[A-Za-z0-9+/]+=*$/.test(image)) {
        throw new TypeError(`report: picture ${i + 1} of '${label}' is not a PNG data URI`);
      }
      return `<img src="${image}" alt="${escapeHtml(label)}, face ${i + 1}">`;
    });
    const small = note === undefined ? '' : `<small>${escapeHtml(note)}</small>`;
    return `<span class="label">${escapeHtml(label)}${small}</span><div>${pictures.join('')}</div>`;
  });
  return `<h2>Reconstructions</h2>
<p class="note">Held-out faces and what each stage makes of them, at step ${formatNumber(step)}.</p>
<div class="faces" style="--columns: ${columns}">
${cells.join('\n')}
</div>`;
}

function lossSection(run: RunReport, markers: Marker[]): string {
  const { step } = run.log;
  const curves = (values: (stage: StageLosses) => readonly number[]) =>
    run.stages.map((stage, i) => ({ name: `stage ${i + 1}`, className: stageClass(i), values: values(stage) }));
  const total = lossChart(
    'total',
    'Total loss of each stage',
    step,
    curves(stage => stage.total),
    markers,
    {
      width: 1000,
      height: 330,
      labels: true,
    },
  );
  const terms = run.terms.map(({ name, title, weight }, i) => {
    const own = curves(stage => stage.terms[name] ?? []);
    const chart = lossChart(`term${i}`, title, step, own, markers, { width: 482, height: 210, labels: false });
    return `<figure><h3>${escapeHtml(title)} <span class="note">× ${weight}</span></h3>${chart}</figure>`;
  });
  const stageKeys = run.stages.map((_, i) =>
    key(`<path class="curve ${stageClass(i)}" d="M1 6H23"></path>`, `stage ${i + 1}`),
  );
  const kinds = [
    ['obeyed', 'stage dropped by the monitor that the run obeys'],
    ['scheduled', 'stage dropped by schedule, to measure'],
    ['shadow', 'first firing of a monitor that is not obeyed'],
  ].filter(([kind]) => markers.some(({ className }) => className === kind));
  const kindKeys = kinds.map(([kind, text]) => key(`<path class="marker ${kind}" d="M1 6H23"></path>`, text));
  return `<h2>Losses</h2>
<p class="note">Training losses of each stage’s output, as logged (faint) and as their centred running mean. An axis marked
log is logarithmic.</p>
<ul class="legend">${[...stageKeys, ...kindKeys].join('')}</ul>
<figure class="wide"><h3>Total, weighted</h3>${total}</figure>
<div class="pair">
${terms.join('\n')}
</div>`;
}

function timelineSection(run: RunReport, periods: Period[], markers: Marker[]): string {
  if (periods.length === 0) return '';
  const { step, msPerStep } = run.log;
  return `<h2>Active stages and time of a step</h2>
<p class="note">Above, the stages that were trained; below, the time of each step (faint) and the median of each period.</p>
<figure class="wide">${timelineChart('timeline', step, msPerStep, periods, markers, 1000)}</figure>`;
}

function metricSection({ metrics: { description, resultStage, rows } }: RunReport): string {
  if (rows.length === 0) return '';
  const stages = Math.max(...rows.map(row => row.stages.length));
  const numbers = (stage: number) =>
    `stage ${stage + 1}${stage + 1 === resultStage && stages > 1 ? ', the result' : ''}`;
  const head = [
    'Metric',
    '',
    'mean latent',
    ...Array.from({ length: stages }, (_, i) => numbers(i)),
    'result : mean latent',
  ];
  const body = rows.map(({ name, better, baseline, stages: own }) => {
    const result = own[resultStage - 1];
    const wins = result && (better === 'lower' ? result.mean < baseline.mean : result.mean > baseline.mean);
    // A share of a baseline near zero, or below it, says nothing.
    const share = result ? result.mean / baseline.mean : Number.NaN;
    const ratio = share >= 0 && share < 10 ? formatPercent(share) : '–';
    return [
      escapeHtml(name),
      `<small>${better} is better</small>`,
      statistic(baseline),
      ...Array.from({ length: stages }, (_, i) => (own[i] ? statistic(own[i]) : '–')),
      wins ? `<span class="better">${ratio}</span>` : ratio,
    ];
  });
  return `<h2>Metrics on held-out images</h2>
<p class="note">${escapeHtml(description)} Mean ± standard deviation over the images. The baseline answers every face with
the generator’s mean latent.</p>
${table(`ll${'r'.repeat(stages + 2)}`, head, body)}`;
}

function dropMarkers({ abortion, log }: RunReport): Marker[] {
  const drops = abortion.drops.map(({ kind, effectiveStep, from, to }) => ({
    step: effectiveStep,
    label: `${kind === 'obeyed' ? abortion.preset : 'scheduled'} ${from} → ${to}`,
    className: kind,
  }));
  const shadows = abortion.firstFirings.flatMap(({ name, observation }) =>
    observation === null
      ? []
      : [{ step: log.step[observation - 1], label: `${name}, not obeyed`, className: 'shadow' }],
  );
  return [...drops, ...shadows];
}

function statistic({ mean, std }: Statistic): string {
  return std === undefined ? formatNumber(mean) : `${formatNumber(mean)} <small>± ${formatNumber(std)}</small>`;
}

function key(svg: string, text: string): string {
  return `<li><svg viewBox="0 0 24 12" aria-hidden="true">${svg}</svg>${escapeHtml(text)}</li>`;
}
