import * as ops from '../../autograd/index.ts';
import { type RandomSource, random } from '../../runtime/kernels/random.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type CheckpointingOptions, segment } from '../checkpointing.ts';
import { Module, type Parameter, zeros } from '../module.ts';
import { latentCount, resolutions, type StyleGan2Config, typeAt } from './config.ts';
import { clamped, Fir } from './layers.ts';
import { List } from './list.ts';
import { Mapping } from './mapping.ts';
import { ModulatedConv } from './modulatedConv.ts';

/**
 * The noise that a synthesis adds: the stored maps, none, fresh normal numbers for every sample (layer j from the
 * stream "STREAM noise j"), or a list of one map [1 or B, 1, r, r] a layer.
 */
export type Noise = 'stored' | 'none' | { readonly fresh: RandomSource } | readonly Tensor[];

/** One learned tensor under a name of its own. */
class Holder extends Module {
  readonly value: Parameter;

  constructor(key: string, shape: readonly number[], normal: number) {
    super();
    this.value = this.parameter(key, shape, normal === 0 ? zeros : { normal });
  }
}

/** A styled layer: √2 · lrelu(modulated convolution + strength · noise + bias). */
class StyledConv extends Module {
  private readonly conv: ModulatedConv;
  private readonly strength: Parameter;
  private readonly bias: Parameter;
  private readonly clamp: number | undefined;

  constructor(inChannels: number, outChannels: number, up: boolean, { wDim, convClamp }: StyleGan2Config) {
    super();
    this.clamp = convClamp;
    this.conv = this.child('conv', new ModulatedConv(inChannels, outChannels, { kernel: 3, wDim, up }));
    this.strength = this.child('noise', new Holder('weight', [1], 0)).value;
    this.bias = this.child('activate', new Holder('bias', [outChannels], 0)).value;
  }

  forward(x: Tensor, w: Tensor, noise: Tensor | undefined): Tensor {
    const y = this.conv.styled(x, w, {
      bias: this.bias.value,
      noise: noise && { map: noise, strength: this.strength.value },
    });
    return clamped(y, this.clamp);
  }
}

/** The image at one resolution: the upsampled one before it plus a modulated 1×1 convolution of the features. */
class ToRgb extends Module {
  private readonly bias: Parameter;
  private readonly upsample: Fir | undefined;
  private readonly conv: ModulatedConv;
  private readonly clamp: number | undefined;

  constructor(channels: number, up: boolean, { wDim, convClamp }: StyleGan2Config) {
    super();
    this.clamp = convClamp;
    this.bias = this.parameter('bias', [1, 3, 1, 1], zeros);
    if (up) this.upsample = this.child('upsample', new Fir({ up: 2, pad: [2, 1] }, 4));
    this.conv = this.child('conv', new ModulatedConv(channels, 3, { kernel: 1, wDim, demodulate: false }));
  }

  /** Images are f32, also of f16 features. */
  forward(x: Tensor, w: Tensor, image: Tensor | undefined): Tensor {
    const rgb = clamped(ops.cast(this.conv.forward(x, w, this.bias.value), 'f32'), this.clamp);
    return image ? ops.add(this.upsample!.forward(image), rgb) : rgb;
  }
}

/** The stored noise maps: layer j has one of 2^⌊(j + 5) / 2⌋ pixels a side. */
class NoiseMaps extends Module {
  readonly maps: readonly Parameter[];

  constructor(layers: number) {
    super();
    this.maps = Array.from({ length: layers }, (_, j) => {
      const r = noiseSize(j);
      return this.buffer(`noise_${j}`, [1, 1, r, r], { normal: 1 });
    });
  }
}

/** Pixels of a side of the noise map of a layer. */
export function noiseSize(layer: number): number {
  return 1 << ((layer + 5) >> 1);
}

/**
 * StyleGAN2's generator (Karras et al. 2020, arXiv 1912.04958; skip architecture): a learned constant, two styled
 * layers a resolution, and an image that every resolution adds to. Keys are those of rosinality/stylegan2-pytorch.
 */
export class Generator extends Module {
  /** Latent vectors of a W+ tensor. */
  readonly latents: number;
  /** The mapping network: z [B, D] → w [B, D]. */
  readonly mapping: Mapping;
  private readonly input: Parameter;
  private readonly conv1: StyledConv;
  private readonly toRgb1: ToRgb;
  private readonly convs: readonly StyledConv[];
  private readonly toRgbs: readonly ToRgb[];
  private readonly noises: readonly Parameter[];

  constructor(
    readonly config: StyleGan2Config,
    private readonly options: CheckpointingOptions = {},
  ) {
    super();
    const { channels, wDim, mappingLayers, size, convClamp } = config;
    if (convClamp !== undefined) this.note('conv_clamp', convClamp);
    const blocks = resolutions(config).slice(1);
    this.latents = latentCount(size);
    this.mapping = this.child('style', new Mapping(wDim, mappingLayers));
    this.input = this.child('input', new Holder('input', [1, channels[4], 4, 4], 1)).value;
    this.conv1 = this.child('conv1', new StyledConv(channels[4], channels[4], false, config));
    this.toRgb1 = this.child('to_rgb1', new ToRgb(channels[4], false, config));
    const convs = blocks.flatMap(r => [
      new StyledConv(channels[r / 2], channels[r], true, config),
      new StyledConv(channels[r], channels[r], false, config),
    ]);
    this.convs = this.child('convs', new List(convs)).items;
    this.toRgbs = this.child('to_rgbs', new List(blocks.map(r => new ToRgb(channels[r], true, config)))).items;
    this.noises = this.child('noises', new NoiseMaps(this.latents - 1)).maps;
  }

  /**
   * The images [B, 3, S, S], nominally in [-1, 1], of W latents [B, D] or W+ latents [B, n, D]. The image layer of a
   * block and the first layer of the next share a latent.
   */
  forward(latent: Tensor, { noise = 'stored' }: { noise?: Noise } = {}): Tensor {
    const w = this.rows(latent);
    const noises = this.noiseMaps(noise, latent);
    let x = this.conv1.forward(this.input.value, w[0], noises[0]);
    let image = this.toRgb1.forward(x, w[1], undefined);
    this.toRgbs.forEach((_, i) => {
      [x, image] = segment(this.options, (y, rgb) => this.block(i, y, rgb, w, noises), x, image);
    });
    return image;
  }

  /**
   * Block i: the features x and the image at one resolution to those at the next. With checkpointing, what is made
   * again for the gradients of a block is again forgotten within it.
   */
  private block(
    i: number,
    x: Tensor,
    image: Tensor,
    w: readonly Tensor[],
    noises: readonly (Tensor | undefined)[],
  ): [x: Tensor, image: Tensor] {
    const first = 2 * i + 1;
    const layer = (y: Tensor, j: number) =>
      segment(this.options, features => this.convs[j - 1].forward(features, w[j], noises[j]), y);
    const y = layer(layer(ops.cast(x, typeAt(8 << i, this.config)), first), first + 1);
    return [y, segment(this.options, (z, rgb) => this.toRgbs[i].forward(z, w[first + 2], rgb), y, image)];
  }

  /** The latent [B, D] of each row. */
  private rows(latent: Tensor): Tensor[] {
    const { latents, config } = this;
    const d = latent.shape[latent.rank - 1];
    if (d !== config.wDim || latent.rank < 2 || latent.rank > 3 || (latent.rank === 3 && latent.shape[1] !== latents)) {
      throw new Error(`generator: ${latent} is neither [B, ${config.wDim}] nor [B, ${latents}, ${config.wDim}]`);
    }
    if (latent.rank === 2) return new Array<Tensor>(latents).fill(latent);
    const rows = ops.split(latent, new Array<number>(latents).fill(1), 1);
    return rows.map(row => ops.reshape(row, [latent.shape[0], d]));
  }

  private noiseMaps(noise: Noise, { device, shape: [batch] }: Tensor): readonly (Tensor | undefined)[] {
    if (noise === 'none') return this.noises.map(() => undefined);
    if (noise === 'stored') return this.noises.map(({ value }) => value);
    if ('fresh' in noise) {
      const { stream, ...source } = noise.fresh;
      return this.noises.map((_, j) => {
        const r = noiseSize(j);
        return random(device, [batch, 1, r, r], 'normal', { ...source, stream: `${stream} noise ${j}` });
      });
    }
    if (noise.length !== this.noises.length) {
      throw new Error(`generator: ${noise.length} noise maps are given, ${this.noises.length} layers want one`);
    }
    return noise;
  }
}
