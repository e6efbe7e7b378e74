/**
 * Zip files written as their entries come, stored, of any size (PKWARE's APPNOTE.TXT: data descriptors, ZIP64), so that
 * nothing has to be in memory.
 */
import { crc32 } from './crc.ts';

export interface StreamEntry {
  readonly name: string;
  /** In bytes, as `chunks` will give. */
  readonly size: number;
  chunks(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Entries begin at a multiple of this, so that readers can map them into memory, as PyTorch's. */
const ALIGNMENT = 64;
const MAX_U32 = 0xffffffff;

/** The pieces of a zip of these entries. */
export async function* streamZip(entries: readonly StreamEntry[]): AsyncGenerator<Uint8Array> {
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const entry of entries) {
    const head = localHeader(entry, offset);
    yield head;
    let crc = 0;
    let size = 0;
    for await (const chunk of entry.chunks()) {
      crc = crc32(chunk, crc);
      size += chunk.length;
      yield chunk;
    }
    if (size !== entry.size) throw new Error(`${entry.name}: ${size} bytes came, ${entry.size} were announced`);
    const tail = descriptor(crc, size);
    yield tail;
    directory.push(centralHeader(entry, crc, offset));
    offset += head.length + size + tail.length;
  }
  yield* directory;
  yield endRecords(directory, offset);
}

/** Little-endian fields one after the other: [bytes, value]. */
function fields(...values: readonly (readonly [bytes: 2 | 4 | 8, value: number])[]): Uint8Array {
  const result = new Uint8Array(values.reduce((sum, [bytes]) => sum + bytes, 0));
  const view = new DataView(result.buffer);
  let at = 0;
  for (const [bytes, value] of values) {
    if (bytes === 2) view.setUint16(at, value, true);
    else if (bytes === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += bytes;
  }
  return result;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** Sizes and checksum follow the data (flag 8); names are UTF-8 (flag 2048). */
const FLAGS = 8 | 2048;
const VERSION = 45;
/** 1980-01-01, the first day that there is. */
const DATE = 33;

function localHeader({ name }: StreamEntry, offset: number): Uint8Array {
  const text = new TextEncoder().encode(name);
  // An extra field of its own takes the data to the next boundary.
  const bare = offset + 30 + text.length + 4;
  const padding = (ALIGNMENT - (bare % ALIGNMENT)) % ALIGNMENT;
  const head = fields([4, 0x04034b50], [2, VERSION], [2, FLAGS], [2, 0], [2, 0], [2, DATE], [4, 0], [4, 0], [4, 0]);
  const extra = joined(fields([2, 0x4246], [2, padding]), new Uint8Array(padding));
  return joined(head, fields([2, text.length], [2, extra.length]), text, extra);
}

function descriptor(crc: number, size: number): Uint8Array {
  const width = size >= MAX_U32 ? 8 : 4;
  return fields([4, 0x08074b50], [4, crc], [width, size], [width, size]);
}

function centralHeader({ name, size }: StreamEntry, crc: number, offset: number): Uint8Array {
  const text = new TextEncoder().encode(name);
  const [longSize, longOffset] = [size >= MAX_U32, offset >= MAX_U32];
  const long = [...(longSize ? [size, size] : []), ...(longOffset ? [offset] : [])];
  const extra = long.length
    ? joined(fields([2, 1], [2, 8 * long.length]), ...long.map(value => fields([8, value])))
    : new Uint8Array();
  const shown = longSize ? MAX_U32 : size;
  return joined(
    fields([4, 0x02014b50], [2, VERSION], [2, VERSION], [2, FLAGS], [2, 0], [2, 0], [2, DATE], [4, crc]),
    fields([4, shown], [4, shown], [2, text.length], [2, extra.length], [2, 0], [2, 0], [2, 0], [4, 0]),
    fields([4, longOffset ? MAX_U32 : offset]),
    text,
    extra,
  );
}

function endRecords(directory: readonly Uint8Array[], offset: number): Uint8Array {
  const size = directory.reduce((sum, header) => sum + header.length, 0);
  const count = directory.length;
  const long = offset + size >= MAX_U32 || count >= 0xffff;
  const record = joined(
    fields([4, 0x06064b50], [8, 44], [2, VERSION], [2, VERSION], [4, 0], [4, 0]),
    fields([8, count], [8, count], [8, size], [8, offset]),
    fields([4, 0x07064b50], [4, 0], [8, offset + size], [4, 1]),
  );
  const end = (entries: number, bytes: number, start: number) =>
    fields([4, 0x06054b50], [2, 0], [2, 0], [2, entries], [2, entries], [4, bytes], [4, start], [2, 0]);
  return long ? joined(record, end(0xffff, MAX_U32, MAX_U32)) : end(count, size, offset);
}
