/** What a training starts from in place of random weights: transfer learning. */
import { mean, noGrad } from '../../../autograd/index.ts';
import { UserError } from '../../../io/errors.ts';
import { openFile, openFolder, pathKind } from '../../../io/files.ts';
import { readSafetensors } from '../../../io/safetensors.ts';
import { loadStateDict, type StateDict } from '../../../models/module.ts';
import type { Discriminator } from '../../../models/stylegan2/discriminator.ts';
import type { Generator } from '../../../models/stylegan2/generator.ts';
import type { LatentAverage } from '../../../models/stylegan2/latents.ts';
import { random } from '../../../runtime/kernels/random.ts';
import { latestCheckpoint } from '../../checkpoint.ts';

/** The networks of a training that weights are loaded into. */
export interface Networks {
  readonly generator: Generator;
  readonly average: Generator;
  readonly discriminator: Discriminator;
  readonly latentAverage: LatentAverage;
}

/** What stands before the keys of a network in a run's checkpoint, and in other files. */
const PREFIXES = {
  average: ['average/', 'g_ema.'],
  generator: ['generator/', 'g.'],
  discriminator: ['discriminator/', 'd.'],
  latentAverage: ['latentAverage/', ''],
} as const;

/** Latents whose mean is the average latent where a file has none, as in rosinality/stylegan2-pytorch. */
const LATENTS = 4096;

/**
 * Loads networks from the newest checkpoint of a run, or from a file of weights. Without a generator in training it is
 * its average; a discriminator that is not there stays as it was made, and `message` says so.
 *
 * @throws UserError where there is no generator, or one of another size or shape
 */
export async function loadStart(path: string, networks: Networks, message?: (text: string) => void): Promise<void> {
  const { generator, average, discriminator, latentAverage } = networks;
  const { source, tensors } = await readTensors(path);
  const part = (network: keyof typeof PREFIXES) => partOf(tensors, PREFIXES[network]);
  const ofAverage = part('average');
  if (ofAverage.size === 0) throw new UserError(`${source}: there is no generator in it (no g_ema.input.input)`);
  const { size } = generator.config;
  const found = sizeOf(ofAverage);
  if (found !== size) {
    throw new UserError(`${source}: a generator of ${found} pixels, the training is of ${size}; give --size ${found}`);
  }
  const ofGenerator = part('generator');
  const ofDiscriminator = part('discriminator');
  if (ofDiscriminator.size > 0) loadStateDict(discriminator, ofDiscriminator, { source: `${source} (discriminator)` });
  else message?.(`${source} has no discriminator: that starts anew`);
  loadStateDict(average, ofAverage, { source: `${source} (average)` });
  const isTrained = ofGenerator.size > 0;
  loadStateDict(generator, isTrained ? ofGenerator : ofAverage, { source: `${source} (generator)` });
  const latent = part('latentAverage').get('latent_avg');
  if (latent) loadStateDict(latentAverage, new Map([['latent_avg', latent]]), { source });
  else measureAverage(average, latentAverage);
}

async function readTensors(path: string): Promise<{ source: string; tensors: StateDict }> {
  const source = (await pathKind(path)) === 'folder' ? await newestModel(path) : path;
  const file = await openFile(source);
  const tensors = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>();
  for (const [key, { shape, data }] of readSafetensors(await file.read(0, file.size), { name: source })) {
    tensors.set(key, { shape, data: data() as ArrayLike<number> });
  }
  return { source, tensors };
}

async function newestModel(run: string): Promise<string> {
  const folder = await openFolder(run);
  const isRun = await folder.exists('config.json');
  const newest = isRun && (await latestCheckpoint(await folder.folder('checkpoints')));
  if (newest) return `${newest.path}/model.safetensors`;
  throw new UserError(
    `${run}: ${isRun ? 'a run without a checkpoint' : 'no run (no config.json)'}; name a run or a file`,
  );
}

/** The tensors behind the first prefix that there is. */
function partOf(tensors: StateDict, prefixes: readonly string[]): StateDict {
  for (const prefix of prefixes) {
    const own = [...tensors].filter(([key]) => key.startsWith(prefix));
    if (own.length > 0) return new Map(own.map(([key, tensor]) => [key.slice(prefix.length), tensor]));
  }
  return new Map();
}

/** Pixels of a generator's images: each doubling has a to-RGB layer. */
function sizeOf(generator: StateDict): number {
  let size = 4;
  while (generator.has(`to_rgbs.${Math.log2(size) - 2}.bias`)) size *= 2;
  return size;
}

function measureAverage({ mapping, config }: Generator, average: LatentAverage): void {
  const { value } = average.value;
  const { device } = value;
  device.scope('average latent', () => {
    const step = device.tensor([0], [1], 'u32');
    const z = random(device, [LATENTS, config.wDim], 'normal', { seed: 0, stream: 'average latent', step });
    device.copy(
      noGrad(() => mean(mapping.forward(z), { axes: [0] })),
      value,
    );
  });
}
