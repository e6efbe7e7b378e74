import { describe, expect, test } from 'vitest';
import { UserError } from '../src/io/errors.ts';
import { floatToHalf, halfToFloat } from '../src/io/half.ts';
import {
  readSafetensors,
  readSafetensorsMetadata,
  type SafetensorsData,
  type SafetensorsSource,
  writeSafetensors,
} from '../src/io/safetensors.ts';

const joined = (chunks: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(chunks));
const read = (bytes: Uint8Array) => readSafetensors(bytes, { name: 'model.safetensors' });

/** A file with this header, written by hand, and this many bytes of data. */
function file(header: string, dataBytes: number): Uint8Array {
  const bytes = Buffer.alloc(8 + Buffer.byteLength(header) + dataBytes);
  bytes.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  bytes.write(header, 8);
  return new Uint8Array(bytes);
}

/** A small generator of random numbers in [0, 1), the same at every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) >>> 0) / 2 ** 32;
  };
}

function randomTensors(seed: number): Map<string, SafetensorsSource> {
  const next = random(seed);
  const below = (n: number): number => Math.floor(next() * n);
  const tensors = new Map<string, SafetensorsSource>();
  for (let i = below(7); i >= 0; i--) {
    const shape = Array.from({ length: below(4) }, () => below(5));
    const length = shape.reduce((a, b) => a * b, 1);
    const values = Array.from({ length }, () => Math.fround(next() * 200 - 100));
    const data: SafetensorsData[] = [
      Float32Array.from(values),
      Int32Array.from(values),
      Uint32Array.from(values, Math.abs),
      Uint8Array.from(values, Math.abs),
      BigInt64Array.from(values, v => BigInt(Math.trunc(v))),
    ];
    const name = ['weight', '7', '"quoted"\\', 'é\u0000', '__proto__'][below(5)] + (below(3) ? `.${i}` : '');
    tensors.set(name, { shape, data: data[below(data.length)] });
  }
  return tensors;
}

describe('safetensors', () => {
  test('a header that is nested without end is one line', () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    expect(() => read(file(`{"a":${deep}}`, 0))).toThrow(UserError);
    const metadata = () => readSafetensorsMetadata(file(`{"__metadata__":${deep}}`, 0), { name: 'model.safetensors' });
    expect(metadata).toThrow(UserError);
  });

  test('random tensors come back, at any alignment', () => {
    for (let seed = 0; seed < 300; seed++) {
      const tensors = randomTensors(seed);
      const bytes = joined(writeSafetensors(tensors, { metadata: { seed: String(seed) } }));
      expect(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8).toBe(0);
      const shifted = new Uint8Array(bytes.length + seed).subarray(seed);
      shifted.set(bytes);
      const found = read(shifted);
      expect([...found.keys()].sort()).toEqual([...tensors.keys()].sort());
      for (const [name, { shape, data }] of tensors) {
        expect(found.get(name)!.shape).toEqual(shape);
        expect(found.get(name)!.data()).toEqual(data);
      }
      expect(readSafetensorsMetadata(bytes, { name: 'x' })).toEqual({ seed: String(seed) });
    }
  });

  test('keeps the order in which the tensors were given', () => {
    const names = ['b', '10', 'a', '9'];
    const tensors = new Map(names.map(name => [name, { shape: [1], data: new Float32Array(1) }]));
    expect([...read(joined(writeSafetensors(tensors))).keys()]).toEqual(names);
  });

  test('random damage gives a UserError or leaves the untouched tensors right', () => {
    let refused = 0;
    let accepted = 0;
    for (let seed = 0; seed < 3000; seed++) {
      const tensors = randomTensors(seed % 100);
      const bytes = joined(writeSafetensors(tensors, { metadata: { format: 'pt' } }));
      const next = random(seed + 1);
      let damaged: Uint8Array;
      if (seed % 3 === 0) damaged = bytes.slice(0, Math.floor(next() * bytes.length));
      else if (seed % 3 === 1) damaged = joined([bytes, new Uint8Array(1 + Math.floor(next() * 9))]);
      else {
        damaged = bytes.slice();
        damaged[Math.floor(next() * bytes.length)] ^= 1 << Math.floor(next() * 8);
      }
      try {
        const found = read(damaged);
        expect(seed % 3).toBe(2); // a file of another length is never accepted
        accepted++;
        const wrong = [...tensors].filter(([name, { shape, data }]) => {
          const entry = found.get(name);
          return !entry || String(entry.shape) !== String(shape) || String(entry.data()) !== String(data);
        });
        expect(wrong.length).toBeLessThanOrEqual(1); // the one whose name, type, shape or data was hit
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        expect(error.message).toMatch(/^model\.safetensors/);
        expect(error.message).not.toContain('\n');
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(2000);
    expect(accepted).toBeGreaterThan(100);
  });

  test.each([
    ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}', 8, 'not JSON'],
    ['[]', 0, 'wanted an object'],
    ['{"a":5}', 0, "'a' has the entry 5"],
    ['{"a":{"dtype":"F8","shape":[2],"data_offsets":[0,8]}}', 8, `'a' has the dtype "F8", wanted one of F64, F32`],
    ['{"a":{"dtype":"toString","shape":[2],"data_offsets":[0,8]}}', 8, 'dtype'],
    ['{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', 8, "'a' has the shape [-2]"],
    ['{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,6]}}', 6, 'shape'],
    ['{"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}}', 8, 'shape'],
    ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}', 8, 'data_offsets [8,0]'],
    ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}}', 12, 'wanted 8 bytes for F32 [2]'],
    ['{"a":{"dtype":"F32","shape":[1e9,1e9,1e9],"data_offsets":[0,8]}}', 8, 'wanted'],
    ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 7, 'truncated: found 7 bytes of tensors, wanted 8'],
    ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 9, 'belong to no tensor'],
    [
      '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}',
      3,
      "'b' overlaps the tensor before it: found offset 1, wanted 2",
    ],
    ['{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', 3, "'a' leaves a hole"],
    [
      '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0061":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}',
      2,
      "'a' appears twice",
    ],
  ])('refuses %s with %i bytes', (header, dataBytes, message) => {
    expect(() => read(file(header, dataBytes))).toThrow(UserError);
    expect(() => read(file(header, dataBytes))).toThrow(message);
  });

  test('refuses a header beyond the limit, and one beyond the file', () => {
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, 100_000_001n, true);
    expect(() => read(bytes)).toThrow('a header of 100000001 bytes');
    view.setBigUint64(0, 9n, true);
    expect(() => read(bytes)).toThrow('truncated: found 16 bytes, wanted 17');
    expect(() => read(bytes.subarray(0, 7))).toThrow('only 7 bytes');
    expect(() => readSafetensorsMetadata(file('{"__metadata__":{"a":1}}', 0), { name: 'x' })).toThrow(UserError);
  });

  test('reads BF16 and BOOL', () => {
    const header =
      '{"h":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},"o":{"dtype":"BOOL","shape":[2],"data_offsets":[6,8]}}';
    const bytes = file(header, 8);
    bytes.set([0x80, 0x3f, 0x20, 0xc1, 0x80, 0x7f, 1, 0], bytes.length - 8);
    const found = read(bytes);
    expect([...found.get('h')!.data()]).toEqual([1, -10, Number.POSITIVE_INFINITY]);
    expect([...found.get('o')!.data()]).toEqual([1, 0]);
  });

  test('reads doubles and small integers, which PyTorch writes and wgrad does not', () => {
    const entries = [
      '"d":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}',
      '"s":{"dtype":"I16","shape":[2],"data_offsets":[8,12]}',
      '"c":{"dtype":"I8","shape":[4],"data_offsets":[12,16]}',
    ];
    const bytes = file(`{${entries}}`, 16);
    bytes.set(
      [...new Uint8Array(Float64Array.of(0.1).buffer), 0x2c, 1, 0xff, 0xff, 1, 0xff, 0x7f, 0x80],
      bytes.length - 16,
    );
    const found = read(bytes);
    expect(['d', 's', 'c'].map(key => [...found.get(key)!.data()])).toEqual([[0.1], [300, -1], [1, -1, 127, -128]]);
  });

  test('stores f32 in half precision on request, and nothing that it cannot hold', () => {
    const tensors = new Map<string, SafetensorsSource>([
      ['w', { shape: [4], data: Float32Array.of(1, -0.1, 65504, 6e-8) }],
      ['n', { shape: [1], data: Int32Array.of(7) }],
    ]);
    const found = read(joined(writeSafetensors(tensors, { dtype: 'F16' })));
    expect(found.get('w')!.dtype).toBe('F16');
    expect([...found.get('w')!.data()]).toEqual([1, -0.0999755859375, 65504, 2 ** -24]);
    expect([found.get('n')!.dtype, ...found.get('n')!.data()]).toEqual(['I32', 7]);
    const large = new Map([['big', { shape: [1], data: Float32Array.of(70000) }]]);
    expect(() => writeSafetensors(large, { dtype: 'F16' })).toThrow('big: 70000 is beyond half precision');
    const wrong = new Map([['w', { shape: [2], data: new Float32Array(3) }]]);
    expect(() => writeSafetensors(wrong)).toThrow('w: 3 values for the shape [2]');
  });
});

describe('half precision', () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const values = halfToFloat(all);

  test('every half goes to f32 and back', () => {
    const back = floatToHalf(values);
    for (let i = 0; i < 65536; i++) {
      if (Number.isNaN(values[i])) expect((back[i] & 0x7c00) === 0x7c00 && (back[i] & 0x3ff) !== 0).toBe(true);
      else if (back[i] !== i) expect(back[i]).toBe(i);
    }
    expect([values[0x3c00], values[1], values[0x7bff], values[0xc000]]).toEqual([1, 2 ** -24, 65504, -2]);
  });

  test('what lies between two halves goes to the nearest, and half-way to the even one', () => {
    for (let i = 0; i < 0x7bff; i++) {
      const [low, high] = [values[i], values[i + 1]];
      const middle = (low + high) / 2;
      const step = (high - low) / 64;
      const [even, below, above] = floatToHalf(Float32Array.of(middle, middle - step, middle + step));
      if (even !== i + (i % 2) || below !== i || above !== i + 1) throw new Error(`around ${middle}`);
    }
    expect([...floatToHalf(Float32Array.of(65519, 65520, -1e9))]).toEqual([0x7bff, 0x7c00, 0xfc00]);
  });
});
