/**
 * Event files for TensorBoard: TFRecord frames (tensorflow/core/lib/io/record_writer.h) around protobuf messages
 * (tensorflow/core/util/event.proto and framework/summary.proto), of which only these fields are written:
 *
 *     Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
 *     Summary { repeated Value value = 1; }
 *     Value   { string tag = 1; float simple_value = 2; Image image = 4; }
 *     Image   { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded_image_string = 4; }
 */
import { crc32c } from './crc.ts';

/** The name by which TensorBoard finds an event file in a run's folder. */
export function eventFileName(seconds: number, host: string): string {
  return `events.out.tfevents.${Math.floor(seconds)}.${host}`;
}

/**
 * Writes events to `sink`, one call for each, in order; what a method returns is done when the sink is. A file begins
 * with its first event, so one without events is never made.
 */
export class EventWriter {
  readonly #sink: (bytes: Uint8Array) => void | Promise<void>;
  readonly #now: () => number;
  #queue: Promise<void> | undefined;

  /** @param options.now the wall clock, in seconds since 1970 */
  constructor(
    sink: (bytes: Uint8Array) => void | Promise<void>,
    { now = () => Date.now() / 1000 }: { now?: () => number } = {},
  ) {
    this.#sink = sink;
    this.#now = now;
  }

  scalar(tag: string, value: number, step: number): Promise<void> {
    return this.scalars({ [tag]: value }, step);
  }

  /** Several scalars of one step in one event. */
  scalars(values: Record<string, number>, step: number): Promise<void> {
    const fields = Object.entries(values).map(([tag, value]) => message(1, [...text(1, tag), ...float32(2, value)]));
    return this.#event(step, fields.flat());
  }

  /** @param image.png the encoded file, three channels of 8 bits */
  image(tag: string, image: { width: number; height: number; png: Uint8Array }, step: number): Promise<void> {
    const rgb = 3;
    const fields = [...varint(1, image.height), ...varint(2, image.width), ...varint(3, rgb), ...bytes(4, image.png)];
    return this.#event(step, message(1, [...text(1, tag), ...message(4, fields)]));
  }

  #event(step: number, summary: Field): Promise<void> {
    const time = float64(1, this.#now());
    let content = record([...time, ...varint(2, step), ...message(5, summary)]);
    if (!this.#queue) content = concatenated([record([...time, ...text(3, 'brain.Event:2')]), content]);
    this.#queue = (this.#queue ?? Promise.resolve()).then(() => this.#sink(content));
    return this.#queue;
  }
}

/** u64 length | masked crc of it | data | masked crc of it, little-endian. */
function record(event: Field): Uint8Array {
  const data = concatenated(event);
  const frame = new Uint8Array(12 + data.length + 4);
  const view = new DataView(frame.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(frame.subarray(0, 8)), true);
  frame.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return frame;
}

/** Rotated and shifted, so that the crc of a text that contains crcs is a good one too. */
function maskedCrc(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** An encoded protobuf field, or several, as chunks that follow one another. */
type Field = Uint8Array[];

const wireType = { varint: 0, fixed64: 1, delimited: 2, fixed32: 5 };

/** A whole number, not negative, in groups of 7 bits, the lowest first. */
function base128(value: number): Uint8Array {
  const groups: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) groups.push((value % 128) | 128);
  return Uint8Array.of(...groups, value);
}

const tagOf = (field: number, type: number): Uint8Array => base128(field * 8 + type);

const varint = (field: number, value: number): Field => [tagOf(field, wireType.varint), base128(value)];

const bytes = (field: number, data: Uint8Array): Field => [
  tagOf(field, wireType.delimited),
  base128(data.length),
  data,
];

const text = (field: number, value: string): Field => bytes(field, new TextEncoder().encode(value));

const message = (field: number, content: Field): Field => bytes(field, concatenated(content));

function float32(field: number, value: number): Field {
  const data = new DataView(new ArrayBuffer(4));
  data.setFloat32(0, value, true);
  return [tagOf(field, wireType.fixed32), new Uint8Array(data.buffer)];
}

function float64(field: number, value: number): Field {
  const data = new DataView(new ArrayBuffer(8));
  data.setFloat64(0, value, true);
  return [tagOf(field, wireType.fixed64), new Uint8Array(data.buffer)];
}

function concatenated(chunks: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}
