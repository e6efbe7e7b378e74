import { applyEffects, type Effect, pendingEffects } from '../../autograd/effects.ts';
import { add, affine, grad, stopGradient } from '../../autograd/index.ts';
import { UserError } from '../../io/errors.ts';
import type { Rgb8 } from '../../io/images.ts';
import { E2Style, type StageOutput, styleSplit } from '../../models/e2style.ts';
import { initialize } from '../../models/module.ts';
import type { Device } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { presetOptions } from '../abortionPresets.ts';
import { IdLoss, LpipsLoss, l2, ParsingLoss } from '../losses.ts';
import { checkFinite, Ranger } from '../optimizers.ts';
import type {
  Compute,
  Evaluation,
  Options,
  Recipe,
  RecipeContext,
  Stages,
  StepContext,
  Training,
} from '../training.ts';
import { type ImageSource, openSource, Schedule } from './common.ts';
import { E2StyleEvaluation } from './e2styleEvaluation.ts';
import { loadNetworks, type Networks, SHIPPED_SIZES } from './e2styleNetworks.ts';
import { recognition24 } from './recognition.ts';

/** The terms of the loss. A setting of the same name is the term's weight. */
const TERMS = ['l2', 'lpips', 'id', 'parsing'] as const;

/**
 * E2Style (Wei et al. 2022) with N stages trained together: each stage has its own loss on its own output and hands its
 * latents and image on as constants, so that the network stays whole when the abortion method drops its last stage.
 */
export const e2style: Recipe = {
  name: 'e2style',
  about: 'E2Style inversion in stages, with the abortion monitor',
  defaults: {
    data: 'faces',
    size: 32,
    stages: 3,
    steps: 20_000,
    batch: 16,
    lr: 1e-3,
    abort: 'robust',
    abortAt: '',
    threshold: null,
    window: null,
    // E2Style's README: L = L2 + 0.8 LPIPS + 0.5 ID + 1 parsing.
    l2: 1,
    lpips: 0.8,
    id: 0.5,
    parsing: 1,
    lpipsFile: '',
    idFile: '',
    parsingFile: '',
    checkpointing: false,
  },
  create: context => E2StyleTraining.create(context),
};

class E2StyleTraining implements Training {
  readonly modules: Training['modules'];
  readonly optimizers: Record<string, Ranger>;
  readonly parts: Training['parts'];
  readonly lossNames: readonly string[];
  readonly mainLoss = 'stage1';
  readonly imagesPerStep: number;
  readonly stages: Stages & { active: number };
  private readonly encoder: E2Style;
  private readonly rate: Schedule;
  private readonly evaluation: E2StyleEvaluation;
  private readonly losses: { lpips: LpipsLoss; id: IdLoss; parsing: ParsingLoss };

  static async create({ device, options, message }: RecipeContext): Promise<E2StyleTraining> {
    const { batch, seed } = options as Record<string, number>;
    const stages = stagesOf(options);
    const size = SHIPPED_SIZES.find(size => size === options.size);
    if (size === undefined) {
      throw new UserError(
        `--size ${options.size}: the package has generators and loss networks for ${SHIPPED_SIZES.join(' and ')} pixels only`,
      );
    }
    const source = await openSource({ device, data: String(options.data), size, batch, seed, message });
    const networks = await loadNetworks(device, {
      size,
      checkpointing: options.checkpointing === true,
      files: { lpips: String(options.lpipsFile), id: String(options.idFile), parsing: String(options.parsingFile) },
    });
    return new E2StyleTraining(device, options, stages, source, networks);
  }

  private constructor(
    private readonly device: Device,
    private readonly options: Readonly<Options>,
    stages: Omit<Stages, 'active' | 'dropLast' | 'terms'>,
    private readonly source: ImageSource,
    private readonly networks: Networks,
  ) {
    const { generator, perceptual, identity, parser } = networks;
    const { size, batch, seed, lr } = options as Record<string, number>;
    const { wDim } = generator.config;
    this.encoder = new E2Style({
      stages: stages.initial,
      inputSize: size,
      channels: recognition24.channels!.slice(0, 3),
      units: recognition24.units!.slice(0, 3),
      split: styleSplit(generator.latents),
      styleDim: wDim,
      poolSize: 4,
      checkpointing: options.checkpointing === true,
    });
    this.evaluation = new E2StyleEvaluation(this.encoder, networks, source, options);
    const names = this.encoder.encoders.map((_, i) => `stage${i + 1}`);
    this.encoder.encoders.forEach((encoder, i) => {
      initialize(encoder, device, { seed: seed * 1000 + i });
      // As the official encoders start from ArcFace's: the trunk, and the first stage's input layer, which has 3
      // channels too.
      for (const [key, { value, isOptional }] of encoder.state()) {
        const taken = key.startsWith('body.') || (i === 0 && key.startsWith('input_layer.'));
        if (taken && !isOptional) device.write(value, networks.trunk.get(key)!.data);
      }
    });
    this.modules = Object.fromEntries(this.encoder.encoders.map((encoder, i) => [names[i], encoder]));
    this.optimizers = Object.fromEntries(this.encoder.encoders.map((encoder, i) => [names[i], new Ranger(encoder)]));
    this.lossNames = names.flatMap(name => [name, ...TERMS.map(term => `${name}/${term}`)]);
    this.imagesPerStep = batch;
    this.rate = new Schedule(device, () => lr);
    this.losses = { lpips: new LpipsLoss(perceptual), id: new IdLoss(identity), parsing: new ParsingLoss(parser) };
    const { lpips, id, parsing } = this.losses;
    this.parts = { data: source, generator, 'loss.lpips': lpips, 'loss.id': id, 'loss.parsing': parsing };
    const titles = { l2: 'L2', lpips: perceptual.title, id: 'multi-layer ID', parsing: 'multi-layer parsing' };
    const terms = TERMS.map(name => ({ name, title: titles[name], weight: Number(options[name]) }));
    this.stages = { ...stages, terms, active: stages.initial, dropLast: () => this.dropLast() };
  }

  get waitedMs(): number | undefined {
    return this.source.waitedMs;
  }

  get skippedImages(): number {
    return this.source.skipped;
  }

  async prepare(step: number): Promise<void> {
    await this.source.prepare(step);
    this.rate.prepare(step);
  }

  step(context: StepContext): Record<string, Tensor> {
    return context.phase(`${this.stages.active} stages`, () => this.trainStages(context));
  }

  private trainStages(context: StepContext): Record<string, Tensor> {
    const { device, losses } = this;
    const images = this.source.images();
    const targets = {
      lpips: losses.lpips.target(images),
      id: losses.id.target(images),
      parsing: losses.parsing.target(images),
    };
    const logged: Record<string, Tensor> = {};
    let previous: StageOutput | undefined;
    for (let k = 1; k <= this.stages.active; k++) {
      // A stage's activations go back to the pool before the next one starts: memory is one stage deep.
      const result = device.scope(`stage ${k}`, () => this.trainStage(k, images, previous, targets, context));
      previous = result.output;
      Object.assign(logged, result.losses);
    }
    for (let k = 1; k <= this.stages.active; k++) this.optimizers[`stage${k}`].step(this.rate.tensor, context.gate);
    applyEffects(context.gate);
    return logged;
  }

  private trainStage(
    k: number,
    images: Tensor,
    previous: StageOutput | undefined,
    targets: { lpips: Tensor[]; id: Tensor[]; parsing: Tensor[] },
    { stepNumber, gate }: StepContext,
  ): { output: StageOutput; losses: Record<string, Tensor>; effects: readonly Effect[] } {
    const seed = Number(this.options.seed);
    const output = this.forwardStage(k, images, previous, w =>
      this.networks.generator.forward(w, { noise: { fresh: { seed, stream: `stage ${k}`, step: stepNumber } } }),
    );
    const terms = {
      l2: l2(images, output.pooled),
      lpips: this.losses.lpips.compare(targets.lpips, output.pooled).loss,
      id: this.losses.id.compare(targets.id, output.pooled).loss,
      parsing: this.losses.parsing.compare(targets.parsing, output.pooled).loss,
    };
    const weighted = TERMS.map(name => affine(terms[name], Number(this.options[name]), 0));
    const total = weighted.reduce((sum, term) => add(sum, term));
    const optimizer = this.optimizers[`stage${k}`];
    optimizer.collect(grad(total, optimizer.variables));
    checkFinite([total, ...optimizer.gradients], gate);
    const losses: Record<string, Tensor> = { [`stage${k}`]: total };
    for (const name of TERMS) losses[`stage${k}/${name}`] = terms[name];
    // The running statistics move when all stages are known to be finite.
    return { output: mapOutput(output, stopGradient), losses, effects: pendingEffects() };
  }

  /** w_k = w_{k-1} + E_k(x ‖ P(G(w_{k-1}))), and its image. */
  private forwardStage(
    k: number,
    images: Tensor,
    previous: StageOutput | undefined,
    generator: (latents: Tensor) => Tensor,
  ): StageOutput {
    const delta = this.encoder.stage(k, images, previous?.pooled);
    const latents = add(delta, previous?.latents ?? this.networks.average);
    const image = generator(latents);
    return { latents, image, pooled: this.encoder.facePool(image) };
  }

  private dropLast(): void {
    const name = `stage${this.stages.active}`;
    this.optimizers[name].release();
    delete this.optimizers[name];
    this.stages.active--;
    this.device.trim();
  }

  state(): unknown {
    return this.source.state();
  }

  restore(state: unknown): void {
    this.source.restore(state);
  }

  samples(compute: Compute): Promise<Rgb8> {
    return this.evaluation.samples(this.stages.active, compute);
  }

  evaluate(compute: Compute): Promise<Evaluation> {
    return this.evaluation.evaluate(this.stages.initial, compute);
  }
}

function mapOutput({ latents, image, pooled }: StageOutput, f: (x: Tensor) => Tensor): StageOutput {
  return { latents: f(latents), image: f(image), pooled: f(pooled) };
}

/** How many stages there are, which monitor is obeyed, and which drops are scheduled. */
function stagesOf(options: Readonly<Options>): Omit<Stages, 'active' | 'dropLast' | 'terms'> {
  const initial = Number(options.stages);
  if (!Number.isInteger(initial) || initial < 1)
    throw new UserError(`--stages ${options.stages}: give a whole number from 1 on`);
  const preset = String(options.abort);
  const overrides = {
    initialStages: initial,
    ...(options.threshold === null ? {} : { thresholdA: Number(options.threshold) }),
    ...(options.window === null ? {} : { window: Number(options.window) }),
  };
  const abortAt = String(options.abortAt ?? '');
  const scheduledDrops = abortAt === '' ? [] : abortAt.split(',').map(Number);
  const steps = Number(options.steps);
  const wrong = scheduledDrops.some(
    (step, i) => !Number.isInteger(step) || step < 2 || step > steps || step <= (scheduledDrops[i - 1] ?? 0),
  );
  if (wrong || scheduledDrops.length >= initial) {
    throw new UserError(
      `--abort-at ${abortAt}: give at most ${initial - 1} ascending steps from 2 to ${steps}, as --abort-at 300,350`,
    );
  }
  return {
    initial,
    scheduledDrops,
    lossName: (stage, term) => (term ? `stage${stage}/${term}` : `stage${stage}`),
    abortion: { preset, options: presetOptions(preset, overrides) },
  };
}
