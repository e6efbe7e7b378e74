import { UserError } from '../../io/errors.ts';
import type { Ceilings } from '../../runtime/measure.ts';
import type { Outcome } from './check.ts';

/** Times that were saved, to be compared with. */
export interface Baseline {
  readonly adapter: string;
  readonly kernel: string;
  readonly shape: string;
  /** Milliseconds by variant. */
  readonly times: Readonly<Record<string, number>>;
}

export function baselineOf({ kernel, shape, rows }: Outcome, adapter: string): Baseline {
  const times = rows.flatMap(({ variant, ms }) => (ms === undefined ? [] : [[variant, ms] as const]));
  return { adapter, kernel, shape, times: Object.fromEntries(times) };
}

/** @throws UserError where the text is no baseline */
export function parseBaseline(text: string, where: string): Baseline {
  try {
    const { adapter, kernel, shape, times } = JSON.parse(text) as Baseline;
    const isOne = [adapter, kernel, shape].every(one => typeof one === 'string') && typeof times === 'object' && times;
    if (isOne && Object.values(times).every(Number.isFinite)) return { adapter, kernel, shape, times };
  } catch {
    // said below
  }
  throw new UserError(`--against ${where}: not a file that wgrad kernel --save wrote`);
}

/** The table of an outcome, fastest first. */
export function outcomeText(
  outcome: Outcome,
  adapter: string,
  { arithmetic, bandwidth }: Ceilings,
  baseline?: Baseline,
): string {
  const { kernel, shape, flop, bytes, rows, compared } = outcome;
  const size = `${(flop / 1e9).toPrecision(3)} GFLOP, ${(bytes / 1e6).toPrecision(3)} MB`;
  const lines = [
    `${kernel} ${shape} on ${adapter}: ${size}; at most ${arithmetic.toFixed(1)} GFLOP/s and ${bandwidth.toFixed(1)} GB/s`,
    compared > 0 ? `${compared} elements compared with the formula` : 'no formula to compare with: all must be finite',
  ];
  if (baseline && baseline.adapter !== adapter) lines.push(`the baseline is of another adapter: ${baseline.adapter}`);
  const width = Math.max(...rows.map(({ variant }) => variant.length), 7);
  lines.push(
    '',
    `${'variant'.padEnd(width)}        ms   GFLOP/s      GB/s  of roofline${baseline ? '  to baseline' : ''}`,
  );
  for (const { variant, ms } of [...rows].sort((a, b) => (a.ms ?? Infinity) - (b.ms ?? Infinity))) {
    if (ms === undefined) continue;
    const [gflops, gbps] = [flop / ms / 1e6, bytes / ms / 1e6];
    const share = 100 * Math.max(gflops / arithmetic, gbps / bandwidth);
    const before = baseline?.times[variant];
    const change = !baseline ? '' : `  ${(before ? `${(ms / before).toFixed(2)} x` : 'new').padStart(11)}`;
    const cells = [ms.toFixed(3), gflops.toFixed(2), gbps.toFixed(2)].map(text => text.padStart(8)).join('  ');
    const mark = variant === outcome.default ? '  default' : '';
    lines.push(`${variant.padEnd(width)}  ${cells}  ${share.toFixed(0).padStart(9)} %${change}${mark}`);
  }
  for (const { variant, failure } of rows) if (failure) lines.push('', `${variant}: ${failure}`);
  return lines.join('\n');
}
