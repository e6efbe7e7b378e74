import * as ops from '../../autograd/index.ts';
import { Inception, type InceptionVariant } from '../../models/inception.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import type { Builder } from './modules.ts';

/** Features by the branches of the last block. */
function builder(features: (network: Inception, image: Tensor) => Tensor): Builder {
  return ({ config }) => {
    const module = new Inception(config as { variant: InceptionVariant });
    return {
      module,
      forward: ({ image }) => ops.split(features(module, image), [320, 768, 768, 192], 1),
    };
  };
}

export const inceptionBuilders: Record<string, Builder> = {
  'inception.features': builder((network, image) => network.features(image)),
  'inception.forward': builder((network, image) => network.forward(image)),
};
