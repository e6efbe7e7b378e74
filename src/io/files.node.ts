/** Folders of the disk, for Node. The twin for pages is files.web.ts. */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { UserError } from './errors.ts';
import { type FileContent, type Folder, nameParts, type RandomAccess, sortedNames } from './folder.ts';

/** A temporary file that nothing was added to for so long, in milliseconds, has no writer any more. */
const ABANDONED = 3_600_000;
const UUID_LENGTH = 36;

/**
 * Opens the folder at `path`, and makes it if `create` is set.
 * @throws UserError where there is a file of that name, or nothing and `create` is not set
 */
export async function openFolder(path: string, { create = false } = {}): Promise<Folder> {
  const kind = await pathKind(path);
  if (kind === 'file') throw new UserError(`${path} is a file: name a folder`);
  if (kind === 'missing') {
    if (!create) throw new UserError(`There is no folder ${path}: check the path`);
    await fs.mkdir(path, { recursive: true });
  }
  return new DiskFolder(path);
}

/**
 * The user's folder for what can be computed anew, made if it is not there: wgrad in $XDG_CACHE_HOME, or in ~/.cache
 * @throws UserError where it cannot be made
 */
export async function openCacheFolder(): Promise<Folder> {
  const { XDG_CACHE_HOME = '' } = process.env;
  const base = path.isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : path.join(os.homedir(), '.cache');
  const folder = path.join(base, 'wgrad');
  return openFolder(folder, { create: true }).catch(error => {
    throw new UserError(`${folder} cannot be made: ${error.message}; set XDG_CACHE_HOME to a folder for caches`);
  });
}

/** Opens the file at `path` for reading in pieces. @throws UserError where there is none */
export async function openFile(path: string): Promise<RandomAccess> {
  if ((await pathKind(path)) !== 'file') throw new UserError(`There is no file ${path}: check the path`);
  return openDiskFile(path);
}

export async function pathKind(path: string): Promise<'file' | 'folder' | 'missing'> {
  try {
    return (await fs.stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing';
    throw new UserError(`Cannot open ${path}: ${(error as Error).message}`);
  }
}

class DiskFolder implements Folder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  read(name: string): Promise<Uint8Array> {
    return fs.readFile(this.#at(name));
  }

  readText(name: string): Promise<string> {
    return fs.readFile(this.#at(name), 'utf8');
  }

  open(name: string): Promise<RandomAccess> {
    return openDiskFile(this.#at(name));
  }

  async write(name: string, content: FileContent | AsyncIterable<Uint8Array>): Promise<void> {
    const target = this.#at(name);
    await fs.mkdir(path.dirname(target), { recursive: true });
    await removeLeftovers(target);
    const temporary = `${temporaryPrefix(target)}${randomUUID()}`;
    try {
      await fs.writeFile(temporary, content);
      await fs.rename(temporary, target);
    } catch (error) {
      await fs.rm(temporary, { force: true });
      throw error;
    }
  }

  append(name: string, content: Uint8Array | string): Promise<void> {
    return fs.appendFile(this.#at(name), content);
  }

  async list(): Promise<string[]> {
    return sortedNames(await fs.readdir(this.path));
  }

  async listFiles(): Promise<string[]> {
    const files: string[] = [];
    const walk = async (relative: string, above: string[]): Promise<void> => {
      const real = await fs.realpath(path.join(this.path, relative));
      if (above.includes(real)) return; // a link to a folder that it lies in
      for (const entry of await fs.readdir(real, { withFileTypes: true })) {
        const name = relative ? `${relative}/${entry.name}` : entry.name;
        const kind = entry.isSymbolicLink() ? await pathKind(path.join(this.path, name)) : undefined;
        if (entry.isDirectory() || kind === 'folder') await walk(name, [...above, real]);
        else if (entry.isFile() || kind === 'file') files.push(name);
      }
    };
    await walk('', []);
    return sortedNames(files);
  }

  async exists(name: string): Promise<boolean> {
    return (await pathKind(this.#at(name))) !== 'missing';
  }

  remove(name: string): Promise<void> {
    return fs.rm(this.#at(name), { recursive: true, force: true });
  }

  async folder(name: string): Promise<Folder> {
    return openFolder(this.#at(name), { create: true });
  }

  async sync(): Promise<void> {
    for (const entry of await fs.readdir(this.path, { withFileTypes: true })) {
      if (entry.isFile()) await syncPath(this.#at(entry.name));
    }
    // Windows has no way to sync a folder, and needs none.
    if (process.platform !== 'win32') await syncPath(this.path);
  }

  rename(from: string, to: string): Promise<void> {
    return fs.rename(this.#at(from), this.#at(to));
  }

  #at(name: string): string {
    return path.join(this.path, ...nameParts(name));
  }
}

/** What the temporary names of a file begin with. Each writer has a name of its own: two may write at once. */
function temporaryPrefix(target: string): string {
  return path.join(path.dirname(target), `.tmp-${path.basename(target)}-`);
}

/** Removes what writers of a file that were killed left beside it. */
async function removeLeftovers(target: string): Promise<void> {
  const prefix = temporaryPrefix(target);
  for (const name of await fs.readdir(path.dirname(target))) {
    const found = path.join(path.dirname(target), name);
    if (!found.startsWith(prefix) || found.length !== prefix.length + UUID_LENGTH) continue;
    const { mtimeMs } = await fs.stat(found).catch(() => ({ mtimeMs: Date.now() })); // its writer has just renamed it
    if (Date.now() - mtimeMs > ABANDONED) await fs.rm(found, { force: true });
  }
}

async function syncPath(path: string): Promise<void> {
  const handle = await fs.open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function openDiskFile(path: string): Promise<RandomAccess> {
  return new DiskFile(path, (await fs.stat(path)).size);
}

/** Opened for each read, so that nobody has to close it. */
class DiskFile implements RandomAccess {
  readonly #path: string;
  readonly size: number;

  constructor(path: string, size: number) {
    this.#path = path;
    this.size = size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    const handle = await fs.open(this.#path, 'r');
    try {
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, offset + filled);
        if (bytesRead === 0) break; // the file was shortened meanwhile
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    } finally {
      await handle.close();
    }
  }
}
