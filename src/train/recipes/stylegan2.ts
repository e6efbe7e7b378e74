import { applyEffects, withoutEffects } from '../../autograd/effects.ts';
import { add, affine, grad, noGrad, stopGradient } from '../../autograd/index.ts';
import { UserError } from '../../io/errors.ts';
import { tile } from '../../io/grid.ts';
import type { Rgb8 } from '../../io/images.ts';
import { initialize, Module, type Parameter, zeros } from '../../models/module.ts';
import { presets } from '../../models/stylegan2/config.ts';
import { Discriminator } from '../../models/stylegan2/discriminator.ts';
import { Generator } from '../../models/stylegan2/generator.ts';
import { crossoverMask, LatentAverage, mixStyles, repeatLatent } from '../../models/stylegan2/latents.ts';
import type { Device } from '../../runtime/device.ts';
import { random } from '../../runtime/kernels/random.ts';
import { philox4x32 } from '../../runtime/philox.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { dLogisticFake, dLogisticReal, gNonSaturating, pathLengthPenalty, r1Penalty } from '../adversarial.ts';
import { copyState, emaRate, updateEma } from '../ema.ts';
import { Adam, checkFinite } from '../optimizers.ts';
import type { Compute, Recipe, StepContext } from '../training.ts';
import { openSource, Schedule } from './common.ts';

/** A kept scalar of a training: here the running mean of path lengths. */
class Scalar extends Module {
  readonly value: Parameter = this.buffer('value', [1], zeros);
}

/** The generator's average and its average latent, in one file as official ones are: g_ema.* and latent_avg. */
class GeneratorFile extends Module {
  constructor(generator: Generator, average: LatentAverage) {
    super();
    this.child('g_ema', generator);
    this.child('', average);
  }
}

/**
 * StyleGAN2 (Karras et al. 2020): non-saturating logistic loss, R1 every 16 steps and path length regularisation every
 * 4 (lazily, with Adam's correction), style mixing, and an exponential moving average of the generator.
 */
export const stylegan2: Recipe = {
  name: 'stylegan2',
  about: 'StyleGAN2 generator and discriminator',
  defaults: {
    data: 'faces',
    model: 'small32',
    steps: 10_400,
    batch: 8,
    lr: 0.005,
    gamma: 0.3,
    r1Every: 16,
    pathLengthWeight: 2,
    pathLengthEvery: 4,
    mixing: 0.9,
    emaKimg: 3,
    emaRamp: 0.05,
    checkpointing: false,
    sampleEvery: 500,
    saveEvery: 500,
  },
  async create({ device, options, message }) {
    const { seed, batch, lr, gamma, r1Every, pathLengthWeight, pathLengthEvery, mixing } = options as Record<
      string,
      number
    >;
    const model = String(options.model);
    if (!Object.hasOwn(presets, model)) {
      throw new UserError(`model: there is no '${model}'; there are ${Object.keys(presets).join(', ')}`);
    }
    const config = presets[model as keyof typeof presets];
    if (batch % 4 !== 0)
      throw new UserError(`--batch ${batch}: the discriminator compares groups of 4; give a multiple`);
    const source = await openSource({ device, data: String(options.data), size: config.size, batch, seed, message });
    const checkpointing = options.checkpointing === true;
    const [generator, average] = [new Generator(config, { checkpointing }), new Generator(config)];
    const discriminator = new Discriminator(config, { checkpointing });
    const latentAverage = new LatentAverage(config.wDim);
    const pathLength = new Scalar();
    const modules = { generator, average, discriminator, latentAverage, pathLength };
    for (const module of Object.values(modules)) initialize(module, device, { seed });
    copyState(average, generator);
    average.freeze().eval();

    // A regulariser that is off (every 0) needs no correction.
    const lazy = (every: number) => ({ betas: [0, 0.99] as const, lazyInterval: every > 0 ? every : undefined });
    const optimizers = {
      generator: new Adam(generator, lazy(pathLengthEvery)),
      discriminator: new Adam(discriminator, lazy(r1Every)),
    };
    const rate = new Schedule(device, () => lr);
    const ema = new Schedule(device, step =>
      emaRate((step - 1) * batch, {
        batch,
        halfLife: options.emaKimg as number,
        rampUp: options.emaRamp as number,
      }),
    );
    const mask = device.keep(device.empty([generator.latents, 1], 'f32', 'crossover'));

    /** W+ latents of fresh z, two styles mixed with the step's crossover. */
    function latents(count: number, phase: string, { stepNumber }: StepContext, track = false): Tensor {
      const z = (i: number) =>
        random(device, [count, config.wDim], 'normal', { seed, stream: `${phase} z${i}`, step: stepNumber });
      const first = generator.mapping.forward(z(1));
      if (track) latentAverage.track(first);
      return mixStyles(first, generator.mapping.forward(z(2)), mask);
    }
    const freshNoise = (phase: string, { stepNumber }: StepContext) => ({
      noise: { fresh: { seed, stream: phase, step: stepNumber } },
    });

    function update(
      name: keyof typeof optimizers,
      loss: Tensor,
      gradients: readonly Tensor[],
      { gate }: StepContext,
    ): void {
      const optimizer = optimizers[name];
      optimizer.collect(gradients);
      checkFinite([loss, ...optimizer.gradients], gate);
      optimizer.step(rate.tensor, gate);
    }

    function discriminatorStep(images: Tensor, context: StepContext): Record<string, Tensor> {
      const fakes = noGrad(() => generator.forward(latents(batch, 'D', context, true), freshNoise('D', context)));
      const { variables } = optimizers.discriminator;
      // One term after the other, as the reference implementations do: one pass's activations at a time.
      const real = dLogisticReal(discriminator.forward(images));
      const gradients = grad(real, variables);
      const fake = dLogisticFake(discriminator.forward(stopGradient(fakes)));
      const sums = grad(fake, variables).map((gradient, i) => add(gradient, gradients[i]));
      const loss = add(real, fake);
      update('discriminator', loss, sums, context);
      return { discriminator: loss };
    }

    function r1Step(images: Tensor, context: StepContext): Record<string, Tensor> {
      const { penalty } = r1Penalty(x => discriminator.forward(x), images);
      const loss = affine(penalty, (gamma / 2) * r1Every, 0);
      // How logits change with the image does not depend on the biases behind the minibatch standard deviation.
      const gradients = grad(loss, optimizers.discriminator.variables, { unused: 'zero' });
      update('discriminator', loss, gradients, context);
      return { r1: penalty };
    }

    function generatorStep(context: StepContext): Record<string, Tensor> {
      const images = generator.forward(latents(batch, 'G', context), freshNoise('G', context));
      discriminator.freeze();
      const loss = gNonSaturating(discriminator.forward(images));
      // Frozen until the gradients are there: with checkpointing its blocks are computed again for them.
      const gradients = grad(loss, optimizers.generator.variables);
      discriminator.unfreeze();
      update('generator', loss, gradients, context);
      return { generator: loss };
    }

    function pathLengthStep(context: StepContext): Record<string, Tensor> {
      const count = Math.max(1, batch / 2);
      const w = latents(count, 'path length', context);
      const noise = random(device, [count, 3, config.size, config.size], 'normal', {
        seed,
        stream: 'path length noise',
        step: context.stepNumber,
      });
      const synthesize = (x: Tensor) => generator.forward(x, freshNoise('path length', context));
      const { penalty, mean: average } = pathLengthPenalty(synthesize, w, noise, pathLength.value.value);
      const loss = affine(penalty, pathLengthWeight * pathLengthEvery, 0);
      // How images change with the latents does not depend on to-RGB's biases.
      const gradients = grad(loss, optimizers.generator.variables, { unused: 'zero' });
      update('generator', loss, gradients, context);
      return { pathLengthPenalty: penalty, pathLength: average };
    }

    return {
      modules,
      optimizers,
      parts: { data: source },
      lossNames: ['discriminator', 'generator', 'r1', 'pathLengthPenalty', 'pathLength'],
      mainLoss: 'generator',
      imagesPerStep: batch,
      get waitedMs() {
        return source.waitedMs;
      },
      get skippedImages() {
        return source.skipped;
      },
      async prepare(step) {
        await source.prepare(step);
        rate.prepare(step);
        ema.prepare(step);
        const [chance, place] = philox4x32([step, 0, 0, 4], [seed, 0x317]);
        const cut = chance < mixing * 2 ** 32 ? 1 + (place % (generator.latents - 1)) : generator.latents;
        device.write(mask, crossoverMask(generator.latents, cut));
      },
      step(context) {
        const { step, gate } = context;
        const images = context.phase('images', () => source.images());
        const losses: Record<string, Tensor> = {};
        const phase = (name: string, body: () => Record<string, Tensor>) =>
          Object.assign(
            losses,
            context.phase(name, () => {
              const result = body();
              applyEffects(gate);
              return result;
            }),
          );
        phase('D', () => discriminatorStep(images, context));
        if (r1Every > 0 && (step - 1) % r1Every === 0) phase('R1', () => r1Step(images, context));
        phase('G', () => generatorStep(context));
        if (pathLengthEvery > 0 && (step - 1) % pathLengthEvery === 0)
          phase('path length', () => pathLengthStep(context));
        context.phase('average', () => updateEma(average, generator, ema.tensor, gate));
        return losses;
      },
      samples: sampler(device, average, seed),
      state: () => source.state(),
      restore: state => source.restore(state),
      exports: {
        [`generator-${config.size}`]: new GeneratorFile(average, latentAverage),
        [`discriminator-${config.size}`]: discriminator,
      },
    };
  },
};

/** Sample grids: 8 × 6 images of fixed z, a row at a time. */
function sampler(device: Device, generator: Generator, seed: number): (compute: Compute) => Promise<Rgb8> {
  const { wDim, size } = generator.config;
  const [columns, rows] = [8, 6];
  const step = device.keep(device.tensor([0], [1], 'u32'));
  const z = device.keep(device.empty([columns, wDim], 'f32', 'z of a row'));
  const row = () =>
    withoutEffects(() =>
      noGrad(() => generator.forward(repeatLatent(generator.mapping.forward(z), generator.latents))),
    );
  return async compute => {
    const pixels: Promise<Float32Array>[] = [];
    for (let i = 0; i < rows; i++) {
      device.scope('z', () => {
        const all = random(device, [rows * columns, wDim], 'normal', { seed, stream: 'samples', step });
        device.copy(all, z, { from: i * z.size, count: z.size });
      });
      pixels.push((await compute('samples', row)).read());
    }
    const images = new Float32Array(rows * columns * 3 * size * size);
    for (const [i, values] of (await Promise.all(pixels)).entries()) images.set(values, i * values.length);
    return tile(images, [rows * columns, 3, size, size], { columns });
  };
}
