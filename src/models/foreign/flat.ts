import { UserError } from '../../io/errors.ts';
import { NumpyArray } from '../../io/numpy.ts';
import { Instance } from '../../io/pickle/values.ts';
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
const MAX_NAMES = 1_000_000;

/**
 * Walks what a reader found: dicts, lists, namespaces, NVlabs' persistent modules (whose parameters, buffers and
 * children get the names that their state dict would give them). What is neither tensor nor setting is passed over.
 */
export function flatten(value: unknown, name: string): Flat {
  const tensors = new Map<string, StoredTensor>();
  const settings = new Map<string, Setting>();
  let visited = 0;
  const visit = (item: unknown, key: string, depth: number): void => {
    if (++visited > MAX_NAMES) throw new UserError(`${name} has over ${MAX_NAMES} entries, or shares them in a loop`);
    if (depth > MAX_DEPTH) throw new UserError(`${name} is nested deeper than ${MAX_DEPTH} levels`);
    const below = (part: unknown) => (key === '' ? `${part}` : `${key}.${part}`);
    if (item instanceof TorchTensor || item instanceof NumpyArray) {
      tensors.set(key, item);
    } else if (item instanceof PersistentObject) {
      settings.set(below('_class'), item.className);
      visitModule(item.state, key, depth, visit, below);
      for (const field of ['_init_args', '_init_kwargs']) {
        const kept = setting(item.state.get(field), 1);
        if (kept !== undefined) settings.set(below(field), kept);
      }
    } else if (item instanceof Instance) {
      if (item.type.startsWith('torch.nn.')) visitModule(item.state, key, depth, visit, below);
      else visit(item.state, key, depth + 1);
    } else if (item instanceof Map) {
      for (const [part, entry] of item) visit(entry, below(part), depth + 1);
    } else {
      const kept = setting(item);
      if (kept !== undefined) settings.set(key, kept);
      else if (Array.isArray(item)) {
        for (const [i, entry] of item.entries()) visit(entry, below(i), depth + 1);
      }
    }
  };
  visit(value, '', 0);
  return { name, tensors, settings };
}

/** The tensors of a module's attributes, under the names of its state dict. */
function visitModule(
  state: unknown,
  _key: string,
  depth: number,
  visit: (item: unknown, key: string, depth: number) => void,
  below: (part: unknown) => string,
): void {
  if (!(state instanceof Map)) return;
  for (const field of ['_parameters', '_buffers', '_modules']) {
    const parts = state.get(field);
    if (!(parts instanceof Map)) continue;
    for (const [part, entry] of parts) if (entry !== null) visit(entry, below(part), depth + 1);
  }
}

/** A value as JSON can hold it, or undefined for tensors, objects and what is long. */
function setting(value: unknown, depth = 0): Setting | undefined {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : `${value}`;
  if (typeof value === 'bigint') return `${value}`;
  if (depth > 4) return undefined;
  if (Array.isArray(value)) {
    if (value.length > 256) return undefined;
    const items = value.map(item => setting(item, depth + 1));
    return items.every(item => item !== undefined) ? (items as Setting[]) : undefined;
  }
  if (value instanceof Map && depth > 0) return settingsOf(value, depth);
  return undefined;
}

function settingsOf(value: ReadonlyMap<unknown, unknown>, depth: number): Setting | undefined {
  if (value.size > 256) return undefined;
  const result: Record<string, Setting> = {};
  for (const [key, item] of value) {
    const kept = setting(item, depth + 1);
    if (kept === undefined) return undefined;
    result[String(key)] = kept;
  }
  return result;
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
