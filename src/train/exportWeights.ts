import type { Folder } from '../io/files.ts';
import { writeSafetensors } from '../io/safetensors.ts';
import { readStateDict } from '../models/module.ts';
import type { Training } from './training.ts';

/** Writes the networks that a training leaves for others as weights/NAME.safetensors in the run's folder, in f16. */
export async function exportWeights(folder: Folder, { exports = {} }: Training): Promise<string[]> {
  const written: string[] = [];
  for (const [name, module] of Object.entries(exports)) {
    const state = await readStateDict(module);
    // Counters, which f16 could not hold.
    for (const [key, { isOptional }] of module.state()) if (isOptional) state.delete(key);
    await (await folder.folder('weights')).write(
      `${name}.safetensors`,
      writeSafetensors(state, { dtype: 'F16', metadata: module.metadata() }),
    );
    written.push(`weights/${name}.safetensors`);
  }
  return written;
}
