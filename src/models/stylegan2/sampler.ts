import { withoutEffects } from '../../autograd/effects.ts';
import * as ops from '../../autograd/index.ts';
import { noGrad } from '../../autograd/index.ts';
import { tile } from '../../io/grid.ts';
import type { Rgb8 } from '../../io/rgb8.ts';
import type { Device } from '../../runtime/device.ts';
import { random } from '../../runtime/kernels/random.ts';
import { Programs } from '../../runtime/program.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type Generator, type Noise, noiseSize } from './generator.ts';
import { repeatLatent, type Truncation, truncate } from './latents.ts';

export interface SamplingOptions {
  /** Towards `average`; by default none. */
  readonly truncation?: Truncation;
  /** The average w [D]; where a file has none it is the mean of 10,000 random ones, as the reference projector's. */
  readonly average?: Float32Array;
  /** The stored maps ('const'), normal numbers drawn for each image ('random') or none. Default 'const'. */
  readonly noise?: 'const' | 'random' | 'none';
}

/** Latents of a generator on the host. */
export interface Latents {
  /** [N, D] of W, or [N, n, D] of W+ */
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Vectors that go through the mapping network at once. */
const MAPPED = 256;
/** Vectors whose mean is the average w of a file without one. */
const AVERAGED = 10_000;
/** An image's largest features times the images of a batch take no more bytes, where a batch has several. */
const BATCH_BYTES = 2 ** 26;
const MAX_BATCH = 16;

/**
 * Images of a generator, in batches that fit, by programs that are recorded once. An image depends on its latent and
 * the seed of its noise alone.
 */
export class Sampler {
  private readonly programs: Programs;
  private readonly kept: Tensor[] = [];
  private average: Tensor | undefined;

  constructor(
    private readonly device: Device,
    readonly generator: Generator,
    private readonly options: SamplingOptions = {},
  ) {
    this.programs = new Programs(device);
  }

  /** z [N, D] → w [N, D]. */
  async map(z: Float32Array): Promise<Float32Array> {
    const { wDim } = this.generator.config;
    const result = new Float32Array(z.length);
    const input = this.input('z', [MAPPED, wDim]);
    for (let at = 0; at < z.length; at += input.size) {
      const part = z.subarray(at, at + input.size);
      // What is missing of a batch is a vector that has a norm.
      const filled = new Float32Array(input.size).fill(1);
      filled.set(part);
      this.device.write(input, filled);
      const mapped = await this.run('mapping', () => this.generator.mapping.forward(input)).then(w => w.read());
      result.set(mapped.subarray(0, part.length), at);
    }
    return result;
  }

  /**
   * The images of W or W+ latents, in their order.
   * @param noiseSeeds of 'random' noise, one an image; by default 0, 1, …
   */
  async *images({ shape, data }: Latents, noiseSeeds?: readonly number[]): AsyncIterableIterator<Rgb8> {
    const { device, generator } = this;
    const { size, channels } = generator.config;
    const [count, ...row] = shape;
    const imageBytes = Math.max(...Object.entries(channels).map(([r, c]) => 4 * c * Number(r) ** 2));
    const batch = Math.min(count, MAX_BATCH, Math.max(1, Math.floor(BATCH_BYTES / imageBytes)));
    const { psi } = this.options.truncation ?? { psi: 1 };
    if (psi !== 1) this.average ??= await this.averageLatent();
    const name = `${batch} of ${row}`;
    const latents = this.input(`latents ${name}`, [batch, ...row]);
    const seeds = Array.from({ length: batch }, (_, i) => this.input(`seed ${i}`, [1], 'u32'));
    let pending: Promise<Float32Array> | undefined;
    const whole = [3, size, size];
    for (let first = 0; first < count; first += batch) {
      const values = new Float32Array(latents.size);
      values.set(data.subarray((first * latents.size) / batch, ((first + batch) * latents.size) / batch));
      device.write(latents, values);
      seeds.forEach((seed, i) => {
        device.write(seed, [noiseSeeds?.[first + i] ?? first + i]);
      });
      const images = (await this.run(`images ${name}`, () => this.synthesize(latents, seeds))).read();
      images.catch(() => {}); // whoever awaits it hears of the failure
      // The device computes the next batch while this one is used.
      if (pending) yield* bytesOf(await pending, whole, batch);
      pending = images;
    }
    if (pending) yield* bytesOf(await pending, whole, count % batch || batch);
  }

  /** Gives its memory back; the generator stays. */
  release(): void {
    this.programs.release();
    for (const tensor of this.kept.splice(0)) this.device.discard(tensor);
  }

  private synthesize(latents: Tensor, seeds: readonly Tensor[]): Tensor {
    const { generator, options, average } = this;
    const wide = latents.rank === 3 ? latents : repeatLatent(latents, generator.latents);
    return generator.forward(average ? truncate(wide, average, options.truncation!) : wide, {
      noise: this.noise(seeds),
    });
  }

  private noise(seeds: readonly Tensor[]): Noise {
    const { noise = 'const' } = this.options;
    if (noise !== 'random') return noise === 'const' ? 'stored' : 'none';
    return Array.from({ length: this.generator.latents - 1 }, (_, layer) => {
      const r = noiseSize(layer);
      const stream = `noise ${layer}`;
      const maps = seeds.map(step => random(this.device, [1, 1, r, r], 'normal', { seed: 0, stream, step }));
      return maps.length === 1 ? maps[0] : ops.concat(maps, 0);
    });
  }

  private async averageLatent(): Promise<Tensor> {
    const { device } = this;
    const { wDim } = this.generator.config;
    const known = this.options.average;
    const average = this.input('average', [wDim]);
    if (known) device.write(average, known);
    else {
      const step = this.input('step', [1], 'u32');
      device.write(step, [0]);
      const z = await device.scope('z', () =>
        random(device, [AVERAGED, wDim], 'normal', { seed: 0, stream: 'average latent', step }).read(),
      );
      const sums = new Float64Array(wDim);
      (await this.map(z)).forEach((value, i) => {
        sums[i % wDim] += value;
      });
      device.write(
        average,
        Float32Array.from(sums, sum => sum / AVERAGED),
      );
    }
    return average;
  }

  private run(name: string, body: () => Tensor): Promise<Tensor> {
    return this.programs.compute(name, () => withoutEffects(() => noGrad(body)));
  }

  /** A tensor that programs read, the same for the same name. */
  private input(name: string, shape: readonly number[], dtype: 'f32' | 'u32' = 'f32'): Tensor {
    const found = this.kept.find(tensor => tensor.name === name);
    if (found) return found;
    const tensor = this.device.keep(this.device.empty(shape, dtype, name));
    this.kept.push(tensor);
    return tensor;
  }
}

/** The first `count` images of a batch. */
function* bytesOf(values: Float32Array, shape: readonly number[], count: number): IterableIterator<Rgb8> {
  const size = shape.reduce((a, b) => a * b, 1);
  for (let i = 0; i < count; i++) {
    yield tile(values.subarray(i * size, (i + 1) * size), [1, ...shape], { columns: 1 });
  }
}
