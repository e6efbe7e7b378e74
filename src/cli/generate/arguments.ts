/** What the texts of wgrad generate's options mean. */
import { UserError } from '../../io/errors.ts';

/** Seeds that one command takes at the most: a slip in a range asks for billions. */
const MAX_SEEDS = 100_000;
const MAX_SEED = 2 ** 32 - 1;

/** '0-7,12' as numbers. @param flag for messages */
export function parseList(flag: string, text: string, most: number = MAX_SEED): number[] {
  const numbers: number[] = [];
  for (const part of text.split(',')) {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    if (first === undefined || Number(last) < Number(first) || Number(last) > most) {
      throw new UserError(`${flag} ${text}: write whole numbers from 0 to ${most} and ranges of them, as 0-7,12`);
    }
    if (numbers.length + Number(last) - Number(first) >= MAX_SEEDS) {
      throw new UserError(`${flag} ${text}: more than ${MAX_SEEDS} at a time are not possible`);
    }
    for (let number = Number(first); number <= Number(last); number++) numbers.push(number);
  }
  return numbers;
}

/** '8x4': 8 columns, 4 rows. */
export function parseGrid(text: string): { columns: number; rows: number } {
  const [, columns, rows] = /^([1-9]\d{0,3})[x×]([1-9]\d{0,3})$/.exec(text) ?? [];
  if (columns === undefined) throw new UserError(`--grid ${text}: write COLUMNSxROWS, as 8x4`);
  return { columns: Number(columns), rows: Number(rows) };
}

/** A table of style mixing: each cell has the latents of its row's seed but for some layers, which its column's has. */
export interface Mixing {
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  readonly layers: readonly number[];
}

/** 'rows=0-3', 'cols=4-7' and 'layers=0-3' in any order. @param latents that the generator takes, of layers */
export function parseMixing(parts: readonly string[], latents: number): Mixing {
  const given = new Map<string, string>();
  for (const part of parts) {
    const [, key, value] = /^(rows|cols|layers)=(.+)$/.exec(part) ?? [];
    if (key === undefined || given.has(key)) {
      throw new UserError(
        `--mix ${parts.join(' ')}: write rows=SEEDS cols=SEEDS layers=LIST, as --mix rows=0-3 cols=4-7 layers=0-3`,
      );
    }
    given.set(key, value);
  }
  const list = (key: string, most?: number) => {
    const text = given.get(key);
    if (text === undefined) throw new UserError(`--mix ${parts.join(' ')}: ${key}= is missing`);
    return parseList(`--mix ${key}`, text, most);
  };
  return { rows: list('rows'), columns: list('cols'), layers: list('layers', latents - 1) };
}
