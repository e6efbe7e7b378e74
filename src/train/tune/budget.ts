import { UserError } from '../../io/errors.ts';

/** Seconds of measuring where the user does not say how many. */
export const BUDGET = 120;

/** The seconds of measuring that a user gave. @param what names them, for the message @throws UserError unless over 0 */
export function parseBudget(text: string, what: string): number {
  const seconds = Number(text);
  if (seconds > 0 && Number.isFinite(seconds)) return seconds;
  throw new UserError(`${what} ${text.trim() || "''"} is not possible; give seconds over 0`);
}
