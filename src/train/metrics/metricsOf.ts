import { UserError } from '../../io/errors.ts';
import type { Folder } from '../../io/files.ts';
import type { Device } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import type { Compute } from '../training.ts';
import { cachedFeatures } from './featureCache.ts';
import { FeatureCollector } from './featureCollector.ts';
import { type Features, frechetDistance, Gaussian } from './frechet.ts';
import { kernelDistance } from './kernelDistance.ts';
import type { FeatureNetwork } from './networks.ts';
import { precisionRecall } from './precisionRecall.ts';
import { products } from './products.ts';
import type { Reference } from './reference.ts';

/** Metrics by their names, as `FID-like(self)`. */
export type Measured = Readonly<Record<string, number>>;

/** FID, KID, precision and recall. */
export const DISTRIBUTION_METRICS = ['fid', 'kid', 'pr'] as const;
export type DistributionMetric = (typeof DISTRIBUTION_METRICS)[number];

/**
 * Generated images [batch, 3, S, S] in [-1, 1]; `step` u32 [1] is the number of the first of them, the counter of their
 * random numbers. It is run as part of a program.
 */
export type Generate = (step: Tensor) => Tensor;

export interface MetricsOptions {
  readonly device: Device;
  readonly generate: Generate;
  /** Images that `generate` makes at a time. */
  readonly batch: number;
  /** Images that are generated. */
  readonly count: number;
  readonly reference: Reference;
  readonly network: FeatureNetwork;
  /** Default: all. */
  readonly which?: readonly DistributionMetric[];
  /** Of KID's subsets. Default 0. */
  readonly seed?: number;
}

/**
 * The evaluation of a generator against real images, by programs of `compute`. It can be repeated as the generator
 * learns: what is known of the real images is computed once, and kept in the sub-folder metrics/ of `folder`.
 * @throws UserError where there are too few images for a metric, before anything is computed where that can be told
 */
export function metricsOf(options: MetricsOptions): (compute: Compute, folder?: Folder) => Promise<Measured> {
  const { device, generate, batch, count, reference, network, which = DISTRIBUTION_METRICS, seed } = options;
  refuseTooFew(which, network, { [reference.about]: reference.count, [`${count} generated images`]: count });
  const step = device.keep(device.empty([1], 'u32', 'number of the samples'));
  const multiply = products(device, network.length);
  let known: Promise<{ features: Features; gaussian: () => Gaussian }> | undefined;

  async function realFeatures(compute: Compute): Promise<Features> {
    const real = new FeatureCollector(device, network, compute);
    for await (const images of reference.batches()) {
      await real.add('metrics: real images', () => reference.images(), images);
    }
    return real.features;
  }

  async function realImages(compute: Compute, folder: Folder | undefined) {
    const features = await cachedFeatures(folder, network, reference, () => realFeatures(compute));
    refuseTooFew(which, network, { [`what can be decoded of ${reference.about}`]: features.rows });
    let gaussian: Gaussian | undefined;
    return {
      features,
      gaussian() {
        gaussian ??= new Gaussian(features);
        return gaussian;
      },
    };
  }

  return async (compute, folder) => {
    known ??= realImages(compute, folder);
    const real = await known;
    const samples = new FeatureCollector(device, network, compute);
    for (let first = 0; first < count; first += batch) {
      device.write(step, [first]);
      await samples.add('metrics: samples', () => generate(step), Math.min(batch, count - first));
    }
    const generated = samples.features;
    const measured: Record<string, number> = {};
    if (which.includes('fid')) {
      measured[network.title('FID')] = frechetDistance(real.gaussian(), new Gaussian(generated));
    }
    if (which.includes('kid')) {
      measured[network.title('KID')] = await kernelDistance(multiply(compute), real.features, generated, { seed });
    }
    if (which.includes('pr')) {
      const { precision, recall } = await precisionRecall(multiply(compute), real.features, generated);
      measured[network.title('precision')] = precision;
      measured[network.title('recall')] = recall;
    }
    return measured;
  };
}

/** The images that each metric needs at least. */
const LEAST: Readonly<Record<DistributionMetric, (length: number) => number>> = {
  fid: length => length + 1,
  kid: () => 2,
  pr: () => 4,
};

function refuseTooFew(
  which: readonly DistributionMetric[],
  { name, length, title }: FeatureNetwork,
  counts: Readonly<Record<string, number>>,
): void {
  for (const [what, count] of Object.entries(counts)) {
    for (const metric of which) {
      const least = LEAST[metric](length);
      if (count >= least) continue;
      const why = metric === 'fid' ? ` for the covariance of the ${length} features of ${name}` : '';
      const titled = metric === 'pr' ? 'precision and recall' : title(metric.toUpperCase());
      throw new UserError(
        `${what}: found ${count}, ${titled} needs at least ${least}${why}; give more, or leave '${metric}' out of --metrics`,
      );
    }
  }
}
