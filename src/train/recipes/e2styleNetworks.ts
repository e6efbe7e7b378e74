import { shippedWeights } from '../../io/weights.ts';
import { RecognitionNetwork } from '../../models/arcface.ts';
import type { CheckpointingOptions } from '../../models/checkpointing.ts';
import { LpipsLike, type PerceptualDistance } from '../../models/lpips.ts';
import { ParsingUNet } from '../../models/parsing.ts';
import { presets } from '../../models/stylegan2/config.ts';
import { Generator } from '../../models/stylegan2/generator.ts';
import type { Device } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { shippedNetwork } from './common.ts';
import { openLpips, openParsing, openRecognition } from './lossNetworks.ts';
import { recognition24 } from './recognition.ts';

/** Sizes that the package has a generator and loss networks for. */
export const SHIPPED_SIZES = [32, 64] as const;

export type ShippedSize = (typeof SHIPPED_SIZES)[number];

/** The networks that E2Style inverts and is trained with. */
export interface Networks {
  readonly generator: Generator;
  /** w̄ [D] */
  readonly average: Tensor;
  readonly perceptual: PerceptualDistance;
  readonly identity: RecognitionNetwork;
  readonly identityMetric: RecognitionNetwork;
  readonly parser: ParsingUNet;
  /** The recognition network's tensors: the encoders start from its trunk. */
  readonly trunk: Awaited<ReturnType<typeof shippedWeights>>;
}

/** Files of loss networks that take the place of those that come with the package; empty where they do not. */
export interface LossFiles {
  readonly lpips: string;
  readonly id: string;
  readonly parsing: string;
}

/** The networks for images of `size` pixels, all but the encoders, on the device. */
export async function loadNetworks(
  device: Device,
  { size, checkpointing, files }: CheckpointingOptions & { readonly size: ShippedSize; readonly files: LossFiles },
): Promise<Networks> {
  const layers = new Generator(presets[`small${size}`], { checkpointing });
  const generator = await shippedNetwork(layers, `generator-${size}`, device, 'g_ema.');
  const { data, shape } = (await shippedWeights(`generator-${size}`)).get('latent_avg')!;
  const recognition = (mode: 'ir' | 'ir_se') => new RecognitionNetwork({ ...recognition24, mode, checkpointing });
  return {
    generator,
    average: device.keep(device.tensor(data, shape, 'f32', 'average latent')),
    perceptual: files.lpips
      ? await openLpips(device, files.lpips)
      : await shippedNetwork(new LpipsLike(), `perceptual-${size}`, device),
    identity: files.id
      ? await openRecognition(device, files.id, { checkpointing })
      : await shippedNetwork(recognition('ir_se'), 'recognition-24', device),
    identityMetric: await shippedNetwork(recognition('ir'), 'recognition-metric-24', device),
    parser: files.parsing
      ? await openParsing(device, files.parsing)
      : await shippedNetwork(new ParsingUNet({ featureScale: 8, decoder: false }), `parsing-${size}`, device),
    trunk: await shippedWeights('recognition-24'),
  };
}
