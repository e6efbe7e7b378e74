import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The path of a file of the package, by its path in there: above the source files and above the bundles alike, and not
 * above the package, where a file of such a name is somebody else's.
 */
export function packageFile(...names: readonly string[]): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const path = join(folder, ...names);
    if (existsSync(path)) return path;
    const parent = dirname(folder);
    if (parent === folder || existsSync(join(folder, 'package.json'))) return undefined;
    folder = parent;
  }
}
