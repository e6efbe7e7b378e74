import { applyEffects, type Effect, pendingEffects, withoutEffects } from '../../autograd/effects.ts';
import { add, affine, expand, grad, narrow, noGrad, reshape, stopGradient } from '../../autograd/index.ts';
import { UserError } from '../../io/errors.ts';
import { tile } from '../../io/grid.ts';
import { encodePng, type Rgb8 } from '../../io/images.ts';
import { E2Style, type StageOutput, styleSplit } from '../../models/e2style.ts';
import { initialize } from '../../models/module.ts';
import type { Device } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { presetOptions } from '../abortionPresets.ts';
import { IdLoss, LpipsLoss, l2, ParsingLoss } from '../losses.ts';
import { type ImageMetrics, imageMetrics, meanAndDeviation, readMetrics } from '../metrics/pairs.ts';
import { checkFinite, Ranger } from '../optimizers.ts';
import type { MetricRow, ReconstructionRow } from '../report.ts';
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
import { loadNetworks, type Networks } from './e2styleNetworks.ts';
import { recognition24 } from './recognition.ts';

/** The terms of the loss and their weights (E2Style's README): L = L2 + 0.8 LPIPS + 0.5 ID + 1 parsing. */
const TERMS = [
  { name: 'l2', title: 'L2', weight: 1 },
  { name: 'lpips', title: 'LPIPS-like(self)', weight: 0.8 },
  { name: 'id', title: 'multi-layer ID', weight: 0.5 },
  { name: 'parsing', title: 'multi-layer parsing', weight: 1 },
] as const;

/** Sizes that the package has a generator and loss networks for. */
const SIZES = [32];
/** Held-out images that are measured, how many at a time, and how many are shown. */
const HELD_OUT = 128;
const EVALUATED_AT_ONCE = 16;
const SHOWN = 8;

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
  private readonly inputs = new Map<number, Tensor>();
  private readonly losses: { lpips: LpipsLoss; id: IdLoss; parsing: ParsingLoss };

  static async create({ device, options, message }: RecipeContext): Promise<E2StyleTraining> {
    const { size, batch, seed } = options as Record<string, number>;
    const stages = stagesOf(options);
    if (!SIZES.includes(size)) {
      throw new UserError(`--size ${size}: the package has a generator for ${SIZES.join(' and ')} pixels only`);
    }
    const source = await openSource({ device, data: String(options.data), size, batch, seed, message });
    const networks = await loadNetworks(device, {
      checkpointing: options.checkpointing === true,
      files: { lpips: String(options.lpipsFile), id: String(options.idFile), parsing: String(options.parsingFile) },
    });
    return new E2StyleTraining(device, options, stages, source, networks);
  }

  private constructor(
    private readonly device: Device,
    private readonly options: Readonly<Options>,
    stages: Omit<Stages, 'active' | 'dropLast'>,
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
    this.lossNames = names.flatMap(name => [name, ...TERMS.map(term => `${name}/${term.name}`)]);
    this.imagesPerStep = batch;
    this.rate = new Schedule(device, () => lr);
    this.losses = { lpips: new LpipsLoss(perceptual), id: new IdLoss(identity), parsing: new ParsingLoss(parser) };
    const { lpips, id, parsing } = this.losses;
    this.parts = { data: source, generator, 'loss.lpips': lpips, 'loss.id': id, 'loss.parsing': parsing };
    this.stages = { ...stages, active: stages.initial, dropLast: () => this.dropLast() };
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
    const weighted = TERMS.map(({ name }) => affine(terms[name], Number(this.options[name]), 0));
    const total = weighted.reduce((sum, term) => add(sum, term));
    const optimizer = this.optimizers[`stage${k}`];
    optimizer.collect(grad(total, optimizer.variables));
    checkFinite([total, ...optimizer.gradients], gate);
    const losses: Record<string, Tensor> = { [`stage${k}`]: total };
    for (const { name } of TERMS) losses[`stage${k}/${name}`] = terms[name];
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

  // Evaluation

  /** The outputs of `stages` stages for images, with the generator's stored noise and running statistics. */
  private invert(images: Tensor, stages: number): Tensor[] {
    for (const encoder of this.encoder.encoders) encoder.eval();
    try {
      return noGrad(() =>
        withoutEffects(() => {
          const { generator: g, average: latentAverage } = this.networks;
          const generator = (w: Tensor) => g.forward(w);
          return this.encoder.forward(images, { generator, latentAverage, stages }).map(({ pooled }) => pooled);
        }),
      );
    } finally {
      for (const encoder of this.encoder.encoders) encoder.train();
    }
  }

  /** Images where a program of the evaluation reads them: one kept tensor for each number of them. */
  private input(images: Tensor): Tensor {
    const [count] = images.shape;
    let input = this.inputs.get(count);
    if (!input) {
      input = this.device.keep(this.device.empty(images.shape, 'f32', 'images to evaluate'));
      this.inputs.set(count, input);
    }
    this.device.copy(images, input);
    return input;
  }

  /**
   * The first held-out images and what each of `stages` stages makes of them, on the host: [count, 3, size, size] each.
   */
  private async reconstruct(stages: number, compute: Compute): Promise<{ rows: Float32Array[]; count: number }> {
    const images = await this.source.heldOut(SHOWN);
    const input = this.input(images);
    this.device.discard(images);
    const [count] = input.shape;
    const outputs = await compute(`${count} reconstructions of ${stages} stages`, () => this.invert(input, stages));
    return { rows: await Promise.all([input, ...outputs].map(row => row.read())), count };
  }

  /** Rows: the inputs, then the outputs of each active stage. */
  async samples(compute: Compute): Promise<Rgb8> {
    const { rows, count } = await this.reconstruct(this.stages.active, compute);
    const size = Number(this.options.size);
    const all = new Float32Array(rows.length * rows[0].length);
    rows.forEach((row, i) => {
      all.set(row, i * row.length);
    });
    return tile(all, [rows.length * count, 3, size, size], { columns: count });
  }

  async evaluate(compute: Compute): Promise<Evaluation> {
    const { device, source } = this;
    const size = Number(this.options.size);
    const stages = this.stages.initial;
    const images = await source.heldOut(HELD_OUT);
    const count = images.shape[0];
    const values: Record<Metric, number[][]> = { l2: [], lpips: [], msssim: [], id: [] };
    for (let first = 0; first < count; first += EVALUATED_AT_ONCE) {
      const input = device.scope('held-out images', () =>
        this.input(narrow(images, 0, first, Math.min(first + EVALUATED_AT_ONCE, count))),
      );
      const rows = await compute(`metrics of ${input.shape[0]} images`, () => this.measure(input, stages));
      for (const [row, metrics] of (await Promise.all(rows.map(readMetrics))).entries()) {
        for (const { key } of METRICS) values[key][row] = [...(values[key][row] ?? []), ...metrics[key]];
      }
    }
    device.discard(images);
    const statistic = (list: number[]) => {
      const { mean, deviation } = meanAndDeviation(list);
      return { mean, std: deviation };
    };
    const metrics: MetricRow[] = METRICS.map(({ key, name, better }) => {
      const [baseline, ...rest] = values[key].map(statistic);
      return { name: key === 'lpips' ? perceptualName(this.options) : name, better, baseline, stages: rest };
    });
    return {
      subtitle: `E2Style with ${stages} stages on ${source.about} at ${size}×${size} pixels.`,
      description: `${count} ${source.heldOutAbout}.`,
      metrics,
      reconstructions: await this.reconstructions(size, stages, compute),
    };
  }

  /** The metrics of the mean latent's image, and of each stage's outputs. */
  private measure(images: Tensor, stages: number): ImageMetrics<Tensor>[] {
    const { generator, average, perceptual, identityMetric } = this.networks;
    const latents = expand(reshape(average, [1, average.size]), [images.shape[0], average.size]);
    const mean = this.encoder.facePool(noGrad(() => generator.forward(latents)));
    return [mean, ...this.invert(images, stages)].map(output =>
      imageMetrics(output, images, { perceptual, identity: identityMetric }),
    );
  }

  private async reconstructions(size: number, stages: number, compute: Compute): Promise<ReconstructionRow[]> {
    const { rows, count } = await this.reconstruct(stages, compute);
    const pixels = 3 * size * size;
    const picture = async (row: Float32Array, i: number) =>
      dataUri(await encodePng(tile(row.subarray(i * pixels, (i + 1) * pixels), [1, 3, size, size], { columns: 1 })));
    return Promise.all(
      rows.map(async (row, stage) => ({
        label: stage === 0 ? 'input' : `stage ${stage}`,
        images: await Promise.all(Array.from({ length: count }, (_, i) => picture(row, i))),
      })),
    );
  }
}

type Metric = 'l2' | 'lpips' | 'msssim' | 'id';

const METRICS: readonly { key: Metric; name: string; better: 'lower' | 'higher' }[] = [
  { key: 'l2', name: 'L2', better: 'lower' },
  { key: 'lpips', name: 'LPIPS-like(self)', better: 'lower' },
  { key: 'msssim', name: 'MS-SSIM', better: 'higher' },
  { key: 'id', name: 'ID(self)', better: 'higher' },
];

/** What distances may be called: those of networks that the project trained itself do not compare with others'. */
function perceptualName({ lpipsFile }: Readonly<Options>): string {
  return lpipsFile === '' ? 'LPIPS-like(self)' : 'LPIPS';
}

function mapOutput({ latents, image, pooled }: StageOutput, f: (x: Tensor) => Tensor): StageOutput {
  return { latents: f(latents), image: f(image), pooled: f(pooled) };
}

function dataUri(png: Uint8Array): string {
  let binary = '';
  for (const byte of png) binary += String.fromCharCode(byte);
  return `data:image/png;base64,${btoa(binary)}`;
}

/** How many stages there are, which monitor is obeyed, and which drops are scheduled. */
function stagesOf(options: Readonly<Options>): Omit<Stages, 'active' | 'dropLast'> {
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
    terms: TERMS.map(term => ({
      ...term,
      title: term.name === 'lpips' ? perceptualName(options) : term.title,
      weight: Number(options[term.name]),
    })),
    lossName: (stage, term) => (term ? `stage${stage}/${term}` : `stage${stage}`),
    abortion: { preset, options: presetOptions(preset, overrides) },
  };
}
