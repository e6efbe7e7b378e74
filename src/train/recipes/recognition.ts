import { applyEffects } from '../../autograd/effects.ts';
import { grad } from '../../autograd/index.ts';
import { faceInput, faceParameters, packFaces, renderFaces } from '../../data/faces.ts';
import { UserError } from '../../io/errors.ts';
import { ArcFaceHead, CurricularFaceHead, RecognitionNetwork, type RecognitionOptions } from '../../models/arcface.ts';
import { initialize } from '../../models/module.ts';
import { philox4x32 } from '../../runtime/philox.ts';
import { cropFace } from '../losses.ts';
import { checkFinite, Sgd } from '../optimizers.ts';
import type { Recipe } from '../training.ts';
import { cosine, Schedule } from './common.ts';

/**
 * The recognition networks for faces of 32 pixels, cropped to 24 (the loss's with SE, the metric's without). Their
 * trunk is that of the small encoders, so that these can start from it, as the official ones start from ArcFace's.
 */
export const recognition24: RecognitionOptions = {
  inputSize: 24,
  channels: [16, 32, 64, 128],
  units: [2, 2, 2, 2],
  embedding: 128,
};

/**
 * Recognition of the procedural faces' identities: the network of the identity loss (ArcFace, IR-SE) or the one that
 * measures identity (CurricularFace, IR). SGD with momentum and a cosine schedule; the margin rises in the first fifth
 * of the run.
 */
export const recognition: Recipe = {
  name: 'recognition',
  about: 'recognition network for the identity loss or, with --set head=curricular, for the metric',
  defaults: {
    head: 'arcface',
    size: 32,
    steps: 600,
    batch: 64,
    lr: 0.05,
    identities: 300,
    scale: 12,
    margin: 0.2,
    weightDecay: 5e-4,
  },
  async create({ device, options }) {
    const { seed, size, steps, batch, identities, scale, margin } = options as Record<string, number>;
    if (options.head !== 'arcface' && options.head !== 'curricular') {
      throw new UserError(`head: '${options.head}' is neither arcface nor curricular`);
    }
    const forLoss = options.head === 'arcface';
    const network = new RecognitionNetwork({ ...recognition24, mode: forLoss ? 'ir_se' : 'ir' });
    const Head = forLoss ? ArcFaceHead : CurricularFaceHead;
    const head = new Head(128, identities, { scale, margin: 0 });
    initialize(network, device, { seed });
    initialize(head, device, { seed });
    const decayed = { momentum: 0.9, weightDecay: options.weightDecay as number };
    const optimizers = { network: new Sgd(network, decayed), head: new Sgd(head, decayed) };
    const rate = new Schedule(device, cosine(options.lr as number, steps, steps / 50));

    /** The faces of a step: random people of the training set, each in a random view. */
    const facesOf = (step: number) =>
      Array.from({ length: batch }, (_, i) => {
        const [who, view] = philox4x32([step, i, 0, 3], [seed, 0x1d]);
        return faceParameters(who % identities, view % 4096);
      });

    const inputs = {
      faces: faceInput(device, batch),
      labels: device.keep(device.empty([batch], 'u32', 'identities')),
    };

    return {
      modules: { network, head },
      optimizers,
      lossNames: ['loss'],
      mainLoss: 'loss',
      imagesPerStep: batch,
      prepare(step) {
        rate.prepare(step);
        // In a few steps, since each value is a kernel of its own.
        head.margin = (margin * Math.min(8, Math.floor((step / steps) * 40))) / 8;
        const faces = facesOf(step);
        device.write(inputs.faces, packFaces(faces));
        device.write(
          inputs.labels,
          Uint32Array.from(faces, ({ identity }) => identity),
        );
      },
      step({ gate, phase }) {
        return phase(`margin ${head.margin}`, () => {
          const { image } = renderFaces(device, inputs.faces, size);
          const features = network.features(cropFace(image, network.inputSize));
          const loss = head.loss(features[4], inputs.labels);
          const { network: first, head: second } = optimizers;
          const gradients = grad(loss, [...first.variables, ...second.variables]);
          first.collect(gradients.slice(0, first.variables.length));
          second.collect(gradients.slice(first.variables.length));
          checkFinite([loss, ...first.gradients, ...second.gradients], gate);
          first.step(rate.tensor, gate);
          second.step(rate.tensor, gate);
          applyEffects(gate);
          return { loss };
        });
      },
      exports: { [forLoss ? 'recognition-24' : 'recognition-metric-24']: network },
    };
  },
};
