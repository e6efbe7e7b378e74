/**
 * PyTorch's files: the zip that torch.save writes since 1.6 (NAME/data.pkl and one entry a storage), the format before
 * it (five pickles, then the storages), and plain pickles as NVlabs' .pkl. Tensors come as places in the file.
 */
import { UserError } from '../errors.ts';
import type { RandomAccess } from '../folder.ts';
import { readPickle } from '../pickle/reader.ts';
import { type Globals, shown } from '../pickle/values.ts';
import { FileRange } from '../ranges.ts';
import { BYTES_PER_ELEMENT, isCount } from '../storedTensor.ts';
import { readZip, type ZipEntry } from '../zip.ts';
import { type Embedded, torchGlobals } from './globals.ts';
import { StorageType, TorchStorage, type TorchTensor } from './tensors.ts';

const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;

/** A file's tensors may have so many times the file's bytes, for storages that several tensors share. */
const MAX_GROWTH = 16;

/** Which of these formats a file has. */
export function torchFormat(head: Uint8Array): 'zip' | 'pickle' | 'tar' | undefined {
  const text = String.fromCharCode(...head.subarray(0, 512));
  if (text.startsWith('PK\x03\x04')) return 'zip';
  if (text.slice(257, 262) === 'ustar') return 'tar';
  // A protocol, or the first operations of protocols 0 and 1.
  return head[0] === 0x80 || /^[(}\])cl]/.test(text) ? 'pickle' : undefined;
}

/**
 * The value in a PyTorch or NVlabs file, with TorchTensor and PersistentObject where those are. Nothing of it is
 * executed.
 *
 * @throws UserError for what is no whole file, or names classes and functions that hold no weights
 */
export async function readTorch(file: RandomAccess, name: string): Promise<unknown> {
  const format = torchFormat(await file.read(0, 512));
  if (format === 'zip') return readArchive(file, await readZip(file, name), name);
  if (format === 'pickle') return readPickles(file, name, true);
  throw new UserError(
    format === 'tar'
      ? `${name} is a tar, as PyTorch before 0.1.10 wrote them: load it with torch.load and save it again`
      : `${name} is no file of weights that is known: neither of PyTorch, NVlabs, NumPy nor safetensors`,
  );
}

/** The tensors and embedded files that a pickle's table of globals meets, to be looked at when it has been read. */
class Found {
  private readonly tensors: TorchTensor[] = [];
  private readonly embedded: Embedded[] = [];
  readonly globals: Globals = torchGlobals({
    tensor: tensor => this.tensors.push(tensor),
    embedded: file => this.embedded.push(file),
  });

  constructor(
    private readonly file: RandomAccess,
    private readonly name: string,
  ) {}

  /** Finds the embedded storages, and checks that each tensor lies in its own. */
  async finish(): Promise<void> {
    for (const { file, storage } of this.embedded) {
      const inner = await readPickles(file, this.name, false);
      if (!(inner instanceof TorchStorage)) throw new UserError(`${this.name} embeds a file that is no storage`);
      storage.dtype = inner.dtype;
      storage.count = inner.count;
      storage.place = inner.place;
    }
    let bytes = 0;
    for (const tensor of this.tensors) {
      try {
        tensor.check();
      } catch (error) {
        throw error instanceof UserError ? new UserError(`${this.name} ${error.message}`) : error;
      }
      bytes += tensor.shape.reduce((a, b) => a * b, BYTES_PER_ELEMENT[tensor.dtype]);
    }
    if (bytes > MAX_GROWTH * this.file.size + (1 << 20)) {
      throw new UserError(
        `${this.name} holds tensors of ${bytes} bytes in ${this.file.size}: its storages are shared too often`,
      );
    }
  }
}

async function readArchive(file: RandomAccess, entries: readonly ZipEntry[], name: string): Promise<unknown> {
  const pickle = entries.find(entry => /^[^/]+\/data\.pkl$/.test(entry.name));
  if (!pickle) throw new UserError(`${name} is a zip, but not of PyTorch: it has no data.pkl`);
  const root = pickle.name.slice(0, -'data.pkl'.length);
  const byName = new Map(entries.map(entry => [entry.name, entry]));
  if (byName.has(`${root}constants.pkl`)) {
    throw new UserError(`${name} is a TorchScript program: save its state_dict() with torch.save instead`);
  }
  const order = byName.get(`${root}byteorder`);
  if (order && new TextDecoder().decode(await order.read()) === 'big') throw bigEndian(name);

  const storages = new Map<string, TorchStorage>();
  const persistent = (id: unknown) => {
    const { type, key, count } = storageId(id);
    return share(storages, key, type, count);
  };
  const found = new Found(file, name);
  const { file: text, check } = await pickle.open();
  await check();
  const { value } = await readPickle(text, { name, globals: found.globals, persistent });
  for (const [key, storage] of storages) {
    const entry = byName.get(`${root}data/${key}`);
    if (!entry) throw new UserError(`${name} is incomplete: there is no ${root}data/${key} in it`);
    if (entry.size !== storage.bytes) {
      throw new UserError(`${name}: ${entry.name} has ${entry.size} bytes, its tensors want ${storage.bytes}`);
    }
    storage.place = await entry.open();
  }
  await found.finish();
  return value;
}

/** A plain pickle, or the five pickles of the legacy format and the storages behind them. */
async function readPickles(file: RandomAccess, name: string, embedding: boolean): Promise<unknown> {
  const storages = new Map<string, TorchStorage>();
  const found = new Found(file, name);
  const globals: Globals = wanted => {
    if (!embedding && wanted === 'torch.storage._load_from_bytes')
      throw new UserError('embeds a file in an embedded one');
    return found.globals(wanted);
  };
  const read = (offset: number, persistent?: (id: unknown) => unknown) =>
    readPickle(file, { name, globals, persistent, offset });
  const first = await read(0);
  if (first.value !== LEGACY_MAGIC) {
    await found.finish();
    return first.value;
  }
  const protocol = await read(first.end);
  if (protocol.value !== LEGACY_PROTOCOL)
    throw new UserError(`${name} is of PyTorch's format ${shown(protocol.value)}, wanted ${LEGACY_PROTOCOL}`);
  const system = await read(protocol.end);
  if (system.value instanceof Map && system.value.get('little_endian') === false) throw bigEndian(name);
  const body = await read(system.end, id => {
    // A module's class, with its source text.
    if (Array.isArray(id) && id[0] === 'module') return id[1];
    const { type, key, count, view } = storageId(id);
    if (view !== null && view !== undefined)
      throw new UserError('has views of storages, as PyTorch before 0.4 wrote them');
    return share(storages, key, type, count);
  });
  const keys = await read(body.end);
  await placeStorages(file, name, storages, keys);
  await found.finish();
  return body.value;
}

/** The storages lie behind the pickles in the order of their keys, each with its number of elements before it. */
async function placeStorages(
  file: RandomAccess,
  name: string,
  storages: ReadonlyMap<string, TorchStorage>,
  { value: keys, end }: { value: unknown; end: number },
): Promise<void> {
  if (!Array.isArray(keys)) throw new UserError(`${name} is damaged: the list of its storages is missing`);
  let at = end;
  for (const key of keys) {
    const storage = storages.get(shown(key));
    if (!storage) throw new UserError(`${name} is damaged: nothing is known of its storage ${shown(key)}`);
    const head = await file.read(at, 8);
    if (head.length < 8) throw truncated(name);
    const count = Number(new DataView(head.buffer, head.byteOffset).getBigInt64(0, true));
    if (count !== storage.count) {
      throw new UserError(
        `${name} is damaged: storage ${key} has ${count} elements, its tensors want ${storage.count}`,
      );
    }
    if (at + 8 + storage.bytes > file.size) throw truncated(name);
    const start = at + 8;
    storage.place = { file: new FileRange(file, start, storage.bytes) };
    at = start + storage.bytes;
  }
  for (const [key, { place }] of storages) {
    if (!place) throw new UserError(`${name} is damaged: its storage ${key} is missing`);
  }
}

/** ('storage', type, key, location, count[, view]) */
function storageId(id: unknown): { type: StorageType; key: string; count: number; view: unknown } {
  const [kind, type, key, , count, view] = Array.isArray(id) ? id : [];
  if (kind !== 'storage' || !(type instanceof StorageType) || !isCount(count)) {
    throw new UserError('names something outside of the file that is no storage');
  }
  return { type, key: shown(key), count, view };
}

/** One storage for each key, however often it is named. */
function share(storages: Map<string, TorchStorage>, key: string, { dtype }: StorageType, count: number): TorchStorage {
  const known = storages.get(key) ?? new TorchStorage(dtype, count);
  if (known.dtype !== dtype || known.count !== count) {
    throw new UserError(`names the storage ${key} as ${count} ${dtype} and as ${known.count} ${known.dtype}`);
  }
  storages.set(key, known);
  return known;
}

const bigEndian = (name: string) =>
  new UserError(`${name} was written on a big-endian machine: save it on another one`);

const truncated = (name: string) => new UserError(`${name} is truncated: its last storages are missing`);
