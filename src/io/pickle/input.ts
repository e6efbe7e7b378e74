import { UserError } from '../errors.ts';
import type { RandomAccess } from '../folder.ts';
import { FileRange } from '../ranges.ts';

const PIECE = 1 << 18;

/** A file read from front to back; long stretches can be passed over without being read. */
export class Input {
  private window = new Uint8Array(0);
  private view = new DataView(this.window.buffer);
  private start: number;
  private at = 0;

  constructor(
    private readonly file: RandomAccess,
    /** The file's name, for messages. */
    readonly name: string,
    offset = 0,
  ) {
    this.start = offset;
  }

  /** From the start of the file. */
  get position(): number {
    return this.start + this.at;
  }

  /** Whether `count` bytes are at hand. */
  has(count: number): boolean {
    return this.window.length - this.at >= count;
  }

  /** Gets `count` bytes at hand, or those that there are. */
  async fill(count = 0): Promise<void> {
    if (count > 0 && this.has(count)) return;
    const wanted = Math.max(count, PIECE);
    const { position } = this;
    const bytes = await this.file.read(position, Math.min(wanted, Math.max(0, this.file.size - position)));
    this.window = bytes as Uint8Array<ArrayBuffer>;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) as DataView<ArrayBuffer>;
    this.start = position;
    this.at = 0;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }

  u16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  i32(): number {
    return this.view.getInt32(this.take(4), true);
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  /** A u64 as a number: beyond 2⁵³ it is inexact, but then far beyond any file too. */
  u64(): number {
    return Number(this.view.getBigUint64(this.take(8), true));
  }

  /** A double, the most significant byte first. */
  f64(): number {
    return this.view.getFloat64(this.take(8), false);
  }

  /** The next `count` bytes; a view that holds until the next read. */
  async bytes(count: number): Promise<Uint8Array> {
    this.expect(count);
    await this.fill(count);
    const at = this.take(count);
    return this.window.subarray(at, at + count);
  }

  /** The next `count` bytes as a place in the file, passed over. */
  range(count: number): FileRange {
    this.expect(count);
    const range = new FileRange(this.file, this.position, count);
    const end = this.position + count;
    if (this.has(count)) {
      this.at += count;
    } else {
      this.start = end;
      this.at = 0;
      this.window = new Uint8Array(0);
    }
    return range;
  }

  /** The text up to the next line feed, of at most `limit` bytes. */
  async line(limit: number): Promise<Uint8Array> {
    for (let length = 1024; ; length *= 4) {
      await this.fill(Math.min(length, limit + 1));
      const end = this.window.indexOf(10, this.at);
      if (end >= 0 && end - this.at <= limit) {
        const line = this.window.subarray(this.at, end);
        this.at = end + 1;
        return line;
      }
      if (length > limit) throw new UserError(`${this.name} is damaged: a line of over ${limit} bytes in its pickle`);
      if (!this.has(length)) throw this.truncated();
    }
  }

  /** Throws where the file ends before `count` more bytes: nothing is allocated for what is not there. */
  private expect(count: number): void {
    if (!(count <= this.file.size - this.position)) throw this.truncated();
  }

  private take(count: number): number {
    if (!this.has(count)) throw this.truncated();
    this.at += count;
    return this.at - count;
  }

  private truncated(): UserError {
    return new UserError(`${this.name} is truncated, or damaged: its pickle goes on behind the end of the file`);
  }
}
