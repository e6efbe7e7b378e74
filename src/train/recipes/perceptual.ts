import { applyEffects } from '../../autograd/effects.ts';
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
  faceInput,
  faceTargets,
  HAIR_COLOURS,
  HAIR_STYLES,
  packFaces,
  renderFaces,
  sampleFaces,
} from '../../data/faces.ts';
import { Linear } from '../../models/layers.ts';
import { VggLike } from '../../models/lpips.ts';
import { initialize } from '../../models/module.ts';
import type { Tensor } from '../../runtime/tensor.ts';
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
    const packed = faceInput(device, batch);
    const target = (shape: number[], dtype: 'f32' | 'u32') => device.keep(device.empty(shape, dtype, 'target'));
    const targets = {
      binary: target([batch, BINARY_ATTRIBUTES.length], 'f32'),
      continuous: target([batch, CONTINUOUS_ATTRIBUTES.length], 'f32'),
      hairStyle: target([batch], 'u32'),
      hairColour: target([batch], 'u32'),
    };

    function train(gate: Tensor) {
      const { image } = renderFaces(device, packed, size);
      const taps = network.taps(image);
      const y = head.forward(reshape(taps[taps.length - 1], [batch, inputs]));
      let at = 0;
      const [yes, values, style, colour] = outputs.map(n => {
        at += n;
        return narrow(y, 1, at - n, at);
      });
      const losses = {
        // Cross-entropy of independent yes-or-no answers: ln(1 + eˣ) - x t.
        binary: mean(sub(softplus(yes), mul(yes, targets.binary))),
        continuous: mean(square(sub(values, targets.continuous))),
        hairStyle: crossEntropy(style, targets.hairStyle),
        hairColour: crossEntropy(colour, targets.hairColour),
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
    }

    return {
      modules: { network, head },
      optimizers,
      lossNames: ['loss', 'binary', 'continuous', 'hairStyle', 'hairColour'],
      mainLoss: 'loss',
      imagesPerStep: batch,
      prepare(step) {
        rate.prepare(step);
        const faces = sampleFaces(step, batch, { seed });
        device.write(packed, packFaces(faces));
        const values = faceTargets(faces);
        for (const [name, target] of Object.entries(targets))
          device.write(target, values[name as keyof typeof targets]);
      },
      step({ gate, phase }) {
        return phase('step', () => train(gate));
      },
      exports: { [`perceptual-${size}`]: network },
    };
  },
};
