import {
  add,
  affine,
  crossEntropy,
  grad,
  mean,
  mul,
  narrow,
  reshape,
  softplus,
  square,
  sub,
} from '../../autograd/index.ts';
import {
  BINARY_ATTRIBUTES,
  CONTINUOUS_ATTRIBUTES,
  faceTargets,
  HAIR_COLOURS,
  HAIR_STYLES,
  renderFaces,
  sampleFaces,
} from '../../data/faces.ts';
import { applyEffects } from '../../models/effects.ts';
import { Linear } from '../../models/layers.ts';
import { VggLike } from '../../models/lpips.ts';
import { initialize } from '../../models/module.ts';
import { Adam, checkFinite } from '../optimizers.ts';
import type { Recipe } from '../training.ts';
import { cosine, Schedule } from './common.ts';

/** The trunk of LPIPS-like(self): a small VGG that learns to tell the procedural faces' attributes. */
export const perceptual: Recipe = {
  name: 'perceptual',
  about: 'VGG-like trunk for the perceptual loss',
  defaults: { size: 32, steps: 1500, batch: 64, lr: 2e-3, width: 8 },
  async create({ device, options }) {
    const { seed, size, steps, batch, lr, width } = options as Record<string, number>;
    const network = new VggLike({ width });
    const outputs: number[] = [
      BINARY_ATTRIBUTES.length,
      CONTINUOUS_ATTRIBUTES.length,
      HAIR_STYLES.length,
      HAIR_COLOURS.length,
    ];
    const inputs = 8 * width * (size / 16) ** 2;
    const head = new Linear(
      inputs,
      outputs.reduce((a, b) => a + b),
    );
    initialize(network, device, { seed });
    initialize(head, device, { seed });
    const optimizers = {
      network: new Adam(network, { betas: [0.9, 0.999] }),
      head: new Adam(head, { betas: [0.9, 0.999] }),
    };
    const rate = new Schedule(device, cosine(lr, steps, steps / 50));
    return {
      modules: { network, head },
      optimizers,
      lossNames: ['loss', 'binary', 'continuous', 'hairStyle', 'hairColour'],
      mainLoss: 'loss',
      imagesPerStep: batch,
      prepare: step => rate.prepare(step),
      step({ step, gate }) {
        const faces = sampleFaces(step, batch, { seed });
        const { image } = renderFaces(device, faces, size);
        const targets = faceTargets(faces);
        const taps = network.taps(image);
        const y = head.forward(reshape(taps[taps.length - 1], [batch, inputs]));
        let at = 0;
        const [yes, values, style, colour] = outputs.map(n => {
          at += n;
          return narrow(y, 1, at - n, at);
        });
        const flags = device.tensor(targets.binary, yes.shape);
        const losses = {
          // Cross-entropy of independent yes-or-no answers: ln(1 + eˣ) - x t.
          binary: mean(sub(softplus(yes), mul(yes, flags))),
          continuous: mean(square(sub(values, device.tensor(targets.continuous, values.shape)))),
          hairStyle: crossEntropy(style, device.tensor(targets.hairStyle, [batch], 'u32')),
          hairColour: crossEntropy(colour, device.tensor(targets.hairColour, [batch], 'u32')),
        };
        const classes = affine(add(losses.hairStyle, losses.hairColour), 0.5, 0);
        const loss = add(add(losses.binary, losses.continuous), classes);
        const { network: first, head: second } = optimizers;
        const gradients = grad(loss, [...first.variables, ...second.variables]);
        first.collect(gradients.slice(0, first.variables.length));
        second.collect(gradients.slice(first.variables.length));
        checkFinite([loss, ...first.gradients, ...second.gradients], gate);
        first.step(rate.tensor, gate);
        second.step(rate.tensor, gate);
        applyEffects(gate);
        return { loss, ...losses };
      },
      exports: { [`perceptual-${size}`]: network },
    };
  },
};
