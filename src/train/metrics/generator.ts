/** All metrics of a StyleGAN2 generator: what `wgrad metrics` and a training both measure. */
import * as ops from '../../autograd/index.ts';
import { UserError } from '../../io/errors.ts';
import type { Folder } from '../../io/files.ts';
import type { StateDict } from '../../models/module.ts';
import type { Generator } from '../../models/stylegan2/generator.ts';
import type { Device } from '../../runtime/device.ts';
import { random } from '../../runtime/kernels/random.ts';
import type { Compute } from '../training.ts';
import { DISTRIBUTION_METRICS, type Generate, type Measured, metricsOf } from './metricsOf.ts';
import { inceptionNetwork, perceptualNetwork } from './networks.ts';
import { pathLength, stylePaths } from './pathLength.ts';
import { openReference } from './reference.ts';

/** The metrics by the names that a user gives: FID, KID, precision and recall, perceptual path length. */
export const METRICS = [...DISTRIBUTION_METRICS, 'ppl'] as const;

/** Samples of a generator without truncation, with noise of their own. */
export function samples(
  generator: Generator,
  { seed, stream, batch }: { seed: number; stream: string; batch: number },
): Generate {
  return step => {
    const z = random(step.device, [batch, generator.config.wDim], 'normal', { seed, stream: `${stream} z`, step });
    const noise = { fresh: { seed, stream, step } };
    return ops.clamp(generator.forward(generator.mapping.forward(z), { noise }), { min: -1, max: 1 });
  };
}

export interface GeneratorMetricsOptions {
  readonly device: Device;
  readonly generator: Generator;
  /** 'faces', or the path of a folder or zip. */
  readonly data: string;
  /** The weights of Inception-v3, and the file that they come from; by default the features of perceptual-32 are used. */
  readonly inception?: { readonly values: StateDict; readonly source: string };
  /** Images that are generated; by default as many as is usual with the network. */
  readonly count?: number;
  readonly seed: number;
  /** Of METRICS, with commas between; by default all. */
  readonly metrics?: string;
  /** Told of each damaged image. */
  readonly message?: (text: string) => void;
}

/** An evaluation that can be repeated, and on what it is made. */
export interface GeneratorMetrics {
  /** One sentence: samples, images and features. */
  readonly about: string;
  readonly count: number;
  /** The network whose features are compared, and how many they are. */
  readonly features: { readonly network: string; readonly length: number };
  /** By programs of `compute`; what is known of the real images is kept in the sub-folder metrics/ of `folder`. */
  measure(compute: Compute, folder?: Folder): Promise<Measured>;
}

/**
 * Prepares the evaluation of a generator, which must be frozen and in evaluation mode.
 * @throws UserError for metrics that there are not, for no images or too few, and for weights of another network
 */
export async function generatorMetrics(options: GeneratorMetricsOptions): Promise<GeneratorMetrics> {
  const { device, generator, data, inception, seed, metrics = METRICS.join(), message } = options;
  const names = metrics.split(',');
  for (const name of names) {
    if (!METRICS.some(known => known === name)) {
      throw new UserError(`--metrics ${metrics}: there is no '${name}'; give some of ${METRICS.join()}`);
    }
  }
  const { size } = generator.config;
  const perceptual = inception && !names.includes('ppl') ? undefined : await perceptualNetwork(device);
  const network = inception ? inceptionNetwork(device, inception.values, inception) : perceptual!;
  const { count = network.count } = options;
  // 2²¹ pixels at a time keep the maps of a generator in some hundreds of MiB.
  const batch = Math.min(network.batch, Math.max(1, 2 ** 21 / size ** 2), count);
  const reference = await openReference({ device, data, size, batch, count, message });
  const which = DISTRIBUTION_METRICS.filter(name => names.includes(name));
  const generate = samples(generator, { seed, stream: 'metrics', batch });
  const compare = metricsOf({ device, generate, batch, count, reference, network, which, seed });
  const paths =
    perceptual && names.includes('ppl')
      ? {
          title: perceptual.title('PPL'),
          measure: pathLength({
            device,
            ends: stylePaths(generator, { seed, batch }),
            distance: perceptual.distance,
            batch,
            count,
          }),
        }
      : undefined;
  return {
    about:
      `${count} samples (fresh noise, no truncation) against ${reference.about}, ` +
      `by the ${network.length} features of ${network.name}`,
    count,
    features: { network: network.name, length: network.length },
    async measure(compute, folder) {
      const measured = which.length > 0 ? await compare(compute, folder) : {};
      return paths ? { ...measured, [paths.title]: await paths.measure(compute) } : measured;
    },
  };
}
