import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A file of the package's folder weights/, which lies above the source files and above the bundles alike. */
export async function readWeights(file: string): Promise<Uint8Array | undefined> {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const path = join(folder, 'weights', file);
    if (existsSync(path)) return readFile(path);
    const parent = dirname(folder);
    if (parent === folder) return undefined;
    folder = parent;
  }
}
