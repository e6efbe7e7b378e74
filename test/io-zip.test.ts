import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { strToU8, zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { UserError } from '../src/io/errors.ts';
import { BlobFile, openFile, type RandomAccess } from '../src/io/files.ts';
import { maxEntryBytes, readZip, zipFolder } from '../src/io/zip.ts';

const blobOf = (bytes: Uint8Array): RandomAccess => new BlobFile(new Blob([bytes as Uint8Array<ArrayBuffer>]));
const open = (bytes: Uint8Array) => readZip(blobOf(bytes), 'a.zip');
const sample = (): Buffer =>
  Buffer.from(
    zipSync({
      'one.txt': strToU8('one '.repeat(1000)),
      dir: { 'é.bin': [Uint8Array.of(1, 2, 3), { level: 0 }], empty: new Uint8Array(0), sub: {} },
    }),
  );
/** Where the n-th central header begins. */
function centralHeader(zip: Buffer, n: number): number {
  let at = -1;
  for (let i = 0; i <= n; i++) at = zip.indexOf(Buffer.from('PK\x01\x02', 'latin1'), at + 1);
  return at;
}

describe('readZip', () => {
  test('lists and reads entries, from a Blob and from a file on disk', async () => {
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'wgrad-zip-')), 'a.zip');
    fs.writeFileSync(file, sample());
    const onDisk = await openFile(file);
    for (const access of [blobOf(sample()), onDisk]) {
      const entries = await readZip(access, 'a.zip');
      expect(entries.map(({ name, size }) => [name, size])).toEqual([
        ['one.txt', 4000],
        ['dir/é.bin', 3],
        ['dir/empty', 0],
      ]);
      expect(Buffer.from(await entries[0].read()).toString()).toBe('one '.repeat(1000));
      expect([...(await entries[1].read())]).toEqual([1, 2, 3]);
      expect((await entries[2].read()).length).toBe(0);
    }
    fs.rmSync(path.dirname(file), { recursive: true });
  });

  test('reads only the directory and the entries that are asked for', async () => {
    const zip = zipSync({ big: [new Uint8Array(1e6), { level: 0 }], small: [new Uint8Array(10), { level: 0 }] });
    let bytesRead = 0;
    const inner = blobOf(zip);
    const counting: RandomAccess = {
      size: inner.size,
      read: (offset, length) => {
        bytesRead += length;
        return inner.read(offset, length);
      },
    };
    const entries = await readZip(counting, 'a.zip');
    await entries[1].read();
    expect(bytesRead).toBeLessThan(70_000);
  });

  test('a directory that would fill the memory is refused before it is read', async () => {
    const end = Buffer.alloc(22);
    end.write('PK\x05\x06', 'latin1');
    end.writeUInt32LE(2 ** 28 + 1, 12);
    let most = 0;
    const file: RandomAccess = {
      size: 2 ** 29,
      async read(_, length) {
        most = Math.max(most, length);
        const bytes = new Uint8Array(length);
        bytes.set(end, length - end.length);
        return bytes;
      },
    };
    await expect(readZip(file, 'a.zip')).rejects.toThrow('a.zip has a directory of 268435457 bytes: it is too large');
    expect(most).toBeLessThan(100_000);
  });

  test('reads ZIP64: sizes and offsets in the extra field, the counts in the long end record', async () => {
    const zip = sample();
    const start = centralHeader(zip, 0);
    const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
    const nameLength = zip.readUInt16LE(start + 28);
    const header = Buffer.from(zip.subarray(start, start + 46 + nameLength));
    const extra = Buffer.alloc(28);
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(24, 2);
    [24, 20, 42].forEach((field, i) => {
      extra.writeBigUInt64LE(BigInt(header.readUInt32LE(field)), 4 + 8 * i); // size, packed size, offset
      header.writeUInt32LE(0xffffffff, field);
    });
    header.writeUInt16LE(28, 30);
    const record = Buffer.alloc(56);
    record.write('PK\x06\x06', 0, 'latin1');
    record.writeBigUInt64LE(1n, 32);
    record.writeBigUInt64LE(BigInt(header.length + extra.length), 40);
    record.writeBigUInt64LE(BigInt(start), 48);
    const locator = Buffer.alloc(20);
    locator.write('PK\x06\x07', 0, 'latin1');
    locator.writeBigUInt64LE(BigInt(start + header.length + extra.length), 8);
    const tail = Buffer.from(zip.subarray(end));
    tail.fill(0xff, 8, 20);
    const entries = await open(Buffer.concat([zip.subarray(0, start), header, extra, record, locator, tail]));
    expect(entries.map(({ name, size }) => [name, size])).toEqual([['one.txt', 4000]]);
    expect(Buffer.from(await entries[0].read()).toString()).toBe('one '.repeat(1000));
  });

  test('a comment after the end is no matter; a truncated file and another format are one line', async () => {
    const zip = sample();
    const comment = Buffer.from(zip);
    comment.writeUInt16LE(7, comment.length - 2);
    expect((await open(Buffer.concat([comment, Buffer.from('comment')]))).length).toBe(3);
    for (let length = 0; length < zip.length; length += 11) {
      await expect(open(zip.subarray(0, length))).rejects.toThrow(/^a\.zip is .*truncated/);
    }
    await expect(open(new Uint8Array(5000))).rejects.toThrow('a.zip is no zip file');
    await expect(open(zip.subarray(40))).rejects.toThrow(UserError); // its head is missing
  });

  test('random damage never gives wrong bytes', async () => {
    const zip = sample();
    const want = new Map<string, string>();
    for (const entry of await open(zip)) want.set(entry.name, String(await entry.read()));
    for (let i = 0; i < zip.length * 8; i += 3) {
      const damaged = Buffer.from(zip);
      damaged[i >> 3] ^= 1 << (i & 7);
      try {
        for (const entry of await open(damaged)) {
          const bytes = String(await entry.read());
          if (want.has(entry.name)) expect(bytes).toBe(want.get(entry.name));
        }
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        expect(error.message).toMatch(/^a\.zip[^\n]*$/);
      }
    }
  });

  test('an encrypted entry, another method, and a bomb are one line', async () => {
    const first = async (change: (zip: Buffer, header: number) => void) => {
      const zip = sample();
      change(zip, centralHeader(zip, 0));
      return (await open(zip))[0].read();
    };
    await expect(first((zip, at) => zip.writeUInt16LE(1, at + 8))).rejects.toThrow('a.zip: one.txt is encrypted');
    await expect(first((zip, at) => zip.writeUInt16LE(14, at + 10))).rejects.toThrow('packed by method 14');
    await expect(first((zip, at) => zip.writeUInt32LE(maxEntryBytes + 1, at + 24))).rejects.toThrow('is too large');
    await expect(first((zip, at) => zip.writeUInt32LE(3999, at + 24))).rejects.toThrow('more than the 3999 bytes');
    await expect(first((zip, at) => zip.writeUInt32LE(4001, at + 24))).rejects.toThrow('damaged');

    const bomb = Buffer.from(zipSync({ bomb: new Uint8Array(5e7) }));
    bomb.writeUInt32LE(1000, centralHeader(bomb, 0) + 24);
    const [entry] = await open(bomb);
    await expect(entry.read()).rejects.toThrow('more than the 1000 bytes');
  });
});

test('zipFolder makes a zip that readZip reads, weights stored', async () => {
  const files = new Map([
    ['run/log.jsonl', strToU8('{"step":1}\n'.repeat(100))],
    ['run/model.safetensors', new Uint8Array(5000)],
  ]);
  const zip = zipFolder(files);
  expect(zip.length).toBeGreaterThan(5000);
  const entries = await open(zip);
  for (const entry of entries) expect(await entry.read()).toEqual(files.get(entry.name));
  expect(entries.length).toBe(2);
});
