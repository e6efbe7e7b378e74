import { UserError } from '../../io/errors.ts';
import type { Shape } from '../../runtime/shape.ts';

/** What --shape says: shapes, and numbers by their letter. */
export interface Spec {
  readonly shapes: readonly Shape[];
  readonly numbers: Readonly<Record<string, readonly number[]>>;
}

/**
 * Reads a text such as `4x64x64x64,64x64x3x3,s2,p1x0,half`: shapes, then numbers behind their letters, and words, which
 * are letters without a number.
 * @param letters those that the kernel knows
 */
export function parseShape(text: string, count: number, letters: readonly string[]): Spec {
  const shapes: Shape[] = [];
  const numbers: Record<string, number[]> = {};
  for (const part of text.split(',')) {
    const [, letter, sizes] = /^([a-z]*)(\d+(?:x\d+)*)?$/.exec(part) ?? [];
    const values = (sizes ?? '').split('x').filter(Boolean).map(Number);
    if (letter && letters.includes(letter)) numbers[letter] = values;
    else if (letter === '' && values.length > 0 && values.every(size => size > 0)) shapes.push(values);
    else {
      const known = letters.length > 0 ? ` and ${letters.join(', ')}` : '';
      throw new UserError(`--shape ${text}: '${part}' is not possible; there are sizes as 4x64x64x64${known}`);
    }
  }
  if (shapes.length !== count) throw new UserError(`--shape ${text}: give ${count} shapes, not ${shapes.length}`);
  return { shapes, numbers };
}

/** One or two numbers of a letter as a pair. */
export function pairOf({ numbers }: Spec, letter: string, fallback: number): [number, number] {
  const [first = fallback, second = first] = numbers[letter] ?? [];
  return [first, second];
}

/** @throws UserError where sizes do not fit */
export function demand(condition: boolean, what: string): asserts condition {
  if (!condition) throw new UserError(`--shape: ${what}`);
}
