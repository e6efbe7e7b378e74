import { UserError } from '../../io/errors.ts';
import type { Device } from '../../runtime/device.ts';
import { type Shape, shapeText } from '../../runtime/shape.ts';
import { initialize, loadStateDict, type StateDict } from '../module.ts';
import type { StyleGan2Config } from './config.ts';
import { Generator } from './generator.ts';

/** What files put before the keys of a generator: the average of a training first, where a file has both. */
const PREFIXES = ['g_ema.', 'average/', '', 'decoder.'];
/** Keys of the average w beside it. */
const AVERAGES = ['latent_avg', 'latentAverage/latent_avg'];
const MAX_SIZE = 1024;

/**
 * The sizes of a generator by the shapes of its tensors, under rosinality's keys without a prefix.
 * @throws UserError where there is no generator with such tensors, with `source` as the place
 */
export function inferConfig(
  tensors: ReadonlyMap<string, { readonly shape: Shape }>,
  { source }: { source: string },
): StyleGan2Config {
  /** The shape of a tensor, in which a letter stands for any size. */
  const shapeOf = (key: string, wanted: readonly (number | string)[]): Shape => {
    const shape = tensors.get(key)?.shape;
    if (!shape) throw new UserError(`${source}: no tensor "${key}"; there is no StyleGAN2 generator in it`);
    const fits = wanted.every((size, i) => (typeof size === 'number' ? shape[i] === size : shape[i] >= 1));
    if (shape.length !== wanted.length || !fits) {
      throw new UserError(`${source}: "${key}" is ${shapeText(shape)}, a generator has [${wanted.join(', ')}] there`);
    }
    return shape;
  };
  const [, first] = shapeOf('input.input', [1, 'C', 4, 4]);
  const channels: Record<number, number> = { 4: first };
  let size = 4;
  const blockKey = (i: number) => `convs.${2 * i}.conv.weight`;
  for (let i = 0; i === 0 || tensors.has(blockKey(i)); i++) {
    const [, out] = shapeOf(blockKey(i), [1, 'C', channels[size], 3, 3]);
    size *= 2;
    channels[size] = out;
  }
  if (size > MAX_SIZE)
    throw new UserError(`${source}: a generator of ${size} pixels; at most ${MAX_SIZE} are possible`);
  const [, wDim] = shapeOf('conv1.conv.modulation.weight', [first, 'D']);
  let mappingLayers = 0;
  while (mappingLayers === 0 || tensors.has(`style.${mappingLayers + 1}.weight`)) {
    shapeOf(`style.${++mappingLayers}.weight`, [wDim, wDim]);
  }
  return { size, channels, wDim, mappingLayers };
}

/** A generator in a file. */
export interface GeneratorWeights {
  readonly config: StyleGan2Config;
  /** Under the keys of the network. */
  readonly tensors: StateDict;
  /** The average w [D], where the file has it. */
  readonly average: Float32Array | undefined;
  /** The file, for messages. */
  readonly source: string;
}

/**
 * Finds the generator among a file's tensors: of bare keys, of `g_ema.*` as in rosinality's checkpoints, of a run's
 * `average/*`, or of `decoder.*` as in an encoder's file. Other tensors are passed over. Shapes do not tell whether
 * activations are clamped: the file's metadata does, as wgrad convert writes it (`g_ema.conv_clamp`).
 * @throws UserError where there is none, or one of other tensors, with `source` as the place
 */
export function findGenerator(
  tensors: StateDict,
  { source, metadata = {} }: { source: string; metadata?: Readonly<Record<string, string>> },
): GeneratorWeights {
  const prefix = PREFIXES.find(start => tensors.has(`${start}input.input`)) ?? '';
  const own = new Map(
    [...tensors].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]),
  );
  const clamp = Number(metadata[`${prefix}conv_clamp`] ?? Number.NaN);
  const config = { ...inferConfig(own, { source }), ...(clamp > 0 && { convClamp: clamp }) };
  const average = AVERAGES.map(key => tensors.get(key)).find(found => found?.data.length === config.wDim);
  return { config, tensors: own, average: average && Float32Array.from(average.data), source };
}

/** Makes a file's generator on a device, frozen. @throws UserError where a tensor is missing or of another shape */
export function loadGenerator(device: Device, { config, tensors, source }: GeneratorWeights): Generator {
  const generator = new Generator(config);
  generator.freeze().eval();
  initialize(generator, device);
  loadStateDict(generator, tensors, { source, ignoreUnknown: true });
  return generator;
}
