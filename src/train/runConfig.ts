import { UserError } from '../io/errors.ts';
import type { Folder } from '../io/files.ts';
import type { Device } from '../runtime/device.ts';
import type { Options } from './training.ts';

/** What config.json of a run says: the recipe as the user named it, and every setting. */
export interface RunConfig {
  readonly recipe: string;
  readonly options: Options;
}

/** Writes config.json, from which the run can be repeated and resumed. */
export async function writeConfig(folder: Folder, { recipe, options }: RunConfig, device: Device): Promise<void> {
  const { name, driver } = device.adapter;
  await folder.write('config.json', `${JSON.stringify({ recipe, options, adapter: { name, driver } }, null, 2)}\n`);
}

/** The config.json of a run. @param where its path, for messages. @throws UserError where it is none */
export function parseConfig(text: string, where: string): RunConfig {
  let parsed: Partial<RunConfig> | null;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${where}: ${(error as Error).message}`);
  }
  if (typeof parsed?.recipe !== 'string' || typeof parsed.options !== 'object' || parsed.options === null) {
    throw new UserError(`${where}: not the config.json of a run, which names a recipe and its options`);
  }
  return { recipe: parsed.recipe, options: parsed.options };
}
