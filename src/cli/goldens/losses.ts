import * as ops from '../../autograd/index.ts';
import { RecognitionNetwork } from '../../models/arcface.ts';
import { Lpips, type LpipsNet } from '../../models/lpips.ts';
import { ParsingUNet } from '../../models/parsing.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { IdLoss, LpipsLoss, ParsingLoss, wNorm } from '../../train/losses.ts';
import { msssim, type SsimOptions, ssim } from '../../train/ssim.ts';
import type { GoldenCase } from './format.ts';
import type { Builder } from './modules.ts';
import { UnknownCase } from './ops.ts';

/** The configuration of a case as one of the networks takes it. */
type Config = Record<string, never>;

const configOf = (golden: GoldenCase) => golden.config as Config;

const parsing: Builder = golden => {
  const { featureScale, isBatchnorm, isDeconv } = configOf(golden);
  if (!isBatchnorm || !isDeconv) throw new UnknownCase();
  const module = new ParsingUNet({ featureScale });
  return {
    module,
    forward: ({ image }) => {
      const { features, logits } = module.forwardWithFeatures(image);
      return [...features.map(map => ops.reshape(map, [map.shape[0], -1])), logits];
    },
  };
};

const parsingLoss: Builder = golden => {
  const module = new ParsingUNet({ featureScale: configOf(golden).featureScale, decoder: false });
  const criterion = new ParsingLoss(module);
  return {
    module,
    forward: ({ target, output }) => {
      const { loss, perLayer } = criterion.compare(criterion.target(target), output);
      return [loss, perLayer];
    },
  };
};

/** The recognition network of a case: IR-SE50, or one with channels and units of its own. */
function recognition(golden: GoldenCase): RecognitionNetwork {
  const { numLayers, mode, inputSize, channels, units, embedding } = configOf(golden);
  if (numLayers !== undefined && numLayers !== 50) throw new UnknownCase();
  return new RecognitionNetwork({ mode, inputSize, channels, units, embedding });
}

const multiLayerIdLoss: Builder = golden => {
  const module = recognition(golden);
  const criterion = new IdLoss(module);
  return {
    module,
    forward: ({ target, output }) => {
      const { loss, perLayer } = criterion.compare(criterion.target(target), output);
      return [loss, perLayer];
    },
  };
};

const idLoss: Builder = golden => {
  const module = recognition(golden);
  const criterion = new IdLoss(module, { layers: 'embedding' });
  return {
    module,
    forward: ({ target, output }) => {
      const { loss } = criterion.compare(criterion.target(target), output);
      return [loss, ops.l2Normalize(criterion.target(output)[0], 1)];
    },
  };
};

const lpips: Builder = golden => {
  const { net, version, spatial, normalize } = configOf(golden);
  if (version !== '0.1' || spatial) throw new UnknownCase();
  const module = new Lpips({ net: net as LpipsNet });
  const criterion = new LpipsLoss(module);
  const toSigned = (image: Tensor) => (normalize ? ops.affine(image, 2, -1) : image);
  return {
    module,
    forward: ({ image, other }) => {
      const { loss, perImage } = criterion.compare(criterion.target(toSigned(other)), toSigned(image));
      return [loss, perImage];
    },
  };
};

const similarity =
  (metric: (x: Tensor, y: Tensor, options: SsimOptions) => Tensor): Builder =>
  golden => {
    const { windowSize, sigma, valRange } = configOf(golden);
    if (windowSize !== 11 || sigma !== 1.5) throw new UnknownCase();
    return {
      forward: ({ coarse, fine, noise }) => {
        const [, , height, width] = fine.shape;
        const smooth = ops.interpolate(coarse, [height, width], 'bilinear-corners');
        const image = ops.add(ops.affine(smooth, 0.6, 0), ops.affine(fine, 0.4, 0));
        const other = ops.stopGradient(ops.add(ops.affine(image, 0.8, 0), ops.affine(noise, 0.2, 0)));
        return [ops.mean(metric(image, other, { range: valRange ?? 'auto' }))];
      },
    };
  };

/** Losses and similarities of images. */
export const lossBuilders: Record<string, Builder> = {
  lpips,
  idLoss,
  wNorm: golden => ({
    forward: ({ latent, latentAvg }) => [wNorm(latent, configOf(golden).startFromLatentAvg ? latentAvg : undefined)],
  }),
  msssim: similarity(msssim),
  ssim: similarity(ssim),
  'e2style.parsingNet': parsing,
  'e2style.parsingLoss': parsingLoss,
  'e2style.idLoss': multiLayerIdLoss,
};
