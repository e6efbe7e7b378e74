import { UserError } from '../../io/errors.ts';
import { reshaped, type StoredTensor } from '../../io/storedTensor.ts';
import { checkStateDict } from '../module.ts';
import { resolutions, type StyleGan2Config } from '../stylegan2/config.ts';
import { Discriminator } from '../stylegan2/discriminator.ts';
import { Generator } from '../stylegan2/generator.ts';
import { inferConfig } from '../stylegan2/inference.ts';
import { type Flat, part, type Setting, under } from './flat.ts';
import type { Recognised } from './kinds.ts';
import { fromNvlabs } from './nvlabs.ts';

type Tensors = ReadonlyMap<string, StoredTensor>;

/** The sizes of a discriminator; it has no latents. @throws UserError where it is not whole */
function discriminatorConfig(tensors: Tensors, source: string): StyleGan2Config {
  const blocks = [...tensors.keys()].filter(key => /^convs\.\d+\.conv2\.1\.weight$/.test(key)).length;
  const size = 4 << blocks;
  const outputs = (key: string) => {
    const found = tensors.get(key);
    if (!found) throw new UserError(`${source}: no tensor "${key}"; the file is not whole`);
    return found.shape[0];
  };
  const channels: Record<number, number> = { [size]: outputs('convs.0.0.weight') };
  for (let j = 1; j <= blocks; j++) channels[size >> j] = outputs(`convs.${j}.conv2.1.weight`);
  const architecture = tensors.has('from_rgbs.0.0.weight')
    ? 'skip'
    : tensors.has('convs.1.skip.1.weight')
      ? 'resnet'
      : 'orig';
  const config = { size, channels, wDim: 1, mappingLayers: 0, architecture } as const;
  resolutions(config);
  return config;
}

/** Checks every tensor of a generator by its own sizes, and returns those. */
export function checkGenerator(tensors: Tensors, source: string): StyleGan2Config {
  const config = inferConfig(tensors, { source });
  checkStateDict(new Generator(config), tensors, { source });
  return config;
}

/** Checks every tensor of a discriminator by its own sizes, and returns those. */
export function checkDiscriminator(tensors: Tensors, source: string): StyleGan2Config {
  const config = discriminatorConfig(tensors, source);
  checkStateDict(new Discriminator(config), tensors, { source });
  return config;
}

/** Where files have these networks, and what they are called here. */
const PLACES: readonly (readonly [from: string, to: 'g_ema.' | 'g.' | 'd.'])[] = [
  ['g_ema.', 'g_ema.'],
  ['g.', 'g.'],
  ['d.', 'd.'],
  ['G_ema.', 'g_ema.'],
  ['G.', 'g.'],
  ['D.', 'd.'],
  // Checkpoints of wgrad's own runs.
  ['average/', 'g_ema.'],
  ['generator/', 'g.'],
  ['discriminator/', 'd.'],
];

/** A network without a name: of PTI, or a state dict by itself. */
const BARE = [
  ['', 'g_ema.'],
  ['', 'd.'],
] as const;

const isGenerator = (tensors: Tensors) => tensors.has('input.input') && tensors.has('conv1.conv.weight');
const isDiscriminator = (tensors: Tensors) => tensors.has('final_linear.1.weight') && tensors.has('convs.0.0.weight');
const isNvlabsGenerator = (tensors: Tensors) => [...tensors.keys()].some(key => key.startsWith('synthesis.'));
const isNvlabsDiscriminator = (tensors: Tensors) => tensors.has('b4.out.weight') || tensors.has('b4.fc.weight');

/**
 * StyleGAN2 in the layouts of rosinality (training and converted checkpoints), of NVlabs (.pkl, and PTI's tuned
 * generators) and of wgrad's own runs: `g_ema.*`, `g.*`, `d.*` and `latent_avg`.
 */
export function recogniseStyleGan2(flat: Flat): Recognised | undefined {
  const tensors = new Map<string, StoredTensor>();
  const used = new Set<string>();
  const layouts = new Set<string>();
  const sizes: string[] = [];
  const metadata: Record<string, string> = {};
  for (const [from, to] of [...PLACES, ...BARE]) {
    if (tensors.size > 0 && from === '') continue;
    const found = part(flat.tensors, from);
    const network = networkOf(found, to, `${flat.name} (${from || 'network'})`);
    if (!network) continue;
    const { layout, own, config } = network;
    layouts.add(from.endsWith('/') ? 'wgrad' : layout);
    sizes.push(`${to.slice(0, -1)} of ${config.size} pixels`);
    for (const key of found.keys()) used.add(from + key);
    const average = own.get('latent_avg');
    own.delete('latent_avg');
    for (const [key, tensor] of under(to, own)) tensors.set(key, tensor);
    if (average) tensors.set(to === 'g_ema.' ? 'latent_avg' : 'g_latent_avg', average);
    Object.assign(metadata, settingsOf(flat, from, to));
  }
  if (tensors.size === 0) return undefined;
  for (const key of ['latent_avg', 'latentAverage/latent_avg']) {
    const average = flat.tensors.get(key);
    if (!average || tensors.has('latent_avg')) continue;
    tensors.set('latent_avg', average.shape.length === 1 ? average : row(average));
    used.add(key);
  }
  return {
    kind: 'stylegan2',
    about: `${sizes.join(', ')}, from ${[...layouts].join(' and ')}`,
    tensors,
    used,
    metadata,
  };
}

/** [1, D] as [D]; an average of another shape stays what it is. */
function row(average: StoredTensor): StoredTensor {
  return average.shape.length === 2 && average.shape[0] === 1 ? reshaped(average, [average.shape[1]]) : average;
}

interface Network {
  readonly layout: string;
  readonly own: Map<string, StoredTensor>;
  readonly config: StyleGan2Config;
}

/** The network that these tensors are, checked; undefined where they are none of that kind. */
function networkOf(found: Tensors, to: string, source: string): Network | undefined {
  const isOfD = to === 'd.';
  const ours = isOfD ? isDiscriminator(found) : isGenerator(found);
  if (!ours && !(isOfD ? isNvlabsDiscriminator(found) : isNvlabsGenerator(found))) return undefined;
  const own = ours ? new Map(found) : fromNvlabs(found, source);
  const network = new Map(own);
  network.delete('latent_avg');
  const config = isOfD ? checkDiscriminator(network, source) : checkGenerator(network, source);
  return { layout: ours ? 'rosinality' : 'NVlabs', own, config };
}

/**
 * What NVlabs' networks were made with, conv_clamp among it: it changes what they compute. wgrad's own say that one
 * alone.
 */
function settingsOf({ settings, metadata = {} }: Flat, from: string, to: string): Record<string, string> {
  const own = metadata[`${from}conv_clamp`];
  if (own !== undefined) return { [`${to}conv_clamp`]: own };
  const init = settings.get(`${from}_init_kwargs`);
  if (init === undefined) return {};
  const result: Record<string, string> = { [`${to}init_kwargs`]: JSON.stringify(init) };
  const clamp = find(init, 'conv_clamp');
  if (typeof clamp === 'number') result[`${to}conv_clamp`] = `${clamp}`;
  return result;
}

function find(settings: Setting, key: string): Setting | undefined {
  if (settings === null || typeof settings !== 'object') return undefined;
  if (!Array.isArray(settings) && Object.hasOwn(settings, key)) return (settings as Record<string, Setting>)[key];
  for (const inner of Object.values(settings)) {
    const found = find(inner as Setting, key);
    if (found !== undefined) return found;
  }
  return undefined;
}
