import { UserError } from '../io/errors.ts';
import { completeFolders, type Folder, removeCompleteFolder, writeFolderAtomically } from '../io/files.ts';
import { readSafetensors, writeSafetensors } from '../io/safetensors.ts';
import { loadStateDict, type Module, readStateDict } from '../models/module.ts';
import type { Saved, Training } from './training.ts';

/** Everything of a checkpoint that is no tensor. */
export interface CheckpointState {
  readonly step: number;
  readonly [key: string]: unknown;
}

type Entries = Map<string, { shape: readonly number[]; data: Float32Array | Uint32Array }>;

const name = (step: number) => `step-${String(step).padStart(8, '0')}`;
const isName = (folder: string) => /^step-\d+$/.test(folder);

/** The complete checkpoints of a run, oldest first. Folders of other names are the user's own. */
async function completeCheckpoints(checkpoints: Folder): Promise<string[]> {
  return (await completeFolders(checkpoints)).filter(isName);
}

/**
 * Writes a checkpoint as one folder that is complete or not there: model.safetensors, optimizer.safetensors and
 * state.json. Does nothing where there is one of that step. Of the complete ones the `keep` newest stay; `keep` is at
 * least 1.
 */
export async function saveCheckpoint(
  checkpoints: Folder,
  { modules, optimizers }: Pick<Training, 'modules' | 'optimizers'>,
  state: CheckpointState,
  keep: number,
): Promise<void> {
  if ((await completeCheckpoints(checkpoints)).includes(name(state.step))) return;
  // All reads are issued before the first is awaited, so that they see one moment.
  const [model, optimizer] = await Promise.all([
    gather(modules, readStateDict as (module: Module) => Promise<Entries>),
    gather(optimizers, (saved: Saved) => saved.state()),
  ]);
  const files = new Map<string, string | Uint8Array[]>([
    ['model.safetensors', writeSafetensors(model, { metadata: metadataOf(modules) })],
    ['optimizer.safetensors', writeSafetensors(optimizer)],
    ['state.json', `${JSON.stringify(state)}\n`],
  ]);
  await writeFolderAtomically(checkpoints, name(state.step), files);
  for (const old of (await completeCheckpoints(checkpoints)).slice(0, -keep))
    await removeCompleteFolder(checkpoints, old);
}

/** What the modules say of themselves beside their tensors, under the names of these. */
function metadataOf(modules: Training['modules']): Record<string, string> {
  const all = Object.entries(modules).flatMap(([part, module]) =>
    Object.entries(module.metadata()).map(([key, value]) => [`${part}/${key}`, value]),
  );
  return Object.fromEntries(all);
}

/** The entries of several parts under one name each, `part/key`. */
async function gather<T>(parts: Readonly<Record<string, T>>, read: (part: T) => Promise<Entries>): Promise<Entries> {
  const names = Object.keys(parts);
  const states = await Promise.all(names.map(part => read(parts[part])));
  const entries: Entries = new Map();
  states.forEach((state, i) => {
    for (const [key, entry] of state) entries.set(`${names[i]}/${key}`, entry);
  });
  return entries;
}

/** The step of the newest complete checkpoint of a run, or undefined if there is none. */
export async function latestStep(checkpoints: Folder): Promise<number | undefined> {
  const newest = (await completeCheckpoints(checkpoints)).at(-1);
  return newest === undefined ? undefined : Number(newest.replace('step-', ''));
}

/** A checkpoint read into memory, before a model takes it. */
export interface Checkpoint {
  readonly path: string;
  readonly state: CheckpointState;
  /** Overwrites the parts of a training that the checkpoint holds; the others are left alone. */
  restore(training: Pick<Training, 'modules' | 'optimizers'>): void;
}

/** The newest complete checkpoint of a run, or undefined if there is none. */
export async function latestCheckpoint(checkpoints: Folder): Promise<Checkpoint | undefined> {
  const newest = await latestIntact(checkpoints);
  if (!newest) return undefined;
  const path = `${checkpoints.path}/${newest}`;
  const read = async (file: string) =>
    readSafetensors(await checkpoints.read(`${newest}/${file}`), { name: `${path}/${file}` });
  const [model, optimizer] = [await read('model.safetensors'), await read('optimizer.safetensors')];
  let state: CheckpointState;
  try {
    state = JSON.parse(await checkpoints.readText(`${newest}/state.json`)) as CheckpointState;
    if (name(state.step) !== newest) throw new Error('of another step');
  } catch {
    throw damaged(path, 'its state.json is not readable');
  }
  const part = (tensors: typeof model, prefix: string) => {
    const entries = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>();
    for (const [key, tensor] of tensors) {
      if (!key.startsWith(`${prefix}/`)) continue;
      entries.set(key.slice(prefix.length + 1), { shape: tensor.shape, data: tensor.data() as ArrayLike<number> });
    }
    return entries;
  };
  const restore = ({ modules, optimizers }: Pick<Training, 'modules' | 'optimizers'>) => {
    for (const [key, module] of Object.entries(modules)) {
      loadStateDict(module, part(model, key), { source: `${path}/model.safetensors (${key})` });
    }
    for (const [key, saved] of Object.entries(optimizers)) {
      saved.load(part(optimizer, key), { source: `${path}/optimizer.safetensors (${key})` });
    }
  };
  return { path, state, restore };
}

/** The file of the networks in the newest complete checkpoint of a run, or undefined if there is none. */
export async function latestModelPath(checkpoints: Folder): Promise<string | undefined> {
  const newest = await latestIntact(checkpoints);
  return newest && `${checkpoints.path}/${newest}/model.safetensors`;
}

/** The name of the newest complete checkpoint. @throws UserError where a newer one is damaged */
async function latestIntact(checkpoints: Folder): Promise<string | undefined> {
  const newest = (await completeCheckpoints(checkpoints)).at(-1);
  await refuseDamaged(checkpoints, newest);
  return newest;
}

/**
 * Throws where a checkpoint newer than the newest complete one is damaged: killed writers leave none under its final
 * name (or, where folders cannot be renamed, one that is marked), so someone broke a copy off, and going on from an
 * older one would lose steps unasked.
 */
async function refuseDamaged(checkpoints: Folder, newest = ''): Promise<void> {
  const names = await checkpoints.list();
  for (const found of names) {
    if (!isName(found) || found <= newest || names.includes(`.tmp-${found}`)) continue;
    throw damaged(`${checkpoints.path}/${found}`, 'a file is missing or truncated');
  }
}

function damaged(path: string, why: string): UserError {
  return new UserError(`${path} is damaged: ${why}; remove that folder to go on from the checkpoint before it`);
}
