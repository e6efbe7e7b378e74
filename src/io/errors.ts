/**
 * An error of the user's input, not of the program: its message is one line that says what is wrong, where, and what
 * to do. The command prints the line alone and exits with code 2; the page shows it as it is.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
}

/** What a file says, as a terminal may show it: without ends of lines, and whatever else moves its cursor. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?');
}

/** Whether a device or the host had no memory left, as the drivers' and browsers' wordings have it. */
export function isOutOfMemory(error: unknown): error is Error {
  return error instanceof Error && /out of memory|maxBufferSize|allocation/i.test(error.message);
}
