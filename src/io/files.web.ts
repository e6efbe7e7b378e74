/**
 * Folders of the page's own storage (the Origin Private File System). The twin for Node is files.node.ts.
 * A write there goes to a copy that replaces the file when it is closed, so every file is whole by itself.
 */
import { UserError } from './errors.ts';
import { BlobFile, type FileContent, type Folder, nameParts, type RandomAccess, sortedNames } from './folder.ts';

/**
 * Opens the folder at `path`, and makes it if `create` is set. The path starts at the storage's root.
 * @throws UserError where there is a file of that name, or nothing and `create` is not set
 */
export async function openFolder(path: string, { create = false } = {}): Promise<Folder> {
  const kind = await pathKind(path);
  if (kind === 'file') throw new UserError(`${path} is a file: name a folder`);
  if (kind === 'missing' && !create) throw new UserError(`There is no folder ${path} in this page's storage`);
  const root = await rootFolder();
  return relativePath(path) ? root.folder(relativePath(path)) : root;
}

/** The folder for what can be computed anew, made if it is not there. */
export async function openCacheFolder(): Promise<Folder> {
  return openFolder('cache', { create: true });
}

/** Opens the file at `path` for reading in pieces. @throws UserError where there is none */
export async function openFile(path: string): Promise<RandomAccess> {
  if ((await pathKind(path)) !== 'file') throw new UserError(`There is no file ${path} in this page's storage`);
  return (await rootFolder()).open(relativePath(path));
}

export async function pathKind(path: string): Promise<'file' | 'folder' | 'missing'> {
  return (await (await rootFolder()).find(relativePath(path)))?.kind ?? 'missing';
}

/** The path without leading './' or '/' and trailing '/'; empty for the storage's root. */
const relativePath = (path: string): string => path.replace(/^\.$|^(\.?\/+)+|\/+$/g, '');

/** For catch(): undefined for the errors named, thrown again for any other. */
const ignoring =
  (...names: string[]) =>
  (error: DOMException): undefined => {
    if (!names.includes(error.name)) throw error;
  };

async function rootFolder(): Promise<StorageFolder> {
  return new StorageFolder(await navigator.storage.getDirectory(), '');
}

class StorageFolder implements Folder {
  readonly path: string;
  readonly #handle: FileSystemDirectoryHandle;

  constructor(handle: FileSystemDirectoryHandle, path: string) {
    this.#handle = handle;
    this.path = path;
  }

  async read(name: string): Promise<Uint8Array> {
    return new Uint8Array(await (await this.#file(name)).arrayBuffer());
  }

  async readText(name: string): Promise<string> {
    return (await this.#file(name)).text();
  }

  async open(name: string): Promise<RandomAccess> {
    return new BlobFile(await this.#file(name));
  }

  async write(name: string, content: FileContent | AsyncIterable<Uint8Array>): Promise<void> {
    const { folder, last } = await this.#locate(name, true);
    const stream = await (await folder.getFileHandle(last, { create: true })).createWritable();
    if (typeof content === 'object' && Symbol.asyncIterator in content) {
      try {
        for await (const piece of content) await stream.write(piece as Uint8Array<ArrayBuffer>);
      } catch (error) {
        await stream.abort();
        throw error;
      }
      await stream.close();
      return;
    }
    // A Blob of the chunks is written in one go; it does not copy them first.
    await stream.write(new Blob((Array.isArray(content) ? content : [content]) as BlobPart[]));
    await stream.close();
  }

  async append(name: string, content: Uint8Array | string): Promise<void> {
    const { folder, last } = await this.#locate(name, true);
    const handle = await folder.getFileHandle(last, { create: true });
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    if ('createSyncAccessHandle' in handle) {
      // In a Worker, where training runs: in place, without the copy of the whole file that createWritable makes.
      const access = await handle.createSyncAccessHandle();
      try {
        access.write(bytes as Uint8Array<ArrayBuffer>, { at: access.getSize() });
        access.flush();
      } finally {
        access.close(); // or nobody could open the file again, as after the storage's quota was reached
      }
      return;
    }
    const writable = handle as FileSystemFileHandle;
    const stream = await writable.createWritable({ keepExistingData: true });
    await stream.seek((await writable.getFile()).size);
    await stream.write(bytes as Uint8Array<ArrayBuffer>);
    await stream.close();
  }

  async list(): Promise<string[]> {
    const names: string[] = [];
    for await (const name of this.#handle.keys()) names.push(name);
    return sortedNames(names);
  }

  async listFiles(): Promise<string[]> {
    const files: string[] = [];
    const walk = async (folder: FileSystemDirectoryHandle, above: string): Promise<void> => {
      for await (const [name, handle] of folder.entries()) {
        if (handle.kind === 'directory') await walk(handle as FileSystemDirectoryHandle, `${above}${name}/`);
        else files.push(above + name);
      }
    };
    await walk(this.#handle, '');
    return sortedNames(files);
  }

  async exists(name: string): Promise<boolean> {
    return (await this.find(name)) !== undefined;
  }

  async remove(name: string): Promise<void> {
    if (!(await this.exists(name))) return;
    const { folder, last } = await this.#locate(name, false);
    await folder.removeEntry(last, { recursive: true });
  }

  async folder(name: string): Promise<Folder> {
    let handle = this.#handle;
    for (const part of nameParts(name)) handle = await handle.getDirectoryHandle(part, { create: true });
    return new StorageFolder(handle, this.path ? `${this.path}/${name}` : name);
  }

  async sync(): Promise<void> {
    // Closing a file's stream has handed it to the browser; a page can do no more.
  }

  /** The kind of what is at `name`, or undefined where there is nothing; the empty name is the folder itself. */
  async find(name: string): Promise<{ kind: 'file' | 'folder' } | undefined> {
    if (name === '') return { kind: 'folder' };
    const located = await this.#locate(name, false).catch(ignoring('NotFoundError', 'TypeMismatchError'));
    if (!located) return undefined;
    const { folder, last } = located;
    if (await folder.getFileHandle(last).catch(ignoring('NotFoundError', 'TypeMismatchError'))) return { kind: 'file' };
    if (await folder.getDirectoryHandle(last).catch(ignoring('NotFoundError'))) return { kind: 'folder' };
    return undefined;
  }

  async #locate(name: string, create: boolean): Promise<{ folder: FileSystemDirectoryHandle; last: string }> {
    const parts = nameParts(name);
    const last = parts.pop()!;
    let folder = this.#handle;
    for (const part of parts) folder = await folder.getDirectoryHandle(part, { create });
    return { folder, last };
  }

  async #file(name: string): Promise<File> {
    const { folder, last } = await this.#locate(name, false);
    return (await folder.getFileHandle(last)).getFile();
  }
}
