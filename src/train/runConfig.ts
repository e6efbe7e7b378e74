import { UserError } from '../io/errors.ts';
import type { Folder } from '../io/files.ts';
import type { Device } from '../runtime/device.ts';
import { parseVariant } from '../runtime/variants.ts';
import type { Options } from './training.ts';
import { applyTuning, tellNotOffered } from './tune/cache.ts';

/** What config.json of a run says: the recipe as the user named it, and every setting. */
export interface RunConfig {
  readonly recipe: string;
  readonly options: Options;
  /** Of a run that has begun: the name of its adapter. */
  readonly adapter?: string;
  /** Of a run that has begun: the kernels' variants by class of problem, as variantText writes them. */
  readonly variants?: Readonly<Record<string, string>>;
}

/**
 * Writes config.json, from which the run can be repeated and resumed. The variants that it has used so far are in it,
 * so that a resumed run takes the same, whatever was measured since.
 */
export async function writeConfig(folder: Folder, run: RunConfig, device: Device): Promise<void> {
  const { name, driver } = device.adapter;
  const { recipe, options } = run;
  const before = run.adapter === name ? run.variants : {};
  const config = { recipe, options, adapter: { name, driver }, variants: { ...before, ...device.choices.used() } };
  await folder.write('config.json', `${JSON.stringify(config, null, 2)}\n`);
}

/**
 * Lets a device compute as a run did that goes on: with the variants that it has used, where the adapter is the same; a
 * new run, and a run of another adapter, takes what was measured for this one.
 * @param message told once, of the first of these variants that is not offered
 */
export async function applyVariants(
  { adapter, variants }: RunConfig,
  device: Device,
  message?: (text: string) => void,
): Promise<void> {
  if (adapter !== device.adapter.name) return applyTuning(device, message);
  tellNotOffered(device, 'config.json', 'results may round otherwise than before', message);
  for (const [key, text] of Object.entries(variants ?? {})) {
    const variant = parseVariant(text);
    if (variant) device.choices.set(key, variant);
  }
}

/** The config.json of a run. @param where its path, for messages. @throws UserError where it is none */
export function parseConfig(text: string, where: string): RunConfig {
  let parsed: (Partial<Omit<RunConfig, 'adapter'>> & { readonly adapter?: { readonly name?: unknown } }) | null;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${where}: ${(error as Error).message}`);
  }
  if (typeof parsed?.recipe !== 'string' || typeof parsed.options !== 'object' || parsed.options === null) {
    throw new UserError(`${where}: not the config.json of a run, which names a recipe and its options`);
  }
  const { recipe, options, adapter, variants = {} } = parsed;
  const name = adapter?.name;
  if (typeof variants !== 'object' || variants === null || Object.values(variants).some(isNoVariant)) {
    throw new UserError(`${where}: its variants are not those of a run; remove them to take the defaults`);
  }
  return { recipe, options, adapter: typeof name === 'string' ? name : undefined, variants };
}

function isNoVariant(text: unknown): boolean {
  return typeof text !== 'string' || parseVariant(text) === undefined;
}
