import { UserError } from '../../io/errors.ts';
import { NumpyArray } from '../../io/numpy.ts';
import { Instance, shown } from '../../io/pickle/values.ts';
import type { StoredTensor } from '../../io/storedTensor.ts';
import { PersistentObject } from '../../io/torch/globals.ts';
import { TorchTensor } from '../../io/torch/tensors.ts';

/** Everything in a file under dotted names, whatever dicts and objects it was packed in. */
export interface Flat {
  /** The file's name, for messages. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Numbers, texts and short lists: settings that were saved with the tensors. */
  readonly settings: ReadonlyMap<string, Setting>;
  /** The texts of a safetensors file. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export type Setting = null | boolean | number | string | readonly Setting[] | { readonly [key: string]: Setting };

const MAX_DEPTH = 32;
const MAX_VALUES = 1_000_000;
/** Characters of a name; those of networks have some dozens. */
const MAX_NAME = 512;
/** Entries of a setting that is a list or a dict, and how deep it may be. */
const MAX_ENTRIES = 256;
const MAX_SETTING_DEPTH = 4;

/**
 * Walks what a reader found: dicts, lists, namespaces, NVlabs' persistent modules (whose parameters, buffers and
 * children get the names that their state dict would give them). What is neither tensor nor setting is passed over.
 *
 * @throws UserError for what is too deep, too much, or shared so often that it is
 */
export function flatten(value: unknown, name: string): Flat {
  const walk = new Walk(name);
  walk.visit(value, '', 0);
  const { tensors, settings } = walk;
  return { name, tensors, settings };
}

class Walk {
  readonly tensors = new Map<string, StoredTensor>();
  readonly settings = new Map<string, Setting>();
  private values = 0;

  constructor(private readonly file: string) {}

  visit(item: unknown, key: string, depth: number): void {
    this.count();
    if (depth > MAX_DEPTH) throw new UserError(`${this.file} is nested deeper than ${MAX_DEPTH} levels`);
    if (item instanceof TorchTensor || item instanceof NumpyArray) {
      this.tensors.set(key, item);
    } else if (item instanceof PersistentObject) {
      this.settings.set(this.below(key, '_class'), item.className);
      this.module(item.state, key, depth);
      for (const field of ['_init_args', '_init_kwargs']) {
        const kept = this.setting(item.state.get(field), 1);
        if (kept !== undefined) this.settings.set(this.below(key, field), kept);
      }
    } else if (item instanceof Instance) {
      if (item.type.startsWith('torch.nn.')) this.module(item.state, key, depth);
      else this.visit(item.state, key, depth + 1);
    } else if (item instanceof Map) {
      for (const [part, entry] of item) this.visit(entry, this.below(key, part), depth + 1);
    } else {
      const kept = this.setting(item, 0);
      if (kept !== undefined) this.settings.set(key, kept);
      else if (Array.isArray(item)) {
        for (const [i, entry] of item.entries()) this.visit(entry, this.below(key, i), depth + 1);
      }
    }
  }

  /** A module's attributes, under the names of its state dict. */
  private module(state: unknown, key: string, depth: number): void {
    if (!(state instanceof Map)) return;
    for (const field of ['_parameters', '_buffers', '_modules']) {
      const parts = state.get(field);
      if (!(parts instanceof Map)) continue;
      for (const [part, entry] of parts) if (entry !== null) this.visit(entry, this.below(key, part), depth + 1);
    }
  }

  private below(key: string, part: unknown): string {
    const own = typeof part === 'string' ? part : shown(part);
    const name = key === '' ? own : `${key}.${own}`;
    if (name.length > MAX_NAME) throw new UserError(`${this.file} has a name of over ${MAX_NAME} characters in it`);
    return name;
  }

  /** A value as JSON can hold it, or undefined for tensors, objects and what is long. */
  private setting(value: unknown, depth: number): Setting | undefined {
    this.count();
    if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
    if (typeof value === 'number') return Number.isFinite(value) ? value : `${value}`;
    if (typeof value === 'bigint') return `${value}`;
    if (depth > MAX_SETTING_DEPTH) return undefined;
    if (Array.isArray(value)) {
      if (value.length > MAX_ENTRIES) return undefined;
      const items = value.map(item => this.setting(item, depth + 1));
      return items.every(item => item !== undefined) ? (items as Setting[]) : undefined;
    }
    return value instanceof Map && depth > 0 ? this.dict(value, depth) : undefined;
  }

  private dict(value: ReadonlyMap<unknown, unknown>, depth: number): Setting | undefined {
    if (value.size > MAX_ENTRIES) return undefined;
    const result: Record<string, Setting> = {};
    for (const [key, item] of value) {
      const kept = this.setting(item, depth + 1);
      if (kept === undefined) return undefined;
      result[shown(key)] = kept;
    }
    return result;
  }

  private count(): void {
    if (++this.values > MAX_VALUES) {
      throw new UserError(`${this.file} has over ${MAX_VALUES} entries, or shares them in a loop`);
    }
  }
}

/** The entries whose names begin with `prefix`, without it. */
export function part<T>(entries: ReadonlyMap<string, T>, prefix: string): Map<string, T> {
  const result = new Map<string, T>();
  for (const [key, entry] of entries) if (key.startsWith(prefix)) result.set(key.slice(prefix.length), entry);
  return result;
}

/** The entries under names with `prefix` before them. */
export function under<T>(prefix: string, entries: Iterable<readonly [string, T]>): [string, T][] {
  return [...entries].map(([key, entry]) => [prefix + key, entry]);
}
