import { withoutEffects } from '../../autograd/effects.ts';
import { expand, narrow, noGrad, reshape } from '../../autograd/index.ts';
import { tile } from '../../io/grid.ts';
import { encodePng, type Rgb8 } from '../../io/images.ts';
import type { E2Style } from '../../models/e2style.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type ImageMetrics, imageMetrics, meanAndDeviation, readMetrics } from '../metrics/pairs.ts';
import type { MetricRow, ReconstructionRow } from '../report.ts';
import type { Compute, Evaluation, Options } from '../training.ts';
import type { ImageSource } from './common.ts';
import type { Networks } from './e2styleNetworks.ts';

/** Held-out images that are measured, how many at a time, and how many are shown. */
const HELD_OUT = 128;
const EVALUATED_AT_ONCE = 16;
const SHOWN = 8;

type Metric = 'l2' | 'lpips' | 'msssim' | 'id';

/** Of which LPIPS has the title of its network. */
const METRICS: readonly { key: Metric; name?: string; better: 'lower' | 'higher' }[] = [
  { key: 'l2', name: 'L2', better: 'lower' },
  { key: 'lpips', better: 'lower' },
  { key: 'msssim', name: 'MS-SSIM', better: 'higher' },
  { key: 'id', name: 'ID(self)', better: 'higher' },
];

/** What the stages of E2Style make of images that they were not trained on: sample grids, and the report's figures. */
export class E2StyleEvaluation {
  private readonly inputs = new Map<number, Tensor>();

  constructor(
    private readonly encoder: E2Style,
    private readonly networks: Networks,
    private readonly source: ImageSource,
    private readonly options: Readonly<Options>,
  ) {}

  /** Rows: the first held-out images, then the outputs of each of `stages` stages. */
  async samples(stages: number, compute: Compute): Promise<Rgb8> {
    const { rows, count } = await this.reconstruct(stages, compute);
    const size = Number(this.options.size);
    const all = new Float32Array(rows.length * rows[0].length);
    rows.forEach((row, i) => {
      all.set(row, i * row.length);
    });
    return tile(all, [rows.length * count, 3, size, size], { columns: count });
  }

  /** The metrics of held-out images after each of `stages` stages, and some reconstructions. */
  async evaluate(stages: number, compute: Compute): Promise<Evaluation> {
    const { source } = this;
    const size = Number(this.options.size);
    const images = await source.heldOut(HELD_OUT);
    const { device } = images;
    const [count] = images.shape;
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
      return { name: name ?? this.networks.perceptual.title, better, baseline, stages: rest };
    });
    return {
      subtitle: `E2Style with ${stages} stages on ${source.about} at ${size}×${size} pixels.`,
      description: `${count} ${source.heldOutAbout}.`,
      metrics,
      reconstructions: await this.reconstructions(size, stages, compute),
    };
  }

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
    const { device, shape } = images;
    const [count] = shape;
    let input = this.inputs.get(count);
    if (!input) {
      input = device.keep(device.empty(shape, 'f32', 'images to evaluate'));
      this.inputs.set(count, input);
    }
    device.copy(images, input);
    return input;
  }

  /**
   * The first held-out images and what each of `stages` stages makes of them, on the host: [count, 3, size, size] each.
   */
  private async reconstruct(stages: number, compute: Compute): Promise<{ rows: Float32Array[]; count: number }> {
    const images = await this.source.heldOut(SHOWN);
    const input = this.input(images);
    images.device.discard(images);
    const [count] = input.shape;
    const outputs = await compute(`${count} reconstructions of ${stages} stages`, () => this.invert(input, stages));
    return { rows: await Promise.all([input, ...outputs].map(row => row.read())), count };
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

function dataUri(png: Uint8Array): string {
  let binary = '';
  for (const byte of png) binary += String.fromCharCode(byte);
  return `data:image/png;base64,${btoa(binary)}`;
}
