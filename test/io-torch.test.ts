import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { UserError } from '../src/io/errors.ts';
import type { RandomAccess } from '../src/io/folder.ts';
import { MemoryFile } from '../src/io/ranges.ts';
import { openSafetensors, streamSafetensors } from '../src/io/safetensorsFile.ts';
import { elementCount, readValues, type StoredTensor, tensorOf, widened } from '../src/io/storedTensor.ts';
import { checkStrided, stridedPieces } from '../src/io/strided.ts';
import { readTorch } from '../src/io/torch/read.ts';
import { streamTorch } from '../src/io/torch/write.ts';
import { readZip } from '../src/io/zip.ts';
import { flatten } from '../src/models/foreign/flat.ts';

const fixture = (name: string) => new Uint8Array(readFileSync(join(import.meta.dirname, 'fixtures', 'foreign', name)));
const expected = JSON.parse(Buffer.from(fixture('expected.json')).toString()) as Record<
  string,
  { shape: number[]; values: number[] }
>;

async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return new Uint8Array(Buffer.concat(all));
}

const read = (bytes: Uint8Array) => readTorch(new MemoryFile(bytes), 'a.pt');

/** A file that a pickle of protocol 0 or 2 describes, with one storage of four floats. */
function archive(
  pickle: string,
  entries: Record<string, Uint8Array | [Uint8Array, { level: 0 | 9 }]> = {},
): Uint8Array {
  const stored = Object.fromEntries(
    Object.entries({ 'data/0': new Uint8Array(16), ...entries }).map(([name, content]) => [
      `archive/${name}`,
      content instanceof Uint8Array ? ([content, { level: 0 }] as [Uint8Array, { level: 0 }]) : content,
    ]),
  );
  return zipSync({ 'archive/data.pkl': [Buffer.from(pickle, 'latin1'), { level: 0 }], ...stored });
}

const storage = (count = 4, type = 'FloatStorage', key = '0') =>
  `(U\x07storagectorch\n${type}\nU\x01${key}U\x03cpuI${count}\ntQ`;

/** A dict of one tensor. */
function tensorPickle(shape: number[], strides: number[], offset = 0, of = storage()): string {
  const tuple = (values: number[]) => `(${values.map(value => `I${value}\n`).join('')}t`;
  return `}U\x01xctorch._utils\n_rebuild_tensor_v2\n(${of}I${offset}\n${tuple(shape)}${tuple(strides)}\x89NtRs.`;
}

describe('what PyTorch writes', () => {
  test.each(['tensors.pt', 'tensors-legacy.pt'])('%s: every type, views, shared and strided storages', async name => {
    const { tensors, settings } = flatten(await read(fixture(name)), name);
    for (const [key, { shape, values }] of Object.entries(expected)) {
      const tensor = tensors.get(key)!;
      expect(tensor.shape, key).toEqual(shape);
      expect([...(await readValues(tensor))], key).toEqual([...Float32Array.from(values)]);
      expect([...(await readValues(widened(tensor)))], key).toEqual([...Float32Array.from(values)]);
    }
    expect(tensors.get('state.f64')!.dtype).toBe('F64');
    expect(tensors.get('state.bf16')!.dtype).toBe('BF16');
    expect(tensors.get('state.bool')!.dtype).toBe('BOOL');
    expect(await readValues(tensors.get('nested.list.0')!)).toEqual(Float32Array.of(1, 1));
    expect(settings.get('args.size')).toBe(8);
    expect(settings.get('args.flags')).toEqual([true, false]);
    expect(settings.get('nested.text')).toBe('déjà vu');
    expect(settings.get('nested.big')).toBe(`${2n ** 70n}`);
  });

  test.each(['tensors.pt', 'tensors-legacy.pt', 'nvlabs-4.pkl'])('%s cut anywhere is one line', async name => {
    const whole = fixture(name);
    for (let length = 0; length < whole.length; length += 97) {
      await expect(read(whole.subarray(0, length))).rejects.toThrow(/^a\.pt[^\n]*$/);
    }
    await expect(read(whole.subarray(0, whole.length - 1))).rejects.toThrow(UserError);
  });

  test('random damage of a zip is one line or changes no value', async () => {
    const whole = fixture('tensors.pt');
    for (let i = 0; i < whole.length * 8; i += 61) {
      const damaged = whole.slice();
      damaged[i >> 3] ^= 1 << (i & 7);
      try {
        const { tensors } = flatten(await read(damaged), 'a.pt');
        for (const [key, { values }] of Object.entries(expected)) {
          const tensor = tensors.get(key);
          if (tensor) expect([...(await readValues(tensor))], `bit ${i}`).toEqual([...Float32Array.from(values)]);
        }
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        expect(error.message).toMatch(/^a\.pt[^\n]*$/);
      }
    }
  });

  test('a tensor is read by its place: the rest of a large file is not', async () => {
    const count = 6_000_000;
    const [small, large] = [tensorOf(Float32Array.of(1, 2), [2]), { ...tensorOf(new Float32Array(1), [count]) }];
    const zeros = new Uint8Array(1 << 20);
    const lazy: StoredTensor = {
      ...large,
      async *chunks() {
        for (let rest = 4 * count; rest > 0; rest -= zeros.length) yield zeros.subarray(0, rest);
      },
    };
    const bytes = await joined(
      streamTorch(
        new Map([
          ['large', lazy],
          ['small', small],
        ]),
      ),
    );
    let bytesRead = 0;
    const file: RandomAccess = {
      size: bytes.length,
      async read(offset, length) {
        bytesRead += length;
        return bytes.slice(offset, offset + length);
      },
    };
    const { tensors } = flatten(await readTorch(file, 'a.pt'), 'a.pt');
    expect(await readValues(tensors.get('small')!)).toEqual(Float32Array.of(1, 2));
    expect(bytesRead).toBeLessThan(1_000_000);
    let largest = 0;
    for await (const piece of tensors.get('large')!.chunks()) largest = Math.max(largest, piece.length);
    expect(largest).toBeLessThanOrEqual(1 << 24);
  });
});

describe('what a file may not hold', () => {
  test.each([
    ['beyond the storage by its size', [5], [1], 0, 'its storage has only 4 elements'],
    ['beyond the storage by its offset', [2], [1], 3, 'its storage has only 4 elements'],
    ['beyond the storage by its strides', [2, 2], [3, 1], 0, 'its storage has only 4 elements'],
    ['all in one place', [1000000, 1000000], [0, 0], 0, 'whose elements overlap: save a .clone()'],
    ['over itself', [2, 3], [1, 1], 0, 'whose elements overlap'],
    ['without strides', [2, 2], [1], 0, 'that is no tensor'],
    ['of too many axes', Array(65).fill(1), Array(65).fill(1), 0, 'of 65 axes with 65 strides: that is no tensor'],
    ['of a size beyond all numbers', [2 ** 40, 2 ** 40], [1, 1], 0, 'its storage has only 4 elements'],
  ])('a tensor %s', async (_, shape, strides, offset, message) => {
    await expect(read(archive(tensorPickle(shape, strides, offset)))).rejects.toThrow(message);
  });

  test('negative shapes and strides, storages of two types or of another size, missing ones', async () => {
    await expect(read(archive(tensorPickle([-1], [1])))).rejects.toThrow('a tensor that is none');
    await expect(read(archive(tensorPickle([2], [-1])))).rejects.toThrow('a tensor that is none');
    await expect(read(archive(tensorPickle([2], [1], 0, storage(5))))).rejects.toThrow(
      'has 16 bytes, its tensors want 20',
    );
    await expect(read(archive(tensorPickle([2], [1], 0, storage(4, 'FloatStorage', '7'))))).rejects.toThrow(
      'no archive/data/7',
    );
    const both = `(${storage()}${storage(2, 'DoubleStorage')}t.`;
    await expect(read(archive(both))).rejects.toThrow('names the storage 0 as');
    await expect(read(archive('(U\x05thingK\x01tQ.'))).rejects.toThrow('that is no storage');
    await expect(read(archive(tensorPickle([2], [1], 0, storage(4, 'QInt8Storage'))))).rejects.toThrow(
      'names torch.QInt8Storage',
    );
    await expect(read(archive('ctorch\nFloatStorage\n)R.'))).rejects.toThrow('makes an empty torch.FloatStorage');
  });

  test('a zip bomb: packed entries are refused before they are unpacked', async () => {
    const bomb = archive(tensorPickle([2], [1], 0, storage(5_000_000)), {
      'data/0': [new Uint8Array(20_000_000), { level: 9 }],
    });
    expect(bomb.length).toBeLessThan(30_000);
    await expect(read(bomb)).rejects.toThrow('a.pt: archive/data/0 is packed');
  });

  test('storages that are shared without end', async () => {
    const one = (i: number) =>
      `U\x03${String(i).padStart(3, '0')}${tensorPickle([100_000], [1], i, 'h\x00').slice(4, -2)}`;
    const text = `${storage(101_000)}q\x000}(${Array.from({ length: 500 }, (_, i) => one(i)).join('')}u.`;
    const file = archive(text, { 'data/0': new Uint8Array(404_000) });
    await expect(read(file)).rejects.toThrow('its storages are shared too often');
  });

  test('TorchScript, a tar, TensorFlow, other zips and other files say what they are', async () => {
    await expect(read(archive('}.', { 'constants.pkl': new Uint8Array(1) }))).rejects.toThrow(
      'is a TorchScript program',
    );
    await expect(read(zipSync({ 'a.txt': new Uint8Array(3) }))).rejects.toThrow('a zip, but not of PyTorch');
    const tar = new Uint8Array(1024);
    tar.set(Buffer.from('ustar'), 257);
    await expect(read(tar)).rejects.toThrow('is a tar');
    await expect(read(new Uint8Array(100))).rejects.toThrow('is no file of weights that is known');
    const tensorFlow = Buffer.from('\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81.', 'latin1');
    await expect(read(tensorFlow)).rejects.toThrow('a.pt is a pickle of the TensorFlow version of StyleGAN2');
  });

  test('an embedded file in an embedded file', async () => {
    const embed = (inner: Buffer) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(inner.length);
      return Buffer.concat([
        Buffer.from('\x80\x03ctorch.storage\n_load_from_bytes\nB', 'latin1'),
        length,
        inner,
        Buffer.from('\x85R.', 'latin1'),
      ]);
    };
    const inner = embed(Buffer.from('}.'));
    await expect(read(inner)).rejects.toThrow('embeds a file that is no storage');
    await expect(read(embed(inner))).rejects.toThrow('embeds a file in an embedded one');
  });

  test('a file that is embedded many times is read once', async () => {
    const inner = fixture('tensors-legacy.pt');
    let reads = 0;
    const pickle = `\x80\x03(B\0\0\0\0`;
    const head = Buffer.from(pickle, 'latin1');
    head.writeUInt32LE(inner.length, 4);
    const load = 'ctorch.storage\n_load_from_bytes\nh\0\x85R0'.repeat(1000);
    const bytes = Buffer.concat([head, inner, Buffer.from(`q\x000${load}t.`, 'latin1')]);
    const file: RandomAccess = {
      size: bytes.length,
      async read(offset, length) {
        reads++;
        return new Uint8Array(bytes.subarray(offset, offset + length));
      },
    };
    await expect(readTorch(file, 'a.pt')).rejects.toThrow('embeds a file that is no storage');
    expect(reads).toBeLessThan(200);
  });

  test('settings that hold each other, names without end', async () => {
    // Six levels of lists of 256, each the one below it: 2⁴⁸ numbers.
    const lists = `K\x01q\0${`(${'h\0'.repeat(256)}lq\0`.repeat(6)}`;
    const tree = await read(Buffer.from(`\x80\x02${lists}.`, 'latin1'));
    expect(() => flatten(tree, 'a.pt')).toThrow('shares them in a loop');
    const long = await read(Buffer.from(`\x80\x02}U\xff${'n'.repeat(255)}q\0}h\0}h\0K\x01sss.`, 'latin1'));
    expect(() => flatten(long, 'a.pt')).toThrow('a name of over 512 characters');
    const doubling = `]q\0${'0h\0h\0\x86q\0'.repeat(60)}`;
    const keyed = await read(Buffer.from(`\x80\x02}${doubling}K\x01s.`, 'latin1'));
    expect(flatten(keyed, 'a.pt').settings).toEqual(new Map([['a list', 1]]));
  });

  test('a value that holds itself, and one that is shared without end, come to an end', async () => {
    const loop = await read(Buffer.from('}q\x00U\x01ah\x00s.', 'latin1'));
    expect(() => flatten(loop, 'a.pt')).toThrow('nested deeper than 32 levels');
    const doubling = Array.from(
      { length: 31 },
      (_, i) => `}(U\x01ah${String.fromCharCode(i)}U\x01bh${String.fromCharCode(i)}uq${String.fromCharCode(i + 1)}`,
    );
    const tree = await read(Buffer.from(`\x80\x02}q\x00${doubling.join('')}.`, 'latin1'));
    expect(() => flatten(tree, 'a.pt')).toThrow('shares them in a loop');
  });
});

describe('strides', () => {
  const view = (shape: number[], strides: number[], offset = 0) => ({ shape, strides, offset });

  test('axes of length 1 and empty tensors may have any stride', () => {
    checkStrided(view([1, 4], [0, 1]), 4);
    checkStrided(view([0, 5], [0, 0]), 0);
    checkStrided(view([], []), 1);
    expect(() => checkStrided(view([], []), 0)).toThrow(UserError);
    checkStrided(view([2, 2], [2, 1]), 4);
  });

  test('a large transposed tensor comes in pieces', async () => {
    const [rows, columns] = [50, 30];
    const values = Float32Array.from({ length: rows * columns }, (_, i) => i);
    const file = new MemoryFile(new Uint8Array(values.buffer));
    let most = 0;
    const watched: RandomAccess = {
      size: file.size,
      read(offset, length) {
        most = Math.max(most, length);
        return file.read(offset, length);
      },
    };
    for (const atOnce of [1 << 20, 4 * 1400, 16, 4 * 95]) {
      most = 0;
      const pieces: number[] = [];
      for await (const piece of stridedPieces(watched, 'F32', view([columns, rows], [1, columns]), { atOnce })) {
        pieces.push(...new Float32Array(piece.slice().buffer));
      }
      expect(pieces).toEqual(
        Array.from({ length: rows * columns }, (_, i) => (i % rows) * columns + Math.floor(i / rows)),
      );
      expect(most).toBeLessThanOrEqual(atOnce);
    }
  });
});

describe('what is written', () => {
  const shared = tensorOf(Float32Array.of(1.5, -2, 3), [3]);
  const value = new Map<string, never>(
    Object.entries({
      state: new Map<string, StoredTensor>([
        ['a', shared],
        ['b', shared],
        ['count', tensorOf(BigInt64Array.of(7n), [])],
        ['empty', tensorOf(new Float32Array(), [0, 2])],
      ]),
      list: [1, -1, 2 ** 40, 0.5, 'é', null, true, false],
    }) as never,
  );

  test('.pt: tensors, shared storages, numbers and texts', async () => {
    const bytes = await joined(streamTorch(value));
    const entries = await readZip(new MemoryFile(bytes), 'a.pt');
    expect(entries.map(({ name }) => name)).toEqual([
      ...['archive/data.pkl', 'archive/data/0', 'archive/data/1', 'archive/data/2', 'archive/version'],
    ]);
    for (const entry of entries) await entry.read(); // and with it the checksum
    const { tensors, settings } = flatten(await read(bytes), 'a.pt');
    expect([...(await readValues(tensors.get('state.b')!))]).toEqual([1.5, -2, 3]);
    expect(tensors.get('state.count')).toMatchObject({ dtype: 'I64', shape: [] });
    expect(tensors.get('state.empty')!.shape).toEqual([0, 2]);
    expect(settings.get('list')).toEqual([1, -1, 2 ** 40, 0.5, 'é', null, true, false]);
  });

  test('safetensors: the same tensors, with texts', async () => {
    const tensors = new Map([
      ['a', shared],
      ['count', tensorOf(BigInt64Array.of(7n), [])],
    ]);
    const bytes = await joined(streamSafetensors(tensors, { kind: 'x' }));
    const file = await openSafetensors(new MemoryFile(bytes), { name: 'a.safetensors' });
    expect(file.metadata).toEqual({ kind: 'x' });
    expect([...file.tensors].map(([key, { dtype, shape }]) => [key, dtype, elementCount(shape)])).toEqual([
      ['a', 'F32', 3],
      ['count', 'I64', 1],
    ]);
    expect([...(await readValues(file.tensors.get('a')!))]).toEqual([1.5, -2, 3]);
    for (let length = 0; length < bytes.length; length += 5) {
      const cut = openSafetensors(new MemoryFile(bytes.subarray(0, length)), { name: 'a.safetensors' });
      await expect(cut).rejects.toThrow(UserError);
    }
  });
});
