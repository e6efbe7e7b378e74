import { shippedWeights } from '../../io/weights.ts';
import { RecognitionNetwork } from '../../models/arcface.ts';
import type { CheckpointingOptions } from '../../models/checkpointing.ts';
import { LpipsLike } from '../../models/lpips.ts';
import { ParsingUNet } from '../../models/parsing.ts';
import { presets } from '../../models/stylegan2/config.ts';
import { Generator } from '../../models/stylegan2/generator.ts';
import type { Device } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { shippedNetwork } from './common.ts';
import { recognition24 } from './recognition.ts';

/** The networks that the package has for E2Style at 32 pixels. */
export interface Networks {
  readonly generator: Generator;
  /** w̄ [D] */
  readonly average: Tensor;
  readonly perceptual: LpipsLike;
  readonly identity: RecognitionNetwork;
  readonly identityMetric: RecognitionNetwork;
  readonly parser: ParsingUNet;
  /** The recognition network's tensors: the encoders start from its trunk. */
  readonly trunk: Awaited<ReturnType<typeof shippedWeights>>;
}

/** The shipped networks, all but the encoders, on the device. */
export async function loadNetworks(device: Device, { checkpointing }: CheckpointingOptions): Promise<Networks> {
  const layers = new Generator(presets.small32, { checkpointing });
  const generator = await shippedNetwork(layers, 'generator-32', device, 'g_ema.');
  const { data, shape } = (await shippedWeights('generator-32')).get('latent_avg')!;
  const recognition = (mode: 'ir' | 'ir_se') => new RecognitionNetwork({ ...recognition24, mode, checkpointing });
  return {
    generator,
    average: device.keep(device.tensor(data, shape, 'f32', 'average latent')),
    perceptual: await shippedNetwork(new LpipsLike(), 'perceptual-32', device),
    identity: await shippedNetwork(recognition('ir_se'), 'recognition-24', device),
    identityMetric: await shippedNetwork(recognition('ir'), 'recognition-metric-24', device),
    parser: await shippedNetwork(new ParsingUNet({ featureScale: 8, decoder: false }), 'parsing-32', device),
    trunk: await shippedWeights('recognition-24'),
  };
}
