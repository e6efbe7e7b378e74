/** What the options of a verb take as values. */
import { UserError } from '../io/errors.ts';

/** A number between two others, both possible. @param flag for messages */
export function parseNumber(flag: string, text: string, least: number, most: number, { whole = false } = {}): number {
  const value = Number(text.trim() || Number.NaN);
  if (!(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
    throw new UserError(
      `${flag} ${text} is not possible; give a ${whole ? 'whole ' : ''}number from ${least} to ${most}`,
    );
  }
  return value;
}

/** One of some words. @param flag for messages */
export function parseChoice<T extends string>(flag: string, text: string, choices: readonly T[]): T {
  const found = choices.find(choice => choice === text);
  if (found === undefined) throw new UserError(`${flag} ${text} is not possible; give ${choices.join(', ')}`);
  return found;
}
