import { UserError } from '../../io/errors.ts';
import { openFile } from '../../io/files.ts';
import type { RandomAccess } from '../../io/folder.ts';
import { isNpy, openNpy } from '../../io/numpy.ts';
import { MemoryFile } from '../../io/ranges.ts';
import { readSafetensorsMetadata } from '../../io/safetensors.ts';
import { openSafetensors } from '../../io/safetensorsFile.ts';
import { readValues, type StoredTensor, widened } from '../../io/storedTensor.ts';
import { readTorch, torchFormat } from '../../io/torch/read.ts';
import { stateDictOf } from '../../io/weights.ts';
import { readZip, type ZipEntry } from '../../io/zip.ts';
import type { StateDict } from '../module.ts';
import { recogniseDirection, recogniseGanSpace } from './directions.ts';
import { recogniseEncoder } from './encoders.ts';
import { type Flat, flatten, part } from './flat.ts';
import { type Foreign, KINDS, type Kind, leftOut, type Recogniser } from './kinds.ts';
import {
  recogniseInception,
  recogniseLpips,
  recogniseLpipsLike,
  recogniseParsing,
  recogniseRecognition,
  recogniseResNet,
  recogniseTrunk,
} from './networks.ts';
import { recogniseStyleGan2 } from './stylegan2.ts';

const RECOGNISERS: readonly Recogniser[] = [
  recogniseStyleGan2,
  recogniseEncoder,
  recogniseRecognition,
  recogniseParsing,
  recogniseLpips,
  recogniseLpipsLike,
  recogniseTrunk,
  recogniseResNet,
  recogniseInception,
  recogniseGanSpace,
  recogniseDirection,
];

/** Metadata of files that wgrad converted. */
export const KIND_KEY = 'wgrad.kind';
export const ABOUT_KEY = 'wgrad.about';
/** Names of tensors that are another one, as {"alias": "name"}. */
export const ALIASES_KEY = 'wgrad.aliases';

/** Unpacked, a .npz may have so many bytes. */
const MAX_UNPACKED = 1 << 29;

/**
 * The weights in a file of PyTorch, NVlabs, NumPy or safetensors: what they are, and their tensors by wgrad's keys.
 * Nothing in the file is executed; values are read when they are asked for.
 *
 * @throws UserError for what is no whole file of these formats, or is damaged, or asks for code to be run
 */
export async function readForeign(path: string): Promise<Foreign> {
  return recognise(await openWeights(await openFile(path), path));
}

/** The tensors of a file under their own names. */
async function openWeights(file: RandomAccess, name: string): Promise<Flat> {
  const head = await file.read(0, 512);
  if (head.length === 0) throw new UserError(`${name} is empty`);
  if (isNpy(head)) return flatten(await openNpy(file, name), name);
  if (torchFormat(head) === 'zip') {
    const entries = await readZip(file, name);
    if (entries.length > 0 && entries.every(entry => entry.name.endsWith('.npy'))) return openNpz(entries, name);
  }
  if (head[8] === 0x7b) {
    const { tensors, metadata } = await openSafetensors(file, { name });
    return { name, tensors, settings: new Map(), metadata };
  }
  return flatten(await readTorch(file, name), name);
}

async function openNpz(entries: readonly ZipEntry[], name: string): Promise<Flat> {
  const size = entries.reduce((sum, entry) => sum + entry.size, 0);
  if (size > MAX_UNPACKED) throw new UserError(`${name} unpacks to ${size} bytes: at most ${MAX_UNPACKED} are read`);
  const tensors = new Map<string, StoredTensor>();
  for (const entry of entries) {
    tensors.set(entry.name.slice(0, -4), await openNpy(new MemoryFile(await entry.read()), `${name}: ${entry.name}`));
  }
  return { name, tensors, settings: new Map() };
}

function recognise(flat: Flat): Foreign {
  const { metadata = {} } = flat;
  if (flat.tensors.size === 0) throw new UserError(`${flat.name} has no tensors in it`);
  const kind = metadata[KIND_KEY];
  if (kind !== undefined && Object.hasOwn(KINDS, kind)) {
    const { [KIND_KEY]: _, [ABOUT_KEY]: about = '', [ALIASES_KEY]: aliases, ...rest } = metadata;
    const tensors = withAliases(flat.tensors, aliases, flat.name);
    refuseFalseKind(kind as Kind, rest, { ...flat, tensors });
    return { kind: kind as Kind, about, tensors, metadata: rest, leftOut: new Map() };
  }
  for (const recogniser of RECOGNISERS) {
    const found = recogniser(flat);
    if (!found) continue;
    const tensors = new Map([...found.tensors].map(([key, tensor]) => [key, widened(tensor)]));
    return { ...found, tensors, metadata: { ...found.metadata }, leftOut: leftOut(flat, found.used) };
  }
  const tensors = new Map([...flat.tensors].map(([key, tensor]) => [key || 'tensor', widened(tensor)]));
  return { kind: 'unknown', about: 'under their own names', tensors, metadata: {}, leftOut: new Map() };
}

/** Kinds whose networks are known by their tensors alone, and what knows them. */
const CHECKS: Partial<Record<Kind, Recogniser>> = {
  stylegan2: recogniseStyleGan2,
  psp: recogniseEncoder,
  e4e: recogniseEncoder,
  restyle: recogniseEncoder,
  e2style: recogniseEncoder,
  hyperstyle: recogniseEncoder,
  recognition: recogniseRecognition,
  parsing: recogniseParsing,
  lpips: recogniseLpips,
  'lpips-linear': recogniseLpips,
  'lpips-like': recogniseLpipsLike,
  inception: recogniseInception,
  direction: recogniseDirection,
  ganspace: recogniseGanSpace,
};

/** Kinds that the original's options tell apart, not the tensors. */
const ALIKE: readonly Kind[] = ['psp', 'e4e', 'restyle'];

/** A file says what it is, but is not believed: its tensors must be of that, and its options JSON. */
function refuseFalseKind(kind: Kind, { opts }: Readonly<Record<string, string>>, flat: Flat): void {
  const check = CHECKS[kind];
  const found = check?.(flat)?.kind;
  const fits = found === kind || (found !== undefined && ALIKE.includes(found) && ALIKE.includes(kind));
  if (check && !fits) {
    throw new UserError(`${flat.name} says that it is a ${KINDS[kind]}, but its tensors are of something else`);
  }
  if (opts === undefined) return;
  try {
    JSON.parse(opts);
  } catch {
    throw new UserError(`${flat.name}: its opts are no JSON; convert the original file again`);
  }
}

function withAliases<T>(tensors: ReadonlyMap<string, T>, text: string | undefined, name: string): Map<string, T> {
  const result = new Map(tensors);
  if (text === undefined) return result;
  let aliases: unknown;
  try {
    aliases = JSON.parse(text);
  } catch {
    throw new UserError(`${name}: its ${ALIASES_KEY} is no JSON`);
  }
  for (const [alias, key] of Object.entries(aliases ?? {})) {
    const tensor = tensors.get(String(key));
    if (!tensor) throw new UserError(`${name}: '${alias}' stands for '${key}', which is not in it`);
    result.set(alias, tensor);
  }
  return result;
}

/** The values of the tensors whose keys begin with `prefix`, without it, in memory: for loadStateDict. */
export async function foreignState({ tensors }: Pick<Foreign, 'tensors'>, prefix = ''): Promise<StateDict> {
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [key, tensor] of part(tensors, prefix)) {
    state.set(key, { shape: tensor.shape, data: await readValues(tensor) });
  }
  return state;
}

/**
 * The tensors of any file of weights, in memory, and the texts kept with them: those of safetensors under their own
 * names, those of other projects by wgrad's keys.
 * @throws UserError as readForeign
 */
export async function readStateFile(
  path: string,
): Promise<{ tensors: StateDict; metadata: Readonly<Record<string, string>> }> {
  const file = await openFile(path);
  if ((await file.read(8, 1))[0] === 0x7b) {
    const bytes = await file.read(0, file.size);
    const metadata = readSafetensorsMetadata(bytes, { name: path });
    return { tensors: withAliases(stateDictOf(bytes, path), metadata[ALIASES_KEY], path), metadata };
  }
  const foreign = await readForeign(path);
  return { tensors: await foreignState(foreign), metadata: foreign.metadata };
}
