import { join } from 'node:path';
import { readWeights } from '#weights';
import { UserError } from '../io/errors.ts';
import { openFolder, pathKind } from '../io/files.ts';
import { readSafetensorsMetadata } from '../io/safetensors.ts';
import { stateDictOf } from '../io/weights.ts';
import { readStateFile } from '../models/foreign/read.ts';
import type { StateDict } from '../models/module.ts';
import { latestModelPath } from '../train/checkpoint.ts';

/** The tensors of a file, and what to call it in messages. */
export interface FoundWeights {
  readonly source: string;
  readonly tensors: StateDict;
  /** What its file says of them in texts. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * The tensors that a user names: a run's folder (its newest checkpoint), a file of weights, or the name of a network
 * that comes with the package.
 * @throws UserError that begins with the verb where there are none
 */
export async function findWeights(verb: string, name: string): Promise<FoundWeights> {
  const kind = await pathKind(name);
  if (kind === 'folder') {
    if ((await pathKind(join(name, 'config.json'))) !== 'file') {
      throw new UserError(`${verb}: ${name} is no run (no config.json); name a run, or a file of weights`);
    }
    const path = await latestModelPath(await openFolder(join(name, 'checkpoints')));
    if (!path) throw new UserError(`${verb}: ${name} has no checkpoint yet; wait for the first, or let it end`);
    return { source: path, ...(await readStateFile(path)) };
  }
  if (kind === 'file') {
    return { source: name, ...(await readStateFile(name)) };
  }
  const bytes = /^[\w-]+$/.test(name) ? await readWeights(`${name}.safetensors`) : undefined;
  if (bytes) {
    const source = `weights/${name}.safetensors`;
    return {
      source,
      tensors: stateDictOf(bytes, source),
      metadata: readSafetensorsMetadata(bytes, { name: source }),
    };
  }
  throw new UserError(
    `${verb}: there is no ${name}: name a run's folder, a file of weights, or a generator of weights/, as generator-32`,
  );
}
