/** The files that a verb writes beside what it prints. */
import { accessSync, constants, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { UserError } from '../io/errors.ts';
import { openFolder, pathKind } from '../io/files.ts';

/** Writes a file that is there as a whole or not at all. */
export async function writeFile(path: string, content: string): Promise<void> {
  const folder = await openFolder(dirname(path));
  await folder.write(basename(path), content);
}

/** Refuses a file that could not be written at the end. */
export function refuseFile(flag: string, path: string | undefined, ending: string): void {
  if (path === undefined) return;
  if (!path.toLowerCase().endsWith(ending)) throw new UserError(`${flag} ${path}: name a file that ends in ${ending}`);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) throw new UserError(`${flag} ${path} is a folder: name a file`);
  try {
    accessSync(dirname(path), constants.W_OK);
    if (found) accessSync(path, constants.W_OK);
  } catch (error) {
    throw new UserError(`${flag} ${path} cannot be written: ${(error as Error).message}`);
  }
}

/** Refuses files that are there already. @param instead what else to do than to replace them */
export async function refuseExisting(files: readonly string[], instead = 'give another --out'): Promise<void> {
  for (const file of files) {
    if ((await pathKind(file)) === 'missing') continue;
    throw new UserError(`${file} is there already: ${instead}, or replace it with --force`);
  }
}
