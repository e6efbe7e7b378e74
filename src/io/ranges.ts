/** Parts of files, and bytes in memory, as files. */
import type { RandomAccess } from './folder.ts';

/** Bytes that stay in their file until someone reads them. */
export class FileRange implements RandomAccess {
  constructor(
    private readonly file: RandomAccess,
    private readonly offset: number,
    readonly size: number,
  ) {}

  read(offset: number, length: number): Promise<Uint8Array> {
    const rest = Math.max(0, this.size - offset);
    return this.file.read(this.offset + offset, Math.min(length, rest));
  }
}

/** Bytes in memory as a file. */
export class MemoryFile implements RandomAccess {
  readonly size: number;

  constructor(private readonly bytes: Uint8Array) {
    this.size = bytes.length;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.bytes.slice(offset, offset + length);
  }
}
