import protobuf from 'protobufjs';
import { expect, test } from 'vitest';
import { EventWriter, eventFileName } from '../src/io/tensorboard.ts';

const { root } = protobuf.parse(
  `syntax = "proto3";
  message Event { double wall_time = 1; int64 step = 2; oneof what { string file_version = 3; Summary summary = 5; } }
  message Summary {
    message Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded_image_string = 4; }
    message Value { string tag = 1; oneof value { float simple_value = 2; Image image = 4; } }
    repeated Value value = 1;
  }`,
  { keepCase: true },
);
const Event = root.lookupType('Event');

/** CRC-32C bit by bit, from its definition, and masked as TFRecord does. */
function maskedCrc(data: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of data) {
    for (let bit = 0; bit < 8; bit++) {
      const out = (crc ^ (BigInt(byte) >> BigInt(bit))) & 1n;
      crc = (crc >> 1n) ^ (out ? 0x82f63b78n : 0n);
    }
  }
  crc ^= 0xffffffffn;
  return Number((((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn);
}

/** Every message of the file; throws where a frame or a crc is wrong. */
function decode(file: Buffer): Record<string, unknown>[] {
  const events: Record<string, unknown>[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(file.readUInt32LE(at + 8)).toBe(maskedCrc(file.subarray(at, at + 8)));
    expect(file.readUInt32LE(at + 12 + length)).toBe(maskedCrc(data));
    events.push(Event.toObject(Event.decode(data), { longs: Number }));
    at += length + 16;
  }
  return events;
}

test('the crc of the test itself is CRC-32C', () => {
  // "123456789" has the check value 0xe3069283 (RFC 3720, and every catalogue of crcs).
  const crc = 0xe3069283;
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  expect(maskedCrc(Buffer.from('123456789'))).toBe(masked);
});

test('an independent decoder reads what was written, in order', async () => {
  const chunks: Uint8Array[] = [];
  let seconds = 1700000000.25;
  const slowFirst = async (bytes: Uint8Array): Promise<void> => {
    await new Promise(resolve => setTimeout(resolve, chunks.length ? 0 : 20));
    chunks.push(bytes);
  };
  const writer = new EventWriter(slowFirst, { now: () => seconds++ });
  const png = new Uint8Array(300).map((_, i) => i);
  await Promise.all([
    writer.scalar('loss/l2', 0.1, 0),
    writer.scalars({ 'loss/é': -1e-20, 'loss/nan': Number.NaN }, 127),
    writer.image('samples', { width: 640, height: 32, png }, 128),
    writer.scalar('step', 3, 2 ** 40 + 1),
  ]);
  const events = decode(Buffer.concat(chunks));
  expect(chunks.length).toBe(4);
  expect(events).toEqual([
    { wall_time: 1700000000.25, file_version: 'brain.Event:2' },
    // Step 0 is proto3's default, which the decoder leaves out.
    { wall_time: 1700000000.25, summary: { value: [{ tag: 'loss/l2', simple_value: Math.fround(0.1) }] } },
    {
      wall_time: 1700000001.25,
      step: 127,
      summary: {
        value: [
          { tag: 'loss/é', simple_value: Math.fround(-1e-20) },
          { tag: 'loss/nan', simple_value: Number.NaN },
        ],
      },
    },
    {
      wall_time: 1700000002.25,
      step: 128,
      summary: {
        value: [
          { tag: 'samples', image: { height: 32, width: 640, colorspace: 3, encoded_image_string: Buffer.from(png) } },
        ],
      },
    },
    { wall_time: 1700000003.25, step: 2 ** 40 + 1, summary: { value: [{ tag: 'step', simple_value: 3 }] } },
  ]);
});

test('a sink that fails is heard of', async () => {
  const writer = new EventWriter(() => Promise.reject(new Error('disk full')));
  await expect(writer.scalar('a', 1, 1)).rejects.toThrow('disk full');
});

test('the file is named as TensorBoard looks for it', () => {
  expect(eventFileName(1700000000.9, 'host')).toBe('events.out.tfevents.1700000000.host');
});
