import { add, affine, type GradOptions, grad, isTracked, noGrad, stopGradient } from '../../autograd/index.ts';
import { initialize, Module, type Parameter, zeros } from '../../models/module.ts';
import { Discriminator } from '../../models/stylegan2/discriminator.ts';
import { Generator } from '../../models/stylegan2/generator.ts';
import { crossoverMask, LatentAverage, mixStyles } from '../../models/stylegan2/latents.ts';
import { random } from '../../runtime/kernels/random.ts';
import { philox4x32 } from '../../runtime/philox.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { AdaptiveAugmentation } from '../ada/heuristic.ts';
import { dLogisticFake, dLogisticReal, gNonSaturating, pathLengthPenalty, r1Penalty } from '../adversarial.ts';
import { copyState, emaRate, updateEma } from '../ema.ts';
import { Adam } from '../optimizers.ts';
import type { Recipe, StepContext } from '../training.ts';
import { openSource, Schedule } from './common.ts';
import { measurement } from './stylegan2/metrics.ts';
import { MicroBatches, type Phase, type PhaseResult } from './stylegan2/microBatches.ts';
import { augmentationOf, cutBatch, defaults, derive, halfResolutionsOf, networkOf } from './stylegan2/options.ts';
import { sampler } from './stylegan2/samples.ts';
import { loadStart } from './stylegan2/start.ts';

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
  defaults,
  derive,
  async create({ device, options, resumed, message }) {
    const { seed, batch, lr, gamma, r1Every, pathLengthWeight, pathLengthEvery, mixing } = options as Record<
      string,
      number
    >;
    const config = networkOf(options);
    const halfResolutions = halfResolutionsOf(options, device, message);
    const trained = { ...config, halfResolutions };
    const { microBatch, rounds } = cutBatch(options);
    const source = await openSource({
      device,
      data: String(options.data),
      size: config.size,
      batch: microBatch,
      rounds,
      mirror: options.mirror === true,
      seed,
      message,
    });
    const checkpointing = options.checkpointing === true;
    const [generator, average] = [new Generator(trained, { checkpointing }), new Generator(config)];
    const discriminator = new Discriminator(trained, { checkpointing });
    const latentAverage = new LatentAverage(config.wDim);
    const pathLength = new Scalar();
    const ada = new AdaptiveAugmentation(augmentationOf(options));
    const modules = { generator, average, discriminator, latentAverage, pathLength, ada };
    for (const module of Object.values(modules)) initialize(module, device, { seed });
    copyState(average, generator);
    average.freeze().eval();

    if (options.from && !resumed) await loadStart(String(options.from), modules, message);
    discriminator.freezeFirst(Number(options.freezeD));

    // A regulariser that is off (every 0) needs no correction.
    const lazy = (every: number) => ({ betas: [0, 0.99] as const, lazyInterval: every > 0 ? every : undefined });
    const optimizers = {
      generator: new Adam(generator, lazy(pathLengthEvery)),
      discriminator: new Adam(discriminator, lazy(r1Every)),
    };
    const rate = new Schedule(device, () => lr);
    const microBatches = new MicroBatches(device, rounds, rate.tensor, halfResolutions > 0);
    const ema = new Schedule(device, step =>
      emaRate((step - 1) * batch, {
        batch,
        halfLife: options.emaKimg as number,
        rampUp: Number(options.emaRamp) || undefined,
      }),
    );
    const mask = device.keep(device.empty([generator.latents, 1], 'f32', 'crossover'));

    /** W+ latents of fresh z, two styles mixed with the step's crossover. */
    function latents(count: number, phase: string, step: Tensor, track = false): Tensor {
      const z = (i: number) => random(device, [count, config.wDim], 'normal', { seed, stream: `${phase} z${i}`, step });
      const first = generator.mapping.forward(z(1));
      if (track) latentAverage.track(first);
      return mixStyles(first, generator.mapping.forward(z(2)), mask);
    }
    const freshNoise = (phase: string, step: Tensor) => ({ noise: { fresh: { seed, stream: phase, step } } });

    /** Logits of images, which the discriminator sees with augmentations of their own every time. */
    function discriminate(images: Tensor, phase: string, step: Tensor): Tensor {
      if (options.augment === 'none') return discriminator.forward(images);
      return discriminator.forward(ada.pipe.forward(images, { seed, stream: `${phase} augmentation`, step }));
    }

    /** The gradients of the variables that are trained. */
    function gradients(loss: Tensor, variables: readonly Tensor[], how?: GradOptions<'zero'>): (Tensor | undefined)[] {
      const wanted = variables.filter(isTracked);
      const found = new Map(grad(loss, wanted, how).map((gradient, i) => [wanted[i], gradient]));
      return variables.map(variable => found.get(variable));
    }

    function discriminatorPhase(images: Tensor, draw: Tensor): PhaseResult {
      const fakes = noGrad(() => generator.forward(latents(microBatch, 'D', draw, true), freshNoise('D', draw)));
      const { variables } = optimizers.discriminator;
      // One term after the other, as the reference implementations do: one pass's activations at a time.
      const logits = discriminate(images, 'real', draw);
      ada.observe(logits);
      const real = dLogisticReal(logits);
      const ofReal = gradients(real, variables);
      const fake = dLogisticFake(discriminate(stopGradient(fakes), 'fake', draw));
      const sums = gradients(fake, variables).map((gradient, i) => gradient && add(gradient, ofReal[i]!));
      const loss = add(real, fake);
      return { loss, gradients: sums, logged: [loss] };
    }

    function r1Phase(images: Tensor, draw: Tensor): PhaseResult {
      const { penalty } = r1Penalty(x => discriminate(x, 'R1', draw), images);
      const loss = affine(penalty, (gamma / 2) * r1Every, 0);
      // How logits change with the image does not depend on the biases behind the minibatch standard deviation.
      const { variables } = optimizers.discriminator;
      return { loss, gradients: gradients(loss, variables, { unused: 'zero' }), logged: [penalty] };
    }

    function generatorPhase(draw: Tensor): PhaseResult {
      const images = generator.forward(latents(microBatch, 'G', draw), freshNoise('G', draw));
      // Frozen until the gradients are there: with checkpointing its blocks are computed again for them.
      return discriminator.frozen(() => {
        const loss = gNonSaturating(discriminate(images, 'G', draw));
        return { loss, gradients: grad(loss, optimizers.generator.variables), logged: [loss] };
      });
    }

    function pathLengthPhase(draw: Tensor): PhaseResult {
      const count = Math.max(1, Math.floor(microBatch / 2));
      const w = latents(count, 'path length', draw);
      const noise = random(device, [count, 3, config.size, config.size], 'normal', {
        seed,
        stream: 'path length noise',
        step: draw,
      });
      const synthesize = (x: Tensor) => generator.forward(x, freshNoise('path length', draw));
      const { penalty, mean } = pathLengthPenalty(synthesize, w, noise, pathLength.value.value);
      const loss = affine(penalty, pathLengthWeight * pathLengthEvery, 0);
      // How images change with the latents does not depend on to-RGB's biases.
      const { variables } = optimizers.generator;
      return { loss, gradients: grad(loss, variables, { unused: 'zero' }), logged: [penalty, mean] };
    }

    /** The phases of a step in their order. */
    function phases(context: StepContext): Phase[] {
      const { step } = context;
      const draw = microBatches.counter(context);
      let [current, found] = [-1, undefined as Tensor | undefined];
      /** The real images of a round; R1 takes those of the main phase. */
      const images = (round: number): Tensor => {
        if (round !== current || !found) {
          source.select(round);
          found = context.phase('images', () => source.images());
        }
        current = round;
        return found;
      };
      const isDue = (every: number, weight: number) => every > 0 && weight > 0 && (step - 1) % every === 0;
      const ofD = { optimizer: optimizers.discriminator, images };
      const ofG = { optimizer: optimizers.generator };
      const all: (Phase | false)[] = [
        { ...ofD, name: 'D', losses: ['discriminator'], compute: real => discriminatorPhase(real!, draw) },
        isDue(r1Every, gamma) && { ...ofD, name: 'R1', losses: ['r1'], compute: real => r1Phase(real!, draw) },
        { ...ofG, name: 'G', losses: ['generator'], compute: () => generatorPhase(draw) },
        isDue(pathLengthEvery, pathLengthWeight) && {
          ...ofG,
          name: 'path length',
          losses: ['pathLengthPenalty', 'pathLength'],
          compute: () => pathLengthPhase(draw),
        },
      ];
      return all.filter(phase => phase !== false);
    }

    return {
      modules,
      optimizers,
      parts: { data: source },
      lossNames: ['discriminator', 'generator', 'r1', 'pathLengthPenalty', 'pathLength', 'realSigns', 'augmentation'],
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
        microBatches.prepare(step);
        const [chance, place] = philox4x32([step, 0, 0, 4], [seed, 0x317]);
        const cut = chance < mixing * 2 ** 32 ? 1 + (place % (generator.latents - 1)) : generator.latents;
        device.write(mask, crossoverMask(generator.latents, cut));
      },
      step(context) {
        const losses = phases(context).map(phase => microBatches.run(phase, context));
        context.phase('average', () => updateEma(average, generator, ema.tensor, context.gate));
        const overfitting = { realSigns: ada.r.value, augmentation: ada.pipe.p.value };
        return Object.assign({}, ...losses, overfitting);
      },
      samples: sampler(device, average, seed),
      metrics: await measurement({ device, options, message }, average),
      state: () => source.state(),
      restore: state => source.restore(state),
      exports: {
        [`generator-${config.size}`]: new GeneratorFile(average, latentAverage),
        [`discriminator-${config.size}`]: discriminator,
      },
    };
  },
};
