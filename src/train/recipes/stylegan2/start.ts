/** What a training starts from in place of random weights: transfer learning. */
import { mean, noGrad } from '../../../autograd/index.ts';
import { UserError } from '../../../io/errors.ts';
import { openFolder, pathKind } from '../../../io/files.ts';
import { readValues } from '../../../io/storedTensor.ts';
import type { Foreign } from '../../../models/foreign/kinds.ts';
import { foreignState, readForeign } from '../../../models/foreign/read.ts';
import { loadStateDict, type StateDict } from '../../../models/module.ts';
import { F_W_DIM, type StyleGan2Config } from '../../../models/stylegan2/config.ts';
import type { Discriminator } from '../../../models/stylegan2/discriminator.ts';
import type { Generator } from '../../../models/stylegan2/generator.ts';
import { inferConfig } from '../../../models/stylegan2/inference.ts';
import type { LatentAverage } from '../../../models/stylegan2/latents.ts';
import { random } from '../../../runtime/kernels/random.ts';
import { latestModelPath } from '../../checkpoint.ts';

/** The networks of a training that weights are loaded into. */
export interface Networks {
  readonly generator: Generator;
  readonly average: Generator;
  readonly discriminator: Discriminator;
  readonly latentAverage: LatentAverage;
}

/** Latents whose mean is the average latent where a file has none, as in rosinality/stylegan2-pytorch. */
const LATENTS = 4096;

/**
 * Loads networks from the newest checkpoint of a run, or from a file of weights of wgrad, rosinality or NVlabs. Without
 * a generator in training it is its average; a discriminator that is not there stays as it was made, and `message` says
 * so.
 *
 * @throws UserError where there is no generator, or one of another size or shape
 */
export async function loadStart(path: string, networks: Networks, message?: (text: string) => void): Promise<void> {
  const { generator, average, discriminator, latentAverage } = networks;
  const source = (await pathKind(path)) === 'folder' ? await newestModel(path) : path;
  const file = await readForeign(source);
  const ofAverage = await foreignState(file, 'g_ema.');
  if (ofAverage.size === 0) throw new UserError(`${source}: there is no StyleGAN2 generator in it`);
  refuseMisfit(ofAverage, generator.config, file, source);
  const load = (module: Generator | Discriminator, values: StateDict, name: string) =>
    loadStateDict(module, values, { source: `${source} (${name})` });
  load(average, ofAverage, 'g_ema');
  const ofGenerator = await foreignState(file, 'g.');
  load(generator, ofGenerator.size > 0 ? ofGenerator : ofAverage, 'g');
  const ofDiscriminator = await foreignState(file, 'd.');
  if (ofDiscriminator.size > 0) load(discriminator, ofDiscriminator, 'd');
  else message?.(`${source} has no discriminator: that starts anew`);
  const latent = file.tensors.get('latent_avg');
  if (latent) {
    const values = { shape: latent.shape, data: await readValues(latent) };
    loadStateDict(latentAverage, new Map([['latent_avg', values]]), { source });
  } else measureAverage(average, latentAverage);
}

async function newestModel(run: string): Promise<string> {
  const folder = await openFolder(run);
  const isRun = await folder.exists('config.json');
  const newest = isRun && (await latestModelPath(await folder.folder('checkpoints')));
  if (newest) return newest;
  throw new UserError(
    `${run}: ${isRun ? 'a run without a checkpoint' : 'no run (no config.json)'}; name a run or a file`,
  );
}

/** Compares what a setting decides; whatever else differs shows when the tensors are loaded. */
function refuseMisfit(tensors: StateDict, config: StyleGan2Config, { metadata }: Foreign, source: string): void {
  const found = inferConfig(tensors, { source });
  if (found.size !== config.size) {
    const wanted = `the training is of ${config.size}; give --size ${found.size}`;
    throw new UserError(`${source}: a generator of ${found.size} pixels, ${wanted}`);
  }
  if (found.mappingLayers !== config.mappingLayers) {
    const [layers, wanted] = [found.mappingLayers, config.mappingLayers];
    // The small networks have as many as they are named with.
    const remedy = found.wDim === F_W_DIM ? `; give --set model=f --set mappingLayers=${layers}` : '';
    throw new UserError(`${source}: a generator with ${layers} mapping layers, the training's has ${wanted}${remedy}`);
  }
  const limit = metadata['g_ema.conv_clamp'];
  if (limit !== undefined && Number(limit) !== config.convClamp) {
    throw new UserError(
      `${source}: its layers are limited to ±${limit}, which is a part of them; give --set convClamp=${limit}`,
    );
  }
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
