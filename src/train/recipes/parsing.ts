import { applyEffects } from '../../autograd/effects.ts';
import { add, crossEntropy, grad } from '../../autograd/index.ts';
import { FACE_CLASSES, faceInput, packFaces, renderFaces, sampleFaces } from '../../data/faces.ts';
import { initialize } from '../../models/module.ts';
import { ParsingUNet } from '../../models/parsing.ts';
import { Adam, checkFinite } from '../optimizers.ts';
import type { Recipe } from '../training.ts';
import { cosine, Schedule } from './common.ts';

/** How much rarer classes weigh more, at most. */
const MAX_WEIGHT = 5;

/**
 * The face parsing U-Net (CelebAMask-HQ's, at an eighth of its width) on the exact label maps of the procedural faces.
 */
export const parsing: Recipe = {
  name: 'parsing',
  about: 'face parsing network for the parsing loss',
  defaults: { size: 32, steps: 5000, batch: 32, lr: 3e-3, featureScale: 8 },
  async create({ device, options }) {
    const { seed, size, steps, batch, lr, featureScale } = options as Record<string, number>;
    const network = new ParsingUNet({ featureScale });
    initialize(network, device, { seed });
    const optimizer = new Adam(network, { betas: [0.9, 0.999] });
    const rate = new Schedule(device, cosine(lr, steps, steps / 50));
    const weights = await classWeights(size, seed);
    const weight = device.keep(device.tensor(weights, [FACE_CLASSES.length]));
    // A weighted cross-entropy learns each class's probability times its weight; what is added to the logits in the
    // loss is missing from the network's own (Menon et al. 2021, arXiv 2007.07314). With half of ln w the IoU is best:
    // it gains where rare classes are marked a little more often than they are likely.
    const bias = device.keep(
      device.tensor(
        weights.map(w => 0.5 * Math.log(w)),
        [1, FACE_CLASSES.length, 1, 1],
      ),
    );
    const faces = faceInput(device, batch);

    async function classWeights(pixels: number, stream: number): Promise<Float32Array> {
      const labels = device.scope('class frequencies', () =>
        device.readU32(renderFaces(device, sampleFaces(0, 256, { seed: stream }), pixels).labels),
      );
      const counts = new Float64Array(FACE_CLASSES.length);
      for (const label of await labels) counts[label]++;
      const total = counts.reduce((a, b) => a + b);
      const rarity = counts.map(count => 1 / Math.sqrt(Math.max(count, 1) / total));
      const least = Math.min(...rarity);
      return Float32Array.from(rarity, value => Math.min(MAX_WEIGHT, value / least));
    }

    return {
      modules: { network },
      optimizers: { network: optimizer },
      lossNames: ['loss'],
      mainLoss: 'loss',
      imagesPerStep: batch,
      prepare(step) {
        rate.prepare(step);
        device.write(faces, packFaces(sampleFaces(step, batch, { seed })));
      },
      step({ gate, phase }) {
        return phase('step', () => {
          const { image, labels } = renderFaces(device, faces, size);
          const loss = crossEntropy(add(network.forward(image), bias), labels, weight);
          optimizer.collect(grad(loss, optimizer.variables));
          checkFinite([loss, ...optimizer.gradients], gate);
          optimizer.step(rate.tensor, gate);
          applyEffects(gate);
          return { loss };
        });
      },
      exports: { [`parsing-${size}`]: network },
    };
  },
};
