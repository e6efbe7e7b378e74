/** A tuning for people, on a terminal or in the page. */
import { isCpuDriver } from '../../runtime/adapter.ts';
import { sameVariant, variantText } from '../../runtime/variants.ts';
import type { TunedClass, Tuning } from './tune.ts';

/** The head of the table of classes, whose rows are rowOf's. */
export const head = ['problem', 'times', 'default ms', 'fastest ms', 'variant'];

export function rowOf(tuned: TunedClass): string[] {
  const { name, count, best, before } = tuned;
  const times = timesOf(tuned);
  const numbers = [times.default, times.fastest].map(ms => (ms === undefined ? 'failed' : ms.toFixed(3)));
  const taken = !best ? 'none is right' : sameVariant(best, before) ? 'the default' : variantText(best);
  return [name, String(count), ...numbers, taken];
}

/** Milliseconds that a step's kernels of the classes with both times take with the defaults, and with the fastest. */
export function totalOf(classes: readonly TunedClass[]): { default: number; fastest: number } {
  const total = { default: 0, fastest: 0 };
  for (const tuned of classes) {
    const times = timesOf(tuned);
    if (times.default === undefined || times.fastest === undefined) continue;
    total.default += times.default * tuned.count;
    total.fastest += times.fastest * tuned.count;
  }
  return total;
}

function timesOf({ before, best, measured }: TunedClass): { default?: number; fastest?: number } {
  const ms = (text: string | undefined) => measured.find(({ variant }) => variantText(variant) === text)?.ms;
  return { default: ms(variantText(before)), fastest: best && ms(variantText(best)) };
}

export interface SummaryOptions {
  /** The adapter's name. */
  readonly adapter: string;
  /** Where the variants were put. */
  readonly kept: string;
  /** What measures the classes that were left. */
  readonly more: string;
}

/** What was measured and what it gains, line by line. */
export function summary({ classes, left, known }: Tuning, { adapter, kept, more }: SummaryOptions): string[] {
  const total = totalOf(classes);
  const lines: string[] = [];
  if (classes.length > 0 || known + left.length === 0) {
    lines.push(
      `${counted(classes.length)} of problems: ${total.default.toFixed(1)} ms with the defaults, ${total.fastest.toFixed(1)} ms with the fastest variants`,
    );
  }
  if (known > 0) lines.push(`measured before: ${counted(known)}`);
  if (left.length > 0) lines.push(`not begun, with the variants as they were: ${counted(left.length)}; ${more}`);
  if (classes.length > 0) lines.push(kept);
  if (isCpuDriver(adapter)) lines.push(`${adapter} computes on the CPU: its ranking does not transfer to GPUs`);
  return lines;
}

const counted = (classes: number) => (classes === 1 ? '1 class' : `${classes} classes`);
