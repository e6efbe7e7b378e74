/** What a folder and a file are, on a disk (files.node.ts) and in a page's storage (files.web.ts) alike. */

/** A file that is read in pieces. */
export interface RandomAccess {
  /** In bytes. */
  readonly size: number;
  /** The bytes from `offset` on: `length` of them, fewer at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A folder. Names may lead into sub-folders with '/', never out of the folder: '..' and absolute names throw. */
export interface Folder {
  /** The path as a person would write it: for messages. */
  readonly path: string;
  read(name: string): Promise<Uint8Array>;
  readText(name: string): Promise<string>;
  open(name: string): Promise<RandomAccess>;
  /**
   * Writes the file as a whole: whoever reads it, even after a kill, finds the old content or the new. Content that
   * comes in pieces, as they are made, can be larger than memory; where making one throws, nothing is written.
   */
  write(name: string, content: FileContent | AsyncIterable<Uint8Array>): Promise<void>;
  append(name: string, content: Uint8Array | string): Promise<void>;
  /** The names of the files and folders in it, sorted. */
  list(): Promise<string[]>;
  /** The files in it and below, as sorted paths relative to it. Links are followed, but no loop of links. */
  listFiles(): Promise<string[]>;
  exists(name: string): Promise<boolean>;
  /** Removes a file, or a folder with all that is in it; does nothing where there is neither. */
  remove(name: string): Promise<void>;
  /** The sub-folder, made if missing. */
  folder(name: string): Promise<Folder>;
  /** Returns when the files right in this folder, and all its names, are on the disk. */
  sync(): Promise<void>;
  /** Renames a sub-folder in one step; absent where the file system cannot (the Origin Private File System). */
  rename?(from: string, to: string): Promise<void>;
}

export type FileContent = string | Uint8Array | Uint8Array[];

/** Sorts names by their UTF-16 code units: the same order on every machine, whatever its locale. */
export function sortedNames(names: Iterable<string>): string[] {
  return [...names].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Splits a relative name at '/', and throws where it would lead out of its folder. */
export function nameParts(name: string): string[] {
  const parts = name.split('/');
  if (parts.some(part => part === '' || part === '.' || part === '..' || part.includes('\\') || part.includes('\0'))) {
    throw new Error(`'${name}' is not a name inside a folder`);
  }
  return parts;
}

/** A Blob (in a page, a file that the user chose) as a file that is read in pieces. */
export class BlobFile implements RandomAccess {
  readonly size: number;
  readonly #blob: Blob;

  constructor(blob: Blob) {
    this.#blob = blob;
    this.size = blob.size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return new Uint8Array(await this.#blob.slice(offset, offset + length).arrayBuffer());
  }
}
