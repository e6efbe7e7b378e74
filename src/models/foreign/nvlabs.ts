/**
 * The layout of NVlabs/stylegan2-ada-pytorch and that of rosinality/stylegan2-pytorch, which is wgrad's: the same
 * tensors, renamed, with other axes of length 1, and the gain of 4 in or not in the generator's filters.
 */
import { UserError } from '../../io/errors.ts';
import { elementCount, mapped, reshaped, type StoredTensor } from '../../io/storedTensor.ts';
import type { Shape } from '../../runtime/shape.ts';
import { discriminatorKey, generatorKey } from '../stylegan2/names.ts';

type Tensors = ReadonlyMap<string, StoredTensor>;

/** One tensor under both names. */
interface Row {
  /** NVlabs' */
  readonly name: string;
  /** wgrad's; several filters of NVlabs' are one that is not stored. */
  readonly key: string | undefined;
}

const AFFINE = ['affine.weight', 'affine.bias'];
const CONV = ['weight', 'bias', ...AFFINE, 'noise_strength', 'noise_const', 'resample_filter'];

function generatorRows(size: number, mappingLayers: number): Row[] {
  const names: string[] = ['mapping.w_avg'];
  for (let i = 0; i < mappingLayers; i++) names.push(`mapping.fc${i}.weight`, `mapping.fc${i}.bias`);
  for (let r = 4; r <= size; r *= 2) {
    const block = `synthesis.b${r}`;
    names.push(
      `${block}.resample_filter`,
      ...(r === 4 ? [`${block}.const`] : CONV.map(name => `${block}.conv0.${name}`)),
    );
    names.push(...CONV.map(name => `${block}.conv1.${name}`));
    names.push(...['weight', 'bias', ...AFFINE].map(name => `${block}.torgb.${name}`));
  }
  return names.map(name => ({ name, key: generatorKey(name) || undefined }));
}

function discriminatorRows(size: number): Row[] {
  const names: string[] = [];
  const layer = (name: string, bias = true) =>
    names.push(`${name}.weight`, ...(bias ? [`${name}.bias`] : []), `${name}.resample_filter`);
  // Those below the first are of the architecture 'skip'.
  for (let r = size; r >= 4; r /= 2) layer(`b${r}.fromrgb`);
  for (let r = size; r > 4; r /= 2) {
    names.push(`b${r}.resample_filter`);
    layer(`b${r}.conv0`);
    layer(`b${r}.conv1`);
    layer(`b${r}.skip`, false);
  }
  layer('b4.conv');
  names.push(...['fc', 'out'].flatMap(name => [`b4.${name}.weight`, `b4.${name}.bias`]));
  return names.map(name => ({ name, key: discriminatorKey(name, size) || undefined }));
}

/** The size of images of NVlabs' networks, by the largest block of up to four digits. */
function sizeOf(names: Iterable<string>): number {
  let size = 0;
  for (const name of names) size = Math.max(size, Number(/^(?:synthesis\.)?b(\d{1,4})\./.exec(name)?.[1] ?? 0));
  return size;
}

function rowsOf(names: readonly string[]): { rows: Row[]; filterGain: number } {
  const size = sizeOf(names);
  if (!names.some(name => name.startsWith('synthesis.'))) return { rows: discriminatorRows(size), filterGain: 1 };
  const layers = names.filter(name => /^mapping\.fc\d+\.weight$/.test(name)).length;
  return { rows: generatorRows(size, layers), filterGain: 4 };
}

/**
 * A generator's or discriminator's tensors by wgrad's keys; the generator's average latent as `latent_avg`.
 * @throws UserError for a tensor that StyleGAN2 does not have, with `source` as the place
 */
export function fromNvlabs(tensors: Tensors, source: string): Map<string, StoredTensor> {
  const { rows, filterGain } = rowsOf([...tensors.keys()]);
  const known = new Map(rows.map(row => [row.name, row]));
  const result = new Map<string, StoredTensor>();
  for (const [name, tensor] of tensors) {
    const row = known.get(name);
    if (!row) throw new UserError(`${source}: "${name}" is of no StyleGAN2 that wgrad has${reason(name)}`);
    if (row.key === undefined) continue;
    const { shape } = tensor;
    const gained = row.key.endsWith('.kernel') ? times(tensor, filterGain) : tensor;
    result.set(row.key, reshaped(gained, wgradShape(name, shape)));
  }
  return result;
}

/**
 * As state_dict() of NVlabs' networks: the inverse, with the filters that are not stored.
 * @throws UserError for a tensor that has no name there
 */
export function toNvlabs(tensors: Tensors): Map<string, StoredTensor> {
  const isGenerator = tensors.has('input.input');
  const count = (pattern: RegExp) => [...tensors.keys()].filter(key => pattern.test(key)).length;
  const rows = isGenerator
    ? generatorRows(4 * 2 ** count(/^to_rgbs\.\d+\.bias$/), count(/^style\.\d+\.weight$/))
    : discriminatorRows(4 * 2 ** count(/^convs\.\d+\.conv2\.1\.weight$/));
  const filterGain = isGenerator ? 4 : 1;
  const filterKey = [...tensors.keys()].find(key => key.endsWith('.kernel'));
  const filter = filterKey && times(tensors.get(filterKey)!, 1 / filterGain);
  const known = new Set(rows.map(row => row.key));
  const strange = [...tensors.keys()].find(key => !known.has(key) && !key.endsWith('.kernel'));
  if (strange !== undefined)
    throw new UserError(`"${strange}" has no name in NVlabs' layout: leave out --layout nvlabs`);
  const absent = new Set(rows.filter(({ key }) => key === undefined || !tensors.has(key)).map(({ name }) => name));
  const result = new Map<string, StoredTensor>();
  for (const { name, key } of rows) {
    const tensor = key === undefined ? undefined : tensors.get(key);
    if (name.endsWith('resample_filter')) {
      if (absent.has(name.replace(/resample_filter$/, 'weight'))) continue;
      const own = tensor ? times(tensor, 1 / filterGain) : filter;
      if (own) result.set(name, own);
    } else if (tensor) {
      result.set(name, reshaped(tensor, nvlabsShape(name, tensor.shape)));
    }
  }
  return result;
}

function times(tensor: StoredTensor, factor: number): StoredTensor {
  return factor === 1 ? tensor : mapped(tensor, `${factor} ×`, value => value * factor);
}

/** rosinality's shape of a tensor of NVlabs'. */
function wgradShape(name: string, shape: Shape): Shape {
  if (!name.startsWith('synthesis.')) return shape;
  if (/\.(conv\d|torgb)\.weight$|\.const$/.test(name)) return [1, ...shape];
  if (name.endsWith('.torgb.bias')) return [1, elementCount(shape), 1, 1];
  if (name.endsWith('.noise_strength')) return [1];
  return name.endsWith('.noise_const') ? [1, 1, ...shape] : shape;
}

/** NVlabs' shape of a tensor of rosinality's. */
function nvlabsShape(name: string, shape: Shape): Shape {
  if (!name.startsWith('synthesis.')) return shape;
  if (/\.(conv\d|torgb)\.weight$|\.const$/.test(name)) return shape.slice(1);
  if (name.endsWith('.torgb.bias')) return [elementCount(shape)];
  if (name.endsWith('.noise_strength')) return [];
  return name.endsWith('.noise_const') ? shape.slice(2) : shape;
}

function reason(name: string): string {
  if (/^mapping\.embed|^mapping\.fc/.test(name)) return ': networks with class labels are not supported';
  if (/^synthesis\.(L\d|input)/.test(name)) return ': it is a StyleGAN3';
  if (/^synthesis\.b\d+\.skip\./.test(name)) return ": of G's architectures only 'skip' is supported";
  return '';
}
