/** What Python's values become: data. Lists and tuples are arrays, dicts are Maps, None is null. */
import { printable } from '../errors.ts';

/** An object of a class that is known as a holder of data: its name and its attributes. */
export class Instance {
  /** Attributes, once they are known. */
  state: unknown = null;

  constructor(
    /** As 'argparse.Namespace'. */
    readonly type: string,
  ) {}
}

/** A value that takes its content after it was made, as Python's `__setstate__`. */
export abstract class Buildable {
  abstract setState(state: unknown): void;
}

/** A class or function that a pickle may name. Calling it makes data; nothing of Python is run. */
export class Callable {
  constructor(
    /** As 'collections.OrderedDict'. */
    readonly name: string,
    readonly call: (args: readonly unknown[]) => unknown,
  ) {}
}

/** The classes and functions that a pickle may name, by their full name; undefined for all that it may not. */
export type Globals = (name: string) => Callable | undefined;

const MAX_SHOWN = 256;

/**
 * A text or number of a file, for names and messages: the beginning of a long one. Lists are not written out: they may
 * hold themselves, or each other so often that their text has no end.
 */
export function shown(value: unknown): string {
  if (value !== null && typeof value === 'object') return Array.isArray(value) ? 'a list' : 'an object';
  const text = printable(String(value));
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/** A dict with texts as keys. */
export type Dict = ReadonlyMap<string, unknown>;

export function isDict(value: unknown): value is Dict {
  if (!(value instanceof Map)) return false;
  for (const key of value.keys()) if (typeof key !== 'string') return false;
  return true;
}
