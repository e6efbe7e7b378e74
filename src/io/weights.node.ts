import { readFile } from 'node:fs/promises';
import { packageFile } from './packageFile.node.ts';

/** A file of the package's folder weights/. */
export async function readWeights(file: string): Promise<Uint8Array | undefined> {
  const path = packageFile('weights', file);
  return path === undefined ? undefined : readFile(path);
}
