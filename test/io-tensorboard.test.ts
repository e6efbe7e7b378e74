import { expect, test } from 'vitest';
import { EventWriter, eventFileName } from '../src/io/tensorboard.ts';
import { decodeEvents, maskedCrc } from './events.ts';

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
  const events = decodeEvents(Buffer.concat(chunks));
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
