/**
 * Folders on a disk (Node) or in the page's own storage (browser: the Origin Private File System), and the one way a
 * checkpoint is written: as a folder that is complete or not there.
 */
import type { FileContent, Folder } from './folder.ts';

export { openCacheFolder, openFile, openFolder, pathKind } from '#files';
export { BlobFile, type FileContent, type Folder, type RandomAccess } from './folder.ts';

const temporaryPrefix = '.tmp-';
/** Lists every file of a complete folder with its size; written last, removed first. */
const manifestName = 'complete.json';

/**
 * Writes the files as the sub-folder `name` of `parent` so that a process killed at any instant leaves either the
 * complete folder or none. On a disk everything is written under a temporary name, synced, and renamed; where folders
 * cannot be renamed, the manifest that is written last decides. What earlier writers that were killed left behind is
 * removed first, so a parent has one writer at a time. File names are plain (no sub-folders). Throws where `name` is
 * there and complete: a complete folder is never changed.
 */
export async function writeFolderAtomically(
  parent: Folder,
  name: string,
  files: Map<string, FileContent>,
): Promise<void> {
  const complete = new Set(await completeFolders(parent));
  if (complete.has(name)) throw new Error(`${parent.path}/${name} is there already, and complete`);
  await removeLeftovers(parent);
  await parent.remove(name);

  const temporary = temporaryPrefix + name;
  if (!parent.rename) await parent.write(temporary, '');
  const folder = await parent.folder(parent.rename ? temporary : name);
  const sizes: Record<string, number> = {};
  for (const [file, content] of files) {
    if (file.includes('/')) throw new Error(`${file}: a folder that is written at once has no sub-folders`);
    await folder.write(file, content);
    sizes[file] = contentSize(content);
  }
  await folder.sync();
  await folder.write(manifestName, `${JSON.stringify({ files: sizes }, null, 2)}\n`);
  await folder.sync();
  if (parent.rename) await parent.rename(temporary, name);
  else await parent.remove(temporary);
  await parent.sync();
}

/** The names of the sub-folders that writeFolderAtomically finished, sorted. */
export async function completeFolders(parent: Folder): Promise<string[]> {
  const names: string[] = [];
  for (const name of await parent.list()) {
    if (!name.startsWith(temporaryPrefix) && (await isComplete(parent, name))) names.push(name);
  }
  return names;
}

/** Removes a complete folder so that a process killed in the middle leaves it whole or no longer listed as complete. */
export async function removeCompleteFolder(parent: Folder, name: string): Promise<void> {
  const temporary = temporaryPrefix + name;
  if (parent.rename) {
    await parent.rename(name, temporary);
  } else {
    await parent.write(temporary, '');
    await parent.remove(`${name}/${manifestName}`);
    await parent.remove(name);
  }
  await parent.remove(temporary);
}

/**
 * Removes what killed writers and removers left: folders under their temporary name or, where folders cannot be
 * renamed, the incomplete folders for which an empty file of the temporary name stands.
 */
async function removeLeftovers(parent: Folder): Promise<void> {
  for (const temporary of await parent.list()) {
    if (!temporary.startsWith(temporaryPrefix)) continue;
    const name = temporary.slice(temporaryPrefix.length);
    if (!parent.rename && !(await isComplete(parent, name))) await parent.remove(name);
    await parent.remove(temporary);
  }
}

async function isComplete(parent: Folder, name: string): Promise<boolean> {
  if (!(await parent.exists(`${name}/${manifestName}`))) return false;
  try {
    const { files } = JSON.parse(await parent.readText(`${name}/${manifestName}`)) as { files: Record<string, number> };
    for (const [file, size] of Object.entries(files)) {
      if ((await parent.open(`${name}/${file}`)).size !== size) return false;
    }
    return true;
  } catch {
    return false; // a file is missing, or the manifest is not one: a copy that someone broke off
  }
}

function contentSize(content: FileContent): number {
  if (typeof content === 'string') return new TextEncoder().encode(content).length;
  if (content instanceof Uint8Array) return content.length;
  return content.reduce((sum, chunk) => sum + chunk.length, 0);
}
