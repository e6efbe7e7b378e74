/**
 * Zip files (PKWARE's APPNOTE.TXT, with ZIP64): read entry by entry through the central directory, never as a whole,
 * and written for the download of a run. A file is not trusted: sizes are checked before and while inflating.
 */
import { Inflate, zipSync } from 'fflate';
import { crc32 } from './crc.ts';
import { UserError } from './errors.ts';
import type { RandomAccess } from './folder.ts';
import { FileRange } from './ranges.ts';

/** A larger entry is refused, be it declared so or not: a small file can hold a huge one. */
export const maxEntryBytes = 2 ** 28;
/** Of some millions of names; it is in memory as a whole. */
const maxDirectoryBytes = 2 ** 28;

export interface ZipEntry {
  /** The path inside the zip, with '/'. */
  readonly name: string;
  /** In bytes, inflated, as declared; what read() returns is exactly so long. */
  readonly size: number;
  /** @throws UserError where the entry is damaged, encrypted, too large or packed by another method than deflate */
  read(): Promise<Uint8Array>;
  /**
   * The place in the zip where the entry lies, for one that is stored as it is: of any size, to be read in pieces.
   * `check` reads it all and compares its checksum.
   * @throws UserError where it is damaged, encrypted or packed
   */
  open(): Promise<{ readonly file: RandomAccess; check(): Promise<void> }>;
}

const endRecord = { signature: 0x06054b50, bytes: 22, maxComment: 65535 };
const zip64Locator = { signature: 0x07064b50, bytes: 20 };
const zip64EndRecord = { signature: 0x06064b50, bytes: 56 };
const centralHeader = { signature: 0x02014b50, bytes: 46 };
const localHeader = { signature: 0x04034b50, bytes: 30 };
const method = { stored: 0, deflated: 8 };

/**
 * The files in a zip, in its order; folders are left out.
 * @param name the zip's name, for messages
 * @throws UserError where the file is no zip or a truncated one
 */
export async function readZip(file: RandomAccess, name: string): Promise<ZipEntry[]> {
  const { count, offset, size } = await findDirectory(file, name);
  if (offset + size > file.size) throw truncated(name);
  if (size > maxDirectoryBytes) throw new UserError(`${name} has a directory of ${size} bytes: it is too large`);
  const directory = await file.read(offset, size);
  const view = viewOf(directory);
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + centralHeader.bytes > size || view.getUint32(at, true) !== centralHeader.signature) throw truncated(name);
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + centralHeader.bytes + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > size) throw truncated(name);
    const nameStart = at + centralHeader.bytes;
    const header: CentralHeader = {
      name: new TextDecoder().decode(directory.subarray(nameStart, nameStart + nameLength)),
      encrypted: (view.getUint16(at + 8, true) & 1) !== 0,
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packedSize: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    };
    applyZip64(header, directory.subarray(nameStart + nameLength, nameStart + nameLength + extraLength));
    if (!header.name.endsWith('/')) {
      entries.push({
        name: header.name,
        size: header.size,
        read: () => readEntry(file, header, name),
        open: () => openEntry(file, header, name),
      });
    }
    at = next;
  }
  return entries;
}

/** A zip of these files, stored rather than deflated where that gains nothing (weights, images). */
export function zipFolder(files: Map<string, Uint8Array>): Uint8Array {
  const entries = [...files].map(([name, bytes]) => {
    const level = /\.(safetensors|png|jpe?g|webp)$/.test(name) ? 0 : 6;
    return [name, [bytes, { level }]] as const;
  });
  return zipSync(Object.fromEntries(entries) as Parameters<typeof zipSync>[0]);
}

interface CentralHeader {
  name: string;
  encrypted: boolean;
  method: number;
  crc: number;
  packedSize: number;
  size: number;
  offset: number;
}

/** Where the central directory lies: the end record is the last thing in the file, but for a comment. */
async function findDirectory(
  file: RandomAccess,
  name: string,
): Promise<{ count: number; offset: number; size: number }> {
  const tailStart = Math.max(0, file.size - endRecord.bytes - endRecord.maxComment - zip64Locator.bytes);
  const tail = viewOf(await file.read(tailStart, file.size - tailStart));
  let at = tail.byteLength - endRecord.bytes;
  while (at >= 0 && tail.getUint32(at, true) !== endRecord.signature) at--;
  if (at < 0) throw new UserError(`${name} is no zip file, or a truncated one: it has no central directory`);
  const count = tail.getUint16(at + 10, true);
  const size = tail.getUint32(at + 12, true);
  const offset = tail.getUint32(at + 16, true);
  const locator = at - zip64Locator.bytes;
  if (locator < 0 || tail.getUint32(locator, true) !== zip64Locator.signature) return { count, offset, size };

  const record = viewOf(await file.read(bigUint(tail, locator + 8), zip64EndRecord.bytes));
  if (record.byteLength < zip64EndRecord.bytes || record.getUint32(0, true) !== zip64EndRecord.signature) {
    throw truncated(name);
  }
  return { count: bigUint(record, 32), size: bigUint(record, 40), offset: bigUint(record, 48) };
}

/** Takes from the ZIP64 extra field (id 1) those values that are all ones in the header, in the field's order. */
function applyZip64(header: CentralHeader, extra: Uint8Array): void {
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    const end = Math.min(extra.length, at + 4 + view.getUint16(at + 2, true));
    let value = at + 4;
    for (const key of ['size', 'packedSize', 'offset'] as const) {
      if (header[key] !== 0xffffffff || value + 8 > end) continue;
      header[key] = bigUint(view, value);
      value += 8;
    }
  }
}

async function readEntry(file: RandomAccess, header: CentralHeader, zipName: string): Promise<Uint8Array> {
  const place = `${zipName}: ${header.name}`;
  if (header.encrypted) throw new UserError(`${place} is encrypted: unpack the zip and pack it without a password`);
  if (header.method !== method.stored && header.method !== method.deflated) {
    throw new UserError(`${place} is packed by method ${header.method}: pack the zip with deflate`);
  }
  if (Math.max(header.size, header.packedSize) > maxEntryBytes) {
    throw new UserError(`${place} is too large: found ${header.size} bytes, at most ${maxEntryBytes} wanted`);
  }
  const start = await startOf(file, header, zipName);
  const packed = await file.read(start, header.packedSize);
  if (packed.length !== header.packedSize) throw truncated(zipName);
  const bytes = header.method === method.stored ? packed : inflate(packed, header.size, place);
  if (bytes.length !== header.size || crc32(bytes) !== header.crc) {
    throw new UserError(`${place} is damaged: its size or checksum is not what the directory says`);
  }
  return bytes;
}

async function openEntry(
  file: RandomAccess,
  header: CentralHeader,
  zipName: string,
): Promise<{ file: RandomAccess; check(): Promise<void> }> {
  const place = `${zipName}: ${header.name}`;
  if (header.encrypted) throw new UserError(`${place} is encrypted: unpack the zip and pack it without a password`);
  if (header.method !== method.stored) {
    throw new UserError(`${place} is packed: unpack the zip and pack it without compression (zip -0)`);
  }
  const start = await startOf(file, header, zipName);
  if (header.packedSize !== header.size || start + header.size > file.size) throw truncated(zipName);
  const check = async () => {
    let crc = 0;
    const piece = 1 << 24;
    for (let at = 0; at < header.size; at += piece) {
      crc = crc32(await file.read(start + at, Math.min(piece, header.size - at)), crc);
    }
    if (crc !== header.crc) throw new UserError(`${place} is damaged: its checksum is not what the directory says`);
  };
  return { file: new FileRange(file, start, header.size), check };
}

/** Where the bytes of an entry begin: the directory does not say how long the entry's own header is. */
async function startOf(file: RandomAccess, header: CentralHeader, zipName: string): Promise<number> {
  const local = viewOf(await file.read(header.offset, localHeader.bytes));
  if (local.byteLength < localHeader.bytes || local.getUint32(0, true) !== localHeader.signature) {
    throw new UserError(`${zipName}: ${header.name} is damaged: it does not begin where the directory says`);
  }
  return header.offset + localHeader.bytes + local.getUint16(26, true) + local.getUint16(28, true);
}

/** Inflates in pieces, and stops as soon as there is more than was declared. */
function inflate(packed: Uint8Array, size: number, place: string): Uint8Array {
  const bytes = new Uint8Array(size);
  let filled = 0;
  const stream = new Inflate(chunk => {
    if (filled + chunk.length > size) throw new UserError(`${place} inflates to more than the ${size} bytes declared`);
    bytes.set(chunk, filled);
    filled += chunk.length;
  });
  const piece = 65536;
  try {
    for (let at = 0; at < packed.length; at += piece) {
      stream.push(packed.subarray(at, at + piece), at + piece >= packed.length);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${place} is damaged: ${(error as Error).message}`);
  }
  return bytes.subarray(0, filled);
}

const truncated = (name: string): UserError => new UserError(`${name} is a truncated or damaged zip file`);

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A u64 as a number: beyond 2^53 it is inexact, but then far beyond any file too. */
const bigUint = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));
