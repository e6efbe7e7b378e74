import { escapeHtml } from './html.ts';
import { fittedScale, linearScale, type Scale } from './scale.ts';

/** A curve over steps; gaps where it is not finite. `className` gives its colour. */
export interface Curve {
  name: string;
  className: string;
  values: readonly number[];
}

/** A vertical line at a step. */
export interface Marker {
  step: number;
  label: string;
  className: string;
}

export interface ChartSize {
  width: number;
  height: number;
  /** Markers with their labels above the plot, or lines alone. */
  labels: boolean;
}

const left = 56;
const right = 14;
const bottom = 28;
const topMargin = 10;
const labelHeight = 16;
/** Where what is said of the vertical axis ends, left of the first step's label. */
const unitEnd = left - 26;
/** Mean width of a character of the 11 px labels: enough to keep them apart. */
const characterWidth = 6.1;

/** The class that gives a stage (from 0) its colour; there are five. */
export function stageClass(stage: number): string {
  return `s${(stage % 5) + 1}`;
}

/** Steps of the smoothing window: a fortieth of the curve, odd, and 1 (no smoothing) for the shortest. */
export function smoothingWindow(length: number): number {
  return 2 * Math.floor(length / 80) + 1;
}

/** The centred mean over `window` (odd) values, shorter at both ends; non-finite values are left out and stay gaps. */
export function smooth(values: readonly number[], window: number): number[] {
  const half = (window - 1) / 2;
  const sums = [0];
  const counts = [0];
  for (const [i, value] of values.entries()) {
    const finite = Number.isFinite(value);
    sums.push(sums[i] + (finite ? value : 0));
    counts.push(counts[i] + (finite ? 1 : 0));
  }
  return values.map((value, i) => {
    const from = Math.max(0, i - half);
    const to = Math.min(values.length, i + half + 1);
    return Number.isFinite(value) ? (sums[to] - sums[from]) / (counts[to] - counts[from]) : Number.NaN;
  });
}

/**
 * The path of a curve. Where many values share a pixel column only their least and greatest are drawn, which gives
 * the same picture.
 */
export function path(steps: readonly number[], values: readonly number[], x: Scale, y: Scale): string {
  const parts: string[] = [];
  let pen = 'M';
  let column: number[] = [];
  const flush = () => {
    if (column.length === 0) return;
    const least = column.reduce((a, b) => (values[b] < values[a] ? b : a));
    const greatest = column.reduce((a, b) => (values[b] > values[a] ? b : a));
    const drawn = [...new Set([column[0], least, greatest, column[column.length - 1]])].sort((a, b) => a - b);
    for (const i of drawn) {
      parts.push(`${pen}${x.at(steps[i]).toFixed(1)} ${clampedPixel(y, values[i]).toFixed(1)}`);
      pen = 'L';
    }
    column = [];
  };
  for (let i = 0; i < values.length; i++) {
    const visible = Number.isFinite(values[i]) && (y.kind === 'linear' || values[i] > 0);
    if (!visible) {
      flush();
      pen = 'M';
      continue;
    }
    if (column.length > 0 && Math.floor(x.at(steps[column[0]])) !== Math.floor(x.at(steps[i]))) flush();
    column.push(i);
  }
  flush();
  return parts.join('');
}

/** Far outside the plot all is the same, and the clipping takes it away: no need of huge coordinates. */
function clampedPixel(y: Scale, value: number): number {
  return Math.max(-1000, Math.min(5000, y.at(value)));
}

/** The steps from the first to the last, with some room where there is one alone. */
export function stepScale(steps: readonly number[], width: number): Scale {
  const first = steps[0] ?? 0;
  const last = Math.max(steps[steps.length - 1] ?? 1, first + 1);
  return linearScale(first <= 1 ? 0 : first, last, left, width - right, Math.max(4, Math.round(width / 110)));
}

/**
 * Curves over steps: the raw values faint, their smoothed mean over them, markers as vertical lines.
 * `id` makes the clipping region's name unique in the page.
 */
export function lossChart(
  id: string,
  title: string,
  steps: readonly number[],
  curves: readonly Curve[],
  markers: readonly Marker[],
  size: ChartSize,
): string {
  const x = stepScale(steps, size.width);
  const flags = flagsOf(size.labels ? markers : [], x, size.width);
  const top = topMargin + flags.height;
  const height = size.height + top;
  const y = fittedScale(
    curves.flatMap(({ values }) => values),
    height - bottom,
    top,
  );
  const open = svgOpen(size.width, height, title);
  if (y === null) {
    return `${open}<text class="muted middle" x="${size.width / 2}" y="${height / 2}">no finite values</text></svg>`;
  }
  const lines = curves.flatMap(({ name, className, values }) => {
    const window = smoothingWindow(values.length);
    const raw = path(steps, values, x, y);
    if (raw === '') return [];
    const mean = path(steps, smooth(values, window), x, y);
    const named = `<title>${escapeHtml(name)}</title>`;
    const faint = window === 1 ? '' : `<path class="raw ${className}" d="${raw}"></path>`;
    return [`${faint}<path class="curve ${className}" d="${mean}">${named}</path>`];
  });
  return `${open}
<clipPath id="${id}"><rect x="${left}" y="${top}" width="${size.width - left - right}" height="${height - bottom - top}"></rect></clipPath>
${yAxis(y, size.width)}
${stepAxis(x, height, 'step')}
${markerLines(markers, x, top, height - bottom)}
${flags.svg}
<g clip-path="url(#${id})">${lines.join('\n')}</g>
</svg>`;
}

/** A period of constant stages, for the timeline. */
export interface Period {
  from: number;
  to: number;
  active: number;
  label: string;
  ms: number;
}

/** One lane a stage, filled while the stage is trained, above the time of each step with the median of each period. */
export function timelineChart(
  id: string,
  steps: readonly number[],
  ms: readonly number[],
  periods: readonly Period[],
  markers: readonly Marker[],
  width: number,
): string {
  const stages = Math.max(...periods.map(({ active }) => active));
  const x = stepScale(steps, width);
  const flags = flagsOf(markers, x, width);
  const top = topMargin + flags.height;
  const laneHeight = 17;
  const plotTop = top + stages * laneHeight + 14;
  const height = plotTop + 150 + bottom;
  const highest = Math.max(...periods.map(period => period.ms));
  const y = linearScale(0, highest * 1.3 || 1, height - bottom, plotTop, 5);
  const startOf = (step: number) => x.at(step === steps[0] ? x.low : step);
  const bars = Array.from({ length: stages }, (_, stage) => {
    const own = periods.filter(({ active }) => active > stage);
    const end = Math.max(...own.map(({ to }) => to));
    const begin = Math.min(...own.map(({ from }) => from));
    const rectY = top + stage * laneHeight + 2;
    const [x0, x1] = [startOf(begin), x.at(end)];
    return (
      `<text class="end" x="${left - 8}" y="${rectY + 10}">stage ${stage + 1}</text>` +
      `<rect class="lane" x="${left}" y="${rectY}" width="${width - left - right}" height="13"></rect>` +
      `<rect class="fill ${stageClass(stage)}" x="${x0.toFixed(1)}" y="${rectY}" width="${(x1 - x0).toFixed(1)}" height="13"></rect>`
    );
  });
  const medians = periods.map(({ from, to, ms: median, label }) => {
    const [x0, x1] = [startOf(from), x.at(to)];
    const fits = x1 - x0 > label.length * characterWidth;
    const pixel = y.at(median);
    const text = `<text class="strong middle" x="${((x0 + x1) / 2).toFixed(1)}" y="${(pixel - 7).toFixed(1)}">${escapeHtml(label)}</text>`;
    return `<path class="curve ink" d="M${x0.toFixed(1)} ${pixel.toFixed(1)}H${x1.toFixed(1)}"></path>${fits ? text : ''}`;
  });
  return `${svgOpen(width, height, 'Active stages and time of a step')}
<clipPath id="${id}"><rect x="${left}" y="${plotTop}" width="${width - left - right}" height="150"></rect></clipPath>
${yAxis(y, width)}
${stepAxis(x, height, 'step')}
<text class="end italic" x="${unitEnd}" y="${height - bottom + 17}">ms</text>
${bars.join('\n')}
${markerLines(markers, x, top, height - bottom)}
${flags.svg}
<g clip-path="url(#${id})"><path class="raw ink" d="${path(steps, ms, x, y)}"></path></g>
${medians.join('\n')}
</svg>`;
}

function svgOpen(width: number, height: number, title: string): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}">`;
}

function yAxis(y: Scale, width: number): string {
  const ticks = y.ticks.map(({ value, label }) => {
    const pixel = y.at(value).toFixed(1);
    return (
      `<path class="grid" d="M${left} ${pixel}H${width - right}"></path>` +
      `<text class="end" x="${left - 8}" y="${(Number(pixel) + 3.7).toFixed(1)}">${label}</text>`
    );
  });
  const note = y.kind === 'log' ? `<text class="end italic" x="${unitEnd}" y="${y.at(y.low) + 17}">log</text>` : '';
  return ticks.join('') + note;
}

function stepAxis(x: Scale, height: number, name: string): string {
  const base = height - bottom;
  const end = x.at(x.high);
  // The last label gives way to the name of the axis.
  const ticks = x.ticks.map(({ value, label }) => {
    const pixel = x.at(value);
    const tick = `<path class="tick" d="M${pixel.toFixed(1)} ${base}v4"></path>`;
    if (pixel > end - 24 - label.length * 3) return tick;
    return `${tick}<text class="middle" x="${pixel.toFixed(1)}" y="${base + 17}">${label}</text>`;
  });
  const axis = `<path class="axis" d="M${left} ${base}H${end.toFixed(1)}"></path>`;
  return `${axis}${ticks.join('')}<text class="end italic" x="${end.toFixed(1)}" y="${base + 17}">${name}</text>`;
}

function markerLines(markers: readonly Marker[], x: Scale, top: number, base: number): string {
  return markers
    .map(({ step, label, className }) => {
      const pixel = x.at(step).toFixed(1);
      return `<path class="marker ${className}" d="M${pixel} ${top}V${base}"><title>${escapeHtml(label)}</title></path>`;
    })
    .join('');
}

/**
 * Labels above the plot as flags to the right of their lines (or all to the left, where the last has no room), stacked
 * so that none lies on another or on the line of one: of two that would overlap, the one with its line in the other's
 * way flies lower.
 */
function flagsOf(markers: readonly Marker[], x: Scale, width: number): { height: number; svg: string } {
  const lengthOf = (label: string) => label.length * characterWidth + 10;
  const crowded = markers.some(({ step, label }) => x.at(step) + lengthOf(label) > width);
  const flags = markers.map(({ step, label, className }) => {
    const pixel = x.at(step);
    const length = lengthOf(label);
    const leftward = crowded && pixel > length;
    const from = leftward ? pixel - length : pixel;
    return { pixel, label, className, leftward, from, to: from + length, lane: 0 };
  });
  const rightward = flags.filter(({ leftward }) => !leftward).sort((a, b) => b.pixel - a.pixel);
  const order = [...rightward, ...flags.filter(({ leftward }) => leftward).sort((a, b) => a.pixel - b.pixel)];
  order.forEach((flag, i) => {
    const overlapping = order.slice(0, i).filter(other => other.from < flag.to && flag.from < other.to);
    flag.lane = Math.max(0, ...overlapping.map(({ lane }) => lane + 1));
  });
  const lanes = Math.max(0, ...flags.map(({ lane }) => lane + 1));
  const height = lanes * labelHeight;
  const svg = flags.map(({ pixel, label, className, leftward, lane }) => {
    const y = height - lane * labelHeight;
    const stem = `<path class="marker ${className}" d="M${pixel.toFixed(1)} ${y - 9}V${topMargin + height}"></path>`;
    const anchor = leftward ? 'end' : '';
    const start = (pixel + (leftward ? -5 : 5)).toFixed(1);
    return `${stem}<text class="label ${anchor} ${className}" x="${start}" y="${y}">${escapeHtml(label)}</text>`;
  });
  return { height, svg: svg.join('') };
}
