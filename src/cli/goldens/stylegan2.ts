import { Sequential } from '../../models/layers.ts';
import type { StyleGan2Config } from '../../models/stylegan2/config.ts';
import { Discriminator } from '../../models/stylegan2/discriminator.ts';
import { Generator } from '../../models/stylegan2/generator.ts';
import { crossoverMask, mixStyles, repeatLatent, truncate } from '../../models/stylegan2/latents.ts';
import { Mapping } from '../../models/stylegan2/mapping.ts';
import { ModulatedConv } from '../../models/stylegan2/modulatedConv.ts';
import { nvlabsGenerator } from '../../models/stylegan2/names.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { dLogistic, gNonSaturating, pathLengthPenalty, r1Penalty } from '../../train/adversarial.ts';
import { fillValues, type GoldenCase } from './format.ts';
import type { Builder } from './modules.ts';
import { UnknownCase } from './ops.ts';

/** A case's networks have our structure, or the case is unknown. */
function configOf({ config = {} }: GoldenCase): StyleGan2Config & Record<string, unknown> {
  const { blurKernel = [1, 3, 3, 1], lrMlp = 0.01, stddevGroup = 4, stddevFeatures = 1, nMlp = 0, wDim = 0 } = config;
  if (String(blurKernel) !== '1,3,3,1' || lrMlp !== 0.01 || stddevGroup !== 4 || stddevFeatures !== 1) {
    throw new UnknownCase();
  }
  return { ...config, wDim, mappingLayers: nMlp } as StyleGan2Config & Record<string, unknown>;
}

const generator: Builder = golden => {
  const config = configOf(golden);
  if (config.noise !== 'const') throw new UnknownCase();
  const network = new Generator(config);
  const psi = (config.truncation as number | undefined) ?? 1;
  const latentOf = (inputs: Record<string, Tensor>): Tensor => {
    if (inputs.latent) return inputs.latent;
    if (inputs.z) {
      const average = golden.state!.find(([key]) => key === 'mapping.w_avg')!;
      const [, shape, scale, shift, seed] = average;
      const centre = inputs.z.device.tensor(fillValues({ shape, scale, shift, seed }), shape);
      const latents = repeatLatent(network.mapping.forward(inputs.z), network.latents);
      return truncate(latents, centre, { psi, cutoff: config.truncationCutoff as number | undefined });
    }
    const mapped = [inputs.z1, inputs.z2].map(z =>
      truncate(network.mapping.forward(z), inputs.truncationLatent, { psi }),
    );
    const mask = inputs.z1.device.tensor(crossoverMask(network.latents, config.injectIndex as number), [
      network.latents,
      1,
    ]);
    return mixStyles(mapped[0], mapped[1], mask);
  };
  return {
    module: network,
    naming: config.naming === 'nvlabs' ? nvlabsGenerator(network) : undefined,
    forward: inputs => {
      const latent = latentOf(inputs);
      const image = network.forward(latent);
      return golden.outputs.length > 1 ? [image, latent] : [image];
    },
  };
};

/** StyleGAN2 and the adversarial losses. */
export const stylegan2Builders: Record<string, Builder> = {
  'stylegan2.generator': generator,

  'stylegan2.mapping': golden => {
    const { wDim, zDim, mappingLayers } = configOf(golden);
    if (zDim !== wDim) throw new UnknownCase();
    const mapping = new Mapping(wDim, mappingLayers);
    return { module: new Sequential({ style: mapping }), forward: ({ z }) => [mapping.forward(z)] };
  },

  'stylegan2.modulatedConv': ({ config }) => {
    const { inChannels, outChannels, kernel, styleDim, demodulate, upsample } = config as Record<string, never>;
    const conv = new ModulatedConv(inChannels, outChannels, { kernel, wDim: styleDim, demodulate, up: upsample });
    return { module: conv, forward: ({ input, style }) => [conv.forward(input, style)] };
  },

  'stylegan2.discriminator': golden => {
    const network = new Discriminator(configOf(golden));
    return { module: network, forward: ({ image }) => [network.forward(image)] };
  },

  'stylegan2.r1': golden => {
    const network = new Discriminator(configOf(golden));
    return {
      module: network,
      forward: ({ image }) => {
        const { penalty, logits } = r1Penalty(x => network.forward(x), image);
        return [penalty, logits];
      },
    };
  },

  'stylegan2.pathLength': golden => {
    const config = configOf(golden);
    if (config.decay !== 0.01) throw new UnknownCase();
    const network = new Generator(config);
    return {
      module: network,
      forward: ({ z, noiseImage }) => {
        const average = z.device.tensor([config.meanPathLength as number], [1]);
        const latents = repeatLatent(network.mapping.forward(z), network.latents);
        const { penalty, mean, lengths } = pathLengthPenalty(w => network.forward(w), latents, noiseImage, average);
        return [penalty, mean, lengths];
      },
    };
  },

  'gan.dLogistic': () => ({ forward: ({ real, fake }) => [dLogistic(real, fake)] }),
  'gan.gNonSaturating': () => ({ forward: ({ fake }) => [gNonSaturating(fake)] }),
};
