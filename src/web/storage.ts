/** The one run that the page keeps in its storage, as a folder that equals a run of the command. */
import { UserError } from '../io/errors.ts';
import { BlobFile, type Folder, openFolder } from '../io/files.ts';
import { decodeImage } from '../io/images.ts';
import { readZip, zipFolder } from '../io/zip.ts';
import { latestStep } from '../train/checkpoint.ts';
import { assignOptions } from '../train/options.ts';
import { recipes } from '../train/recipes/index.ts';
import { parseConfig, type RunConfig } from '../train/runConfig.ts';
import { readLog } from '../train/runLog.ts';
import type { Samples, StoredRun } from './messages.ts';

const RUN = 'run';
/** What makes a folder a run: written last, removed first. */
const CONFIG = 'config.json';

/** The folder of the run in storage, or undefined if there is none. */
export async function openRun(): Promise<Folder | undefined> {
  const folder = await openFolder(RUN, { create: true });
  return (await folder.exists(CONFIG)) ? folder : undefined;
}

/** An empty folder for a new run. */
export async function createRun(): Promise<Folder> {
  await discardRun();
  return openFolder(RUN, { create: true });
}

export async function discardRun(): Promise<void> {
  await (await openRun())?.remove(CONFIG);
  await (await openFolder('')).remove(RUN);
}

/** The settings of a run, checked against its recipe: a stored or loaded run is not trusted. */
export async function readConfig(folder: Folder): Promise<RunConfig> {
  return checkedConfig(await folder.readText(CONFIG), `${folder.path}/${CONFIG}`);
}

function checkedConfig(text: string, where: string): RunConfig {
  const { recipe, options, ...run } = parseConfig(text, where);
  if (!Object.hasOwn(recipes, recipe)) {
    throw new UserError(`${where}: the page has no recipe '${recipe}'; it has ${Object.keys(recipes).join(', ')}`);
  }
  const assignments = Object.entries(options).map(([key, value]) => ({ key, value, where }));
  return { ...run, recipe, options: assignOptions(recipe, recipes[recipe], assignments) };
}

/** The run in storage as the page shows it. */
export async function describeRun(): Promise<StoredRun | undefined> {
  const folder = await openRun();
  if (!folder) return undefined;
  const config = await readConfig(folder);
  const step = (await latestStep(await folder.folder('checkpoints'))) ?? 0;
  const report = (await folder.exists('report.html')) ? await folder.readText('report.html') : undefined;
  const weights = await (await folder.folder('weights')).list();
  return {
    ...config,
    step,
    // Both are written after the last checkpoint, and every recipe leaves one of them.
    finished: step >= Number(config.options.steps) && (report !== undefined || weights.length > 0),
    lines: await readLog(folder, step),
    samples: await latestSamples(folder),
    report,
    weights,
  };
}

async function latestSamples(folder: Folder): Promise<Samples | undefined> {
  const samples = await folder.folder('samples');
  const name = (await samples.list()).at(-1);
  if (name === undefined) return undefined;
  return { step: Number(/\d+/.exec(name)?.[0]), grid: await decodeImage(await samples.read(name), name) };
}

/** The run as a zip with one folder in it, which `wgrad train --resume` takes. */
export async function exportRun(): Promise<{ name: string; zip: Blob }> {
  const folder = await openRun();
  if (!folder) throw new UserError('there is no run in this page’s storage');
  const { recipe } = await readConfig(folder);
  const files = new Map<string, Uint8Array>();
  for (const path of await folder.listFiles()) files.set(`wgrad-${recipe}/${path}`, await folder.read(path));
  const zip = zipFolder(files) as Uint8Array<ArrayBuffer>;
  return { name: `wgrad-${recipe}.zip`, zip: new Blob([zip], { type: 'application/zip' }) };
}

/**
 * Puts a run of the page or of the command in the place of the one in storage: out of a zip, or from a folder's files
 * with their paths. Everything is read once before anything is replaced.
 * @throws UserError where it is no run, or a damaged one
 */
export async function importRun(files: readonly { path: string; file: File }[]): Promise<void> {
  const [first] = files;
  const isZip = files.length === 1 && /\.zip$/i.test(first.path);
  const entries = isZip
    ? await readZip(new BlobFile(first.file), first.path)
    : files.map(({ path, file }) => ({ name: path, read: async () => new Uint8Array(await file.arrayBuffer()) }));
  const configs = entries.map(({ name }) => name).filter(name => name === CONFIG || name.endsWith(`/${CONFIG}`));
  const shortest = configs.sort((a, b) => a.length - b.length)[0];
  if (shortest === undefined) throw new UserError(`${isZip ? first.path : 'that folder'} holds no run: no ${CONFIG}`);
  const root = shortest.slice(0, -CONFIG.length);
  const inside = entries.filter(({ name }) => name.startsWith(root));
  for (const { name, read } of inside) {
    const bytes = await read();
    if (name === shortest) checkedConfig(new TextDecoder().decode(bytes), name);
  }
  const checkpoints = inside.filter(({ name }) => name.startsWith(`${root}checkpoints/`));
  if (checkpoints.length > 0 && !checkpoints.some(({ name }) => name.endsWith('/complete.json'))) {
    throw new UserError('the checkpoints of that run are not complete: copy or pack its folder again');
  }
  const folder = await createRun();
  const last = inside.filter(({ name }) => name === shortest);
  for (const { name, read } of [...inside.filter(({ name }) => name !== shortest), ...last]) {
    await folder.write(name.slice(root.length), await read());
  }
}
