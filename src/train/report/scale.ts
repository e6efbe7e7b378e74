import { formatNumber, superscript } from './html.ts';

/** A mapping of values to pixels, with the ticks that suit it. */
export interface Scale {
  kind: 'linear' | 'log';
  low: number;
  high: number;
  ticks: { value: number; label: string }[];
  /** The pixel of a value, not clamped. */
  at(value: number): number;
}

/** The step 1, 2 or 5 times a power of ten that comes nearest to dividing `span` into `count` parts. */
export function niceStep(span: number, count: number): number {
  const power = Math.floor(Math.log10(span / count));
  const rest = span / count / 10 ** power;
  // The bounds are the geometric means of neighbours.
  const factor = rest < Math.sqrt(2) ? 1 : rest < Math.sqrt(10) ? 2 : rest < Math.sqrt(50) ? 5 : 10;
  return Number(`${factor}e${power}`);
}

/** A linear scale from exactly `low` to `high`, ticks at round values between. */
export function linearScale(low: number, high: number, from: number, to: number, count: number): Scale {
  const step = niceStep(high - low, count);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    const value = i * step;
    const label = decimals === 0 || step < 1e-4 ? formatNumber(value) : value.toFixed(decimals).replace('-', '−');
    ticks.push({ value, label });
  }
  const at = (value: number) => from + ((value - low) / (high - low)) * (to - from);
  return { kind: 'linear', low, high, ticks, at };
}

function logScale(low: number, high: number, from: number, to: number): Scale {
  const decades = Math.log10(high / low);
  const factors = decades > 3 ? [1] : decades > 1.5 ? [1, 2, 5] : [1, 2, 3, 5];
  const every = Math.ceil(decades / 8);
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    if (factors.length === 1 && power % every !== 0) continue;
    for (const factor of factors) {
      const value = Number(`${factor}e${power}`);
      if (value < low * 0.999 || value > high * 1.001) continue;
      const label =
        power < -3 || power > 4 ? `${factor === 1 ? '' : `${factor}·`}10${superscript(power)}` : String(value);
      ticks.push({ value, label });
    }
  }
  const at = (value: number) => from + (Math.log(value / low) / Math.log(high / low)) * (to - from);
  return { kind: 'log', low, high, ticks, at };
}

/**
 * The scale that shows the values best: logarithmic where positive values span more than a factor of eight, else
 * linear, from zero unless all lie close together. Outliers (0.5 % on each side) do not stretch it. Null without a
 * finite value.
 */
export function fittedScale(values: readonly number[], from: number, to: number): Scale | null {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return null;
  const low = sorted[Math.floor((sorted.length - 1) * 0.005)];
  const high = sorted[Math.ceil((sorted.length - 1) * 0.995)];
  if (low > 0 && high / low > 8) return logScale(low * 0.93, high * 1.07, from, to);
  let bottom = low >= 0 && low < 0.5 * high ? 0 : low - 0.06 * (high - low);
  let top = high + 0.06 * (high - bottom);
  if (!(top > bottom)) {
    const margin = Math.abs(high) * 0.1 || 1;
    bottom = low - margin;
    top = high + margin;
  }
  return linearScale(bottom, top, from, to, 5);
}
