/** What Python's values become: data. Lists and tuples are arrays, dicts are Maps, None is null. */

/** An object of a class that is known as a holder of data: its name, what it was made with, and its attributes. */
export class Instance {
  /** Attributes, once they are known. */
  state: unknown = null;

  constructor(
    /** As 'argparse.Namespace'. */
    readonly type: string,
    readonly args: readonly unknown[],
  ) {}

  /** The attribute of that name, or undefined. */
  get(name: string): unknown {
    return this.state instanceof Map ? this.state.get(name) : undefined;
  }
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

/** A dict with texts as keys. */
export type Dict = ReadonlyMap<string, unknown>;

export function isDict(value: unknown): value is Dict {
  if (!(value instanceof Map)) return false;
  for (const key of value.keys()) if (typeof key !== 'string') return false;
  return true;
}

/** Whole numbers from 0 on. */
export function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
