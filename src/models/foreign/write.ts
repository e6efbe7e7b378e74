import { UserError } from '../../io/errors.ts';
import { streamSafetensors } from '../../io/safetensorsFile.ts';
import type { StoredTensor } from '../../io/storedTensor.ts';
import { streamTorch, type TorchValue } from '../../io/torch/write.ts';
import { part } from './flat.ts';
import type { Foreign } from './kinds.ts';
import { resnetKey, torchvisionKey } from './networks.ts';
import { toNvlabs } from './nvlabs.ts';
import { ABOUT_KEY, ALIASES_KEY, KIND_KEY } from './read.ts';

/** The pieces of a safetensors file. A tensor that has several names is written once, and the others in the metadata. */
export function foreignToSafetensors({ kind, about, tensors, metadata }: Foreign): AsyncGenerator<Uint8Array> {
  const own = new Map<string, StoredTensor>();
  const names = new Map<string, string>();
  const aliases: Record<string, string> = {};
  for (const [key, tensor] of tensors) {
    // An alias has no shape of its own.
    const place = `${tensor.identity} [${tensor.shape}]`;
    const known = names.get(place);
    if (known !== undefined) aliases[key] = known;
    else {
      names.set(place, key);
      own.set(key, tensor);
    }
  }
  const texts: Record<string, string> = { ...metadata, [KIND_KEY]: kind, [ABOUT_KEY]: about };
  if (Object.keys(aliases).length > 0) texts[ALIASES_KEY] = JSON.stringify(aliases);
  return streamSafetensors(own, texts);
}

/** Whose names the generator and discriminator of a .pt file have. */
export const LAYOUTS = ['rosinality', 'nvlabs'] as const;
export type Layout = (typeof LAYOUTS)[number];

/**
 * The pieces of a .pt file as the project that the weights are from has it, which torch.load opens: for StyleGAN2
 * rosinality's { g_ema, latent_avg, g, d } or, with `layout` 'nvlabs', state dicts { G_ema, G, D } of NVlabs' networks;
 * for encoders { state_dict, opts, latent_avg }; for other networks their state dict.
 */
export function foreignToTorch(
  foreign: Foreign,
  { layout = 'rosinality' }: { layout?: Layout } = {},
): AsyncGenerator<Uint8Array> {
  return streamTorch(torchValue(foreign, layout));
}

function torchValue({ kind, tensors, metadata }: Foreign, layout: Layout): TorchValue {
  switch (kind) {
    case 'stylegan2':
      return layout === 'nvlabs' ? nvlabsValue(tensors) : rosinalityValue(tensors);
    case 'psp':
    case 'e4e':
    case 'restyle':
    case 'e2style':
    case 'hyperstyle':
      return encoderValue(tensors, metadata);
    case 'alexnet':
    case 'vgg16':
    case 'squeezenet':
      return new Map([...tensors].map(([key, tensor]) => [torchvisionKey(key), tensor]));
    case 'resnet34':
      return new Map([...tensors].map(([key, tensor]) => [resnetKey(key), tensor]));
    case 'direction':
      return tensors.get('direction') ?? null;
    default:
      return tensors;
  }
}

type Tensors = ReadonlyMap<string, StoredTensor>;

function rosinalityValue(tensors: Tensors): TorchValue {
  const result = new Map<string, TorchValue>();
  for (const name of ['g_ema', 'g', 'd']) {
    const network = part(tensors, `${name}.`);
    if (network.size > 0) result.set(name, network);
  }
  const average = tensors.get('latent_avg');
  if (average) result.set('latent_avg', average);
  return result;
}

function nvlabsValue(tensors: Tensors): TorchValue {
  const result = new Map<string, TorchValue>();
  for (const [name, to] of [
    ['g_ema', 'G_ema'],
    ['g', 'G'],
    ['d', 'D'],
  ]) {
    const network = part(tensors, `${name}.`);
    const average = tensors.get(name === 'g_ema' ? 'latent_avg' : `${name}_latent_avg`);
    if (network.size > 0 && average) network.set('latent_avg', average);
    if (network.size > 0) result.set(to, toNvlabs(network));
  }
  return result;
}

function encoderValue(tensors: Tensors, { opts }: Readonly<Record<string, string>>): TorchValue {
  const state = new Map(tensors);
  const result = new Map<string, TorchValue>([['state_dict', state]]);
  if (opts !== undefined) result.set('opts', fromJson(JSON.parse(opts)));
  const average = state.get('latent_avg');
  if (average) result.set('latent_avg', average);
  state.delete('latent_avg');
  const discriminator = part(state, 'discriminator.');
  for (const key of discriminator.keys()) state.delete(`discriminator.${key}`);
  if (discriminator.size > 0) result.set('discriminator_state_dict', discriminator);
  return result;
}

/** Options are some levels deep; JSON that a file was given may be any. */
const MAX_DEPTH = 32;

function fromJson(value: unknown, depth = 0): TorchValue {
  if (depth > MAX_DEPTH) throw new UserError(`opts are nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) return value.map(item => fromJson(item, depth + 1));
  if (value !== null && typeof value === 'object') {
    return new Map(Object.entries(value).map(([key, item]) => [key, fromJson(item, depth + 1)]));
  }
  return value as TorchValue;
}
