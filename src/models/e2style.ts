import * as ops from '../autograd/index.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { segment } from './checkpointing.ts';
import { Body, type BodyOptions, CHANNELS, inputLayer, UNITS } from './irse.ts';
import { Activation, BatchNorm, Linear, Sequential } from './layers.ts';
import { Module, zeros } from './module.ts';

/** How many of n styles each head makes, in the published proportions: 18 are 9 coarse, 5 medium and 4 fine ones. */
export function styleSplit(styles: number): [coarse: number, medium: number, fine: number] {
  const coarse = Math.ceil(styles / 2);
  const medium = Math.round((5 * styles) / 18);
  return [coarse, medium, styles - coarse - medium];
}

export interface E2StyleEncoderOptions extends Pick<BodyOptions, 'mode' | 'seRatio' | 'checkpointing'> {
  /** Channels of the input: 3, or 6 where the previous stage's image is joined on. Default 3. */
  readonly inputChannels?: number;
  /** Channels of the three stages that are used; the stem has those of the first. Default 64, 128, 256. */
  readonly channels?: readonly number[];
  /** Units of each of them. Default 3, 4, 14. */
  readonly units?: readonly number[];
  /** Styles of the coarse, the medium and the fine head. Default 9, 5, 4. */
  readonly split?: readonly [coarse: number, medium: number, fine: number];
  readonly styleDim?: number;
  /** Height and width to which each head pools its map. Default 7. */
  readonly poolSize?: number;
  /** Start the heads' dense layers at zero, so that the encoder corrects nothing at first. Default false. */
  readonly zeroInitHeads?: boolean;
  /**
   * Hold the official trunk's fourth stage too, 3 units of 512 channels that are never run nor trained: the official
   * checkpoints then load key by key. Default false.
   */
  readonly materializeUnused?: boolean;
}

/**
 * One stage's encoder (Wei et al. 2022): a shallow trunk whose three maps, the deepest first, each give all
 * styles of one level through one efficient head.
 */
export class E2StyleEncoder extends Module {
  private readonly inputLayer: Sequential;
  private readonly coarse: Sequential;
  private readonly medium: Sequential;
  private readonly fine: Sequential;
  private readonly body: Body;
  private readonly styleDim: number;

  constructor(private readonly options: E2StyleEncoderOptions = {}) {
    super();
    const { inputChannels = 3, channels = CHANNELS.slice(0, 3), units = UNITS[50].slice(0, 3) } = options;
    const {
      split = [9, 5, 4],
      styleDim = 512,
      poolSize = 7,
      zeroInitHeads = false,
      materializeUnused = false,
    } = options;
    const { mode, seRatio, checkpointing } = options;
    this.styleDim = styleDim;
    const head = (channels: number, styles: number) =>
      efficientHead(channels, styles * styleDim, { poolSize, zeroInit: zeroInitHeads });
    this.inputLayer = this.child('input_layer', inputLayer(inputChannels, channels[0]));
    this.coarse = this.child('output_layer_3', head(channels[2], split[0]));
    this.medium = this.child('output_layer_4', head(channels[1], split[1]));
    this.fine = this.child('output_layer_5', head(channels[0], split[2]));
    const unused = materializeUnused ? { channels: [2 * channels[2]], units: [3] } : { channels: [], units: [] };
    this.body = this.child(
      'body',
      new Body({
        channels: [...channels, ...unused.channels],
        units: [...units, ...unused.units],
        mode,
        seRatio,
        checkpointing,
      }),
    );
    for (const unit of this.body.unitsFrom(3)) unit.freeze();
  }

  /** Latents [B, styles, D] of x [B, inputChannels, H, W]: coarse, medium, fine rows in this order. */
  forward(x: Tensor): Tensor {
    const stem = segment(this.options, image => this.inputLayer.forward(image), x);
    const [shallow, middle, deep] = this.body.forward(stem, 3);
    const styles = [this.coarse.forward(deep), this.medium.forward(middle), this.fine.forward(shallow)];
    return ops.concat(
      styles.map(y => ops.reshape(y, [x.shape[0], -1, this.styleDim])),
      1,
    );
  }
}

/** Normalisation, average pooling to a fixed size, and one dense layer for all styles of a level. */
function efficientHead(
  channels: number,
  outputs: number,
  { poolSize, zeroInit }: { poolSize: number; zeroInit: boolean },
): Sequential {
  return new Sequential([
    new BatchNorm(channels),
    new Activation(x => ops.adaptiveAvgPool2d(x, [poolSize, poolSize])),
    new Activation(x => ops.reshape(x, [x.shape[0], -1])),
    new Linear(channels * poolSize * poolSize, outputs, zeroInit ? { init: zeros } : {}),
  ]);
}

/** G: images [B, 3, H, W] of latents [B, n, D]. Which noise it uses in which stage is decided where it is made. */
export type Synthesis = (latents: Tensor, stage: number) => Tensor;

/** What a stage makes and hands over. */
export interface StageOutput {
  /** w_k [B, n, D] */
  readonly latents: Tensor;
  /** G(w_k), in the generator's size */
  readonly image: Tensor;
  /** P(G(w_k)), in the encoders' size */
  readonly pooled: Tensor;
}

export interface E2StyleOptions extends Omit<E2StyleEncoderOptions, 'inputChannels' | 'zeroInitHeads'> {
  /** Number of stages N. Default 3. */
  readonly stages?: number;
  /** Height and width of the encoders' input. Default 256. */
  readonly inputSize?: number;
  /** Let the stages from the second on start as the identity. Default true; false is the official start. */
  readonly zeroInitRefineHeads?: boolean;
}

export interface E2StyleForwardOptions {
  readonly generator: Synthesis;
  /** The generator's average latent w̄, [D] or [n, D], to which the first stage adds. Default: none. */
  readonly latentAverage?: Tensor;
  /** How many of the stages to run. Default: all. */
  readonly stages?: number;
  /** Cut the gradient between the stages, so that each one's loss trains that stage alone. Default false. */
  readonly detach?: boolean;
}

/**
 * E2Style (Wei et al. 2022): stage 1 encodes the image x, each further stage k looks at x and at its predecessor's
 * reconstruction and corrects the latents:
 *
 *     w₁ = w̄ + E₁(x)      w_k = w_{k-1} + E_k(x ‖ P(G(w_{k-1})))
 */
export class E2Style extends Module {
  /** The encoder of each stage; each can be placed and released on its own. */
  readonly encoders: readonly E2StyleEncoder[];
  private readonly inputSize: number;

  constructor({ stages = 3, inputSize = 256, zeroInitRefineHeads = true, ...encoder }: E2StyleOptions = {}) {
    super();
    this.inputSize = inputSize;
    this.encoders = Array.from({ length: stages }, (_, index) =>
      index === 0
        ? this.child('encoder_firststage', new E2StyleEncoder(encoder))
        : this.child(
            `encoder_refinestage_list.${index - 1}`,
            new E2StyleEncoder({ ...encoder, inputChannels: 6, zeroInitHeads: zeroInitRefineHeads }),
          ),
    );
  }

  /** P: an image at the encoders' size, by average pooling. */
  facePool(image: Tensor): Tensor {
    return ops.adaptiveAvgPool2d(image, [this.inputSize, this.inputSize]);
  }

  /** Stage k's correction of the latents [B, n, D]: E₁(x), or E_k(x ‖ previous), the pooled image of stage k - 1. */
  stage(k: number, x: Tensor, previous?: Tensor): Tensor {
    const encoder = this.encoders[k - 1];
    if (!encoder) throw new Error(`there is no stage ${k} in an E2Style of ${this.encoders.length}`);
    if (k > 1 !== (previous !== undefined)) {
      throw new Error(`stage ${k} ${previous ? 'takes no previous image' : 'needs the previous image'}`);
    }
    return encoder.forward(previous ? ops.concat([x, previous], 1) : x);
  }

  /** The outputs of stages 1 to `stages` for the images x [B, 3, inputSize, inputSize]. */
  forward(
    x: Tensor,
    { generator, latentAverage, stages = this.encoders.length, detach = false }: E2StyleForwardOptions,
  ): StageOutput[] {
    const outputs: StageOutput[] = [];
    for (let k = 1; k <= stages; k++) {
      const previous = detach ? detached(outputs.at(-1)) : outputs.at(-1);
      const start = previous?.latents ?? latentAverage;
      const delta = this.stage(k, x, previous?.pooled);
      const latents = start ? ops.add(delta, start) : delta;
      const image = generator(latents, k);
      outputs.push({ latents, image, pooled: this.facePool(image) });
    }
    return outputs;
  }
}

/** What a stage hands over, as constants. */
function detached(output: StageOutput | undefined): StageOutput | undefined {
  if (!output) return undefined;
  const { latents, image, pooled } = output;
  return {
    latents: ops.stopGradient(latents),
    image: ops.stopGradient(image),
    pooled: ops.stopGradient(pooled),
  };
}
