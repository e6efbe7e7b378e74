/** The settings of StyleGAN2's training, and the published configurations of them. */
import { UserError } from '../../../io/errors.ts';
import { configF, presets, refuseSize, type StyleGan2Config } from '../../../models/stylegan2/config.ts';
import type { Device } from '../../../runtime/device.ts';
import type { AdaOptions } from '../../ada/heuristic.ts';
import type { Options } from '../../training.ts';

/** Those of the configuration `small` at 32 pixels, which trains the auxiliary generator on a CPU driver. */
export const defaults = {
  data: 'faces',
  /** Twice the images: each also mirrored. */
  mirror: false,
  config: 'small',
  size: 32,
  /** A network of models/stylegan2/config.ts by name, or 'f': configuration F of `size`, `fmaps`, `mappingLayers`. */
  model: 'small32',
  fmaps: null,
  mappingLayers: null,
  /** Of the discriminator: 'resnet', 'orig' or 'skip'. */
  architecture: 'resnet',
  /** Images whose deviation the discriminator sees as one. */
  mbstdGroup: 4,
  /** What activated layers are limited to, as in networks of NVlabs; null for no limit. */
  convClamp: null,
  /** Layers of the discriminator, from the image on, that are not trained (Mo et al. 2020, "Freeze the Discriminator"). */
  freezeD: 0,
  /** Weights to start from: a checkpoint file, or the folder of a run. */
  from: '',
  steps: 10_400,
  batch: 8,
  /** Images that are computed at once; the batch's gradients are their mean. Null for the whole batch. */
  microBatch: null,
  lr: 0.005,
  gamma: 0.3,
  r1Every: 16,
  pathLengthWeight: 2,
  pathLengthEvery: 4,
  mixing: 0.9,
  /** Of what the discriminator sees: 'none', or 'ada' (see train/ada). */
  augment: 'none',
  /** The mean sign of real logits that ada keeps to. */
  augmentTarget: 0.6,
  /** Thousands of images within which ada's probability can go from 0 to 1. */
  augmentKimg: 500,
  emaKimg: 3,
  /** The half-life's largest share of the images seen so far; 0 for no ramp. */
  emaRamp: 0.05,
  checkpointing: false,
  /** Steps between metrics of the average generator; 0 for none. */
  metricsEvery: 0,
  /** Which, with commas between: fid, kid, pr (precision and recall), ppl (perceptual path length). */
  metrics: 'fid,kid,pr,ppl',
  /** Samples that they are measured on; null for as many as is usual. */
  metricsCount: null,
  /** Weights of Inception-v3; without, the features of the shipped perceptual network are compared. */
  inception: '',
  /** Of activations at the highest resolutions: 'f32', or 'f16' where the adapter has it. All else is f32. */
  precision: 'f32',
  sampleEvery: 500,
  saveEvery: 500,
} satisfies Options;

/** A configuration of NVlabs/stylegan2-ada-pytorch (train.py). */
interface Published {
  /** Pixels, where none are given. */
  readonly size: number;
  /** GPUs that share the batch: groups of the minibatch deviation are formed within a share. */
  readonly gpus: number;
  /** Length of the training in thousands of images. */
  readonly kimg: number;
  readonly batch: number;
  readonly mbstdGroup: number;
  readonly fmaps: number;
  readonly lr: number;
  readonly gamma: number;
  readonly emaKimg: number;
  readonly emaRamp: number;
  readonly mappingLayers: number;
  readonly more?: Options;
}

const paper = { gpus: 8, kimg: 25_000, emaRamp: 0, mappingLayers: 8 };
const large = { ...paper, size: 1024, batch: 32, mbstdGroup: 4, fmaps: 1, lr: 0.002, emaKimg: 10 };
const medium = { ...paper, batch: 64, mbstdGroup: 8, lr: 0.0025, emaKimg: 20 };

const published: Readonly<Record<string, Published | ((size: number) => Published)>> = {
  auto,
  stylegan2: { ...large, gamma: 10 },
  paper256: { ...medium, size: 256, fmaps: 0.5, gamma: 1 },
  paper512: { ...medium, size: 512, fmaps: 1, gamma: 0.5 },
  paper1024: { ...large, gamma: 2 },
  cifar: {
    ...{ size: 32, gpus: 2, kimg: 100_000, batch: 64, mbstdGroup: 32, fmaps: 1, lr: 0.0025, gamma: 0.01 },
    ...{ emaKimg: 500, emaRamp: 0.05, mappingLayers: 2 },
    more: { pathLengthWeight: 0, mixing: 0, architecture: 'orig' },
  },
};

/** What suits an image size on one GPU. */
function auto(size: number): Published {
  const batch = Math.max(Math.min(Math.floor(4096 / size), 32), 1);
  return {
    ...{ size: 256, gpus: 1, kimg: 25_000, batch, mbstdGroup: Math.min(batch, 4) },
    ...{ fmaps: size >= 512 ? 1 : 0.5, lr: size >= 1024 ? 0.002 : 0.0025, gamma: (0.0002 * size ** 2) / batch },
    ...{ emaKimg: (batch * 10) / 32, emaRamp: 0.05, mappingLayers: 2 },
  };
}

/** The networks of the configuration `small`, by size. */
const small: Readonly<Record<number, string>> = { 32: 'small32', 64: 'small64' };
const SMALL_64_GAMMA = 1;

/** Every configuration's name. */
export const configNames: readonly string[] = ['small', ...Object.keys(published)];

/** From this size on gradient checkpointing is the default. */
const CHECKPOINTING_FROM = 256;

/** As many resolutions as NVlabs compute in f16, and what they limit activations to then. */
const HALF_RESOLUTIONS = 4;
const HALF_CLAMP = 256;

/**
 * The defaults of a configuration: networks by its size, all else by what it says of them.
 * @throws UserError for a configuration, model or size that is not there, or where size and model do not fit
 */
export function derive(given: Readonly<Options>): Options {
  const config = String(given.config ?? 'small');
  if (!configNames.includes(config)) {
    throw new UserError(`config: there is no '${config}'; there are ${configNames.join(', ')}`);
  }
  // Transfer learning begins with an average that is worth keeping, and with a discriminator that soon overfits.
  const transfer: Options = given.from ? { emaRamp: 0, augmentKimg: 100 } : {};
  const options = config === 'small' ? smallOptions(given) : publishedOptions(config, given);
  // A part of the networks, which stays where such a training goes on in f32.
  const clamp: Options = given.precision === 'f16' ? { convClamp: HALF_CLAMP } : {};
  return { ...options, checkpointing: Number(options.size) >= CHECKPOINTING_FROM, ...transfer, ...clamp };
}

function smallOptions(given: Readonly<Options>): Options {
  const size = sizeOf(given, 32);
  const model = given.model ?? small[size];
  if (model === undefined) {
    throw new UserError(`size: the configuration small has no network for ${size} pixels; give --config auto`);
  }
  // Gamma grows with the number of pixels, as NVlabs' rule of thumb has it (`auto`).
  const gamma: Options = size >= 64 ? { gamma: SMALL_64_GAMMA } : {};
  return model === 'f' ? { model, size, ...gamma, fmaps: 1, mappingLayers: 8 } : { model, size, ...gamma };
}

function publishedOptions(name: string, given: Readonly<Options>): Options {
  const entry = published[name];
  const size = sizeOf(given, typeof entry === 'function' ? entry(32).size : entry.size);
  const { gpus, kimg, fmaps, mappingLayers, more, ...options } = typeof entry === 'function' ? entry(size) : entry;
  const model = given.model ?? 'f';
  const batch = Number(given.batch ?? options.batch);
  const share = options.batch / gpus;
  return {
    ...options,
    ...(model === 'f' ? { fmaps, mappingLayers } : {}),
    ...more,
    augment: 'ada',
    size,
    model,
    microBatch: share < batch ? share : null,
    steps: Math.ceil((kimg * 1000) / batch),
  };
}

/** The size that is given, by itself or by a model. */
function sizeOf({ size, model }: Readonly<Options>, fallback: number): number {
  const own = model === undefined || model === 'f' ? undefined : namedModel(String(model)).size;
  if (size === undefined) return own ?? fallback;
  refuseSize(Number(size));
  if (own !== undefined && own !== size) {
    throw new UserError(`size: the model ${model} makes images of ${own} pixels, not ${size}`);
  }
  return Number(size);
}

function namedModel(model: string): StyleGan2Config {
  if (!Object.hasOwn(presets, model)) {
    throw new UserError(`model: there is no '${model}'; there are f, ${Object.keys(presets).join(', ')}`);
  }
  return presets[model as keyof typeof presets];
}

/** The networks that the settings name. @throws UserError where there are none such */
export function networkOf(options: Readonly<Options>): StyleGan2Config {
  const { model, size, fmaps, mappingLayers, architecture, mbstdGroup, convClamp } = options;
  const own = {
    architecture: architecture as StyleGan2Config['architecture'],
    mbstdGroup: Number(mbstdGroup),
    ...(typeof convClamp === 'number' ? { convClamp } : {}),
  };
  if (model === 'f') {
    const network = configF(Number(size), 32768 * Number(fmaps ?? 1));
    return { ...network, ...own, mappingLayers: Number(mappingLayers ?? network.mappingLayers) };
  }
  const network = namedModel(String(model));
  const foreign = Object.entries({ fmaps, mappingLayers }).find(([, value]) => (value ?? null) !== null);
  if (foreign) throw new UserError(`${foreign[0]}: the model ${model} has its own; give --set model=f`);
  return { ...network, ...own };
}

/**
 * How a batch is cut: images at once, and how often.
 * @throws UserError where that is not possible, or the groups of the minibatch deviation do not fit
 */
export function cutBatch(options: Readonly<Options>): { microBatch: number; rounds: number } {
  const batch = Number(options.batch);
  const microBatch = Number(options.microBatch ?? batch);
  if (batch % microBatch !== 0) {
    throw new UserError(`--batch ${batch}: cannot be cut into micro-batches of ${microBatch}; give a multiple`);
  }
  const group = Math.min(Number(options.mbstdGroup), microBatch);
  if (!(group >= 1 && microBatch % group === 0)) {
    const what = options.microBatch === null ? `--batch ${batch}` : `microBatch ${microBatch}`;
    throw new UserError(`${what}: the discriminator compares groups of ${group}; give a multiple`);
  }
  return { microBatch, rounds: batch / microBatch };
}

/** What the settings say of augmentation. @throws UserError where they say something else */
export function augmentationOf({ augment, augmentTarget, augmentKimg, batch }: Readonly<Options>): AdaOptions {
  if (augment !== 'ada' && augment !== 'none')
    throw new UserError(`augment: there is no '${augment}'; give ada or none`);
  const kimg = augment === 'ada' ? Number(augmentKimg) : Number.POSITIVE_INFINITY;
  return { target: Number(augmentTarget), kimg, batch: Number(batch) };
}

/**
 * How many resolutions are trained in f16. An adapter without it computes the same networks in f32, which `message`
 * says.
 * @throws UserError for a precision that there is not, or f16 without the limit that keeps activations in its range
 */
export function halfResolutionsOf(
  { precision, convClamp }: Readonly<Options>,
  { features, adapter }: Device,
  message?: (text: string) => void,
): number {
  if (precision !== 'f16' && precision !== 'f32') throw new UserError(`--precision ${precision}: give f32 or f16`);
  if (precision === 'f32') return 0;
  if (convClamp === null) {
    throw new UserError(`--precision f16: layers without a limit leave its range; give --set convClamp=${HALF_CLAMP}`);
  }
  if (features.has('shader-f16')) return HALF_RESOLUTIONS;
  message?.(`${adapter.name} has no shader-f16: the training is in f32`);
  return 0;
}
