import * as ops from '../autograd/index.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { segment } from './checkpointing.ts';
import { Body, type BodyOptions, CHANNELS, inputLayer } from './irse.ts';
import { Activation, BatchNorm, Conv2d, Linear, Sequential } from './layers.ts';
import { Module } from './module.ts';
import { EqualLinear } from './stylegan2/layers.ts';

/** The trunk of an encoder: IR-SE units in four stages, of which the last has as many channels as a style. */
export interface TrunkOptions extends Omit<BodyOptions, 'stem'> {
  /** Channels of the input image. Default 3. */
  readonly inputChannels?: number;
}

/**
 * map2style: convolutions of stride 2 take a map [B, C, S, S] down to one pixel, a dense layer makes it a style [B, D]
 * (Richardson et al. 2021, section 3).
 */
export class GradualStyleBlock extends Module {
  private readonly convs: Sequential;
  private readonly linear: EqualLinear;

  /** `spatial` is S, a power of two; smaller maps pass too. */
  constructor(inChannels: number, styleDim: number, spatial: number) {
    super();
    const options = { kernel: 3, stride: 2, padding: 1, activation: { slope: 0.01 } };
    const layers = Array.from({ length: Math.log2(spatial) }, (_, i): [string, Conv2d] => [
      `${2 * i}`, // the activation has an index of its own
      new Conv2d(i === 0 ? inChannels : styleDim, styleDim, options),
    ]);
    this.convs = this.child('convs', new Sequential(Object.fromEntries(layers)));
    this.linear = this.child('linear', new EqualLinear(styleDim, styleDim));
  }

  forward(x: Tensor): Tensor {
    const y = this.convs.forward(x);
    const [batch, channels, height, width] = y.shape;
    if (height * width !== 1) {
      throw new Error(`map2style ends with ${height}×${width} pixels instead of one: ${x} is too large for its depth`);
    }
    return this.linear.forward(ops.reshape(y, [batch, channels]));
  }
}

export interface GradualStyleEncoderOptions extends TrunkOptions {
  /** Height and width of the image, which set the depth of the heads. Default 256. */
  readonly inputSize?: number;
  /** Rows of W+: 2 log₂(size of the generator's image) - 2. Default 18. */
  readonly styles?: number;
  /** First row of the medium styles, and of the fine ones. Default 3 and 7. */
  readonly middle?: number;
  readonly fine?: number;
}

/**
 * The pSp encoder (Richardson et al. 2021, figure 2): a feature pyramid over the last three stages of the trunk, whose
 * levels give the coarse, the medium and the fine styles, each style through a head of its own.
 */
export class GradualStyleEncoder extends Module {
  private readonly inputLayer: Sequential;
  private readonly body: Body;
  private readonly styles: readonly GradualStyleBlock[];
  private readonly lateral1: Conv2d;
  private readonly lateral2: Conv2d;
  private readonly middle: number;
  private readonly fine: number;

  constructor(private readonly options: GradualStyleEncoderOptions = {}) {
    super();
    const { inputChannels = 3, channels = CHANNELS, inputSize = 256, styles = 18, middle = 3, fine = 7 } = options;
    const [stem, c1, c2, styleDim] = channels;
    this.middle = middle;
    this.fine = fine;
    this.inputLayer = this.child('input_layer', inputLayer(inputChannels, stem));
    this.body = this.child('body', new Body(options));
    this.styles = Array.from({ length: styles }, (_, row) => {
      const spatial = inputSize / (row < middle ? 16 : row < fine ? 8 : 4);
      return this.child(`styles.${row}`, new GradualStyleBlock(styleDim, styleDim, spatial));
    });
    this.lateral1 = this.child('latlayer1', new Conv2d(c2, styleDim, { kernel: 1 }));
    this.lateral2 = this.child('latlayer2', new Conv2d(c1, styleDim, { kernel: 1 }));
  }

  /** Latents [B, styles, D] of the images x [B, inputChannels, H, W]. */
  forward(x: Tensor): Tensor {
    const stem = segment(this.options, image => this.inputLayer.forward(image), x);
    const [, c1, c2, c3] = this.body.forward(stem);
    const p2 = upsampleAdd(c3, this.lateral1.forward(c2));
    const p1 = upsampleAdd(p2, this.lateral2.forward(c1));
    const level = (row: number) => (row < this.middle ? c3 : row < this.fine ? p2 : p1);
    return ops.stack(
      this.styles.map((head, row) => segment(this.options, y => head.forward(y), level(row))),
      1,
    );
  }
}

/** The coarser level at the size of the lateral, bilinear with aligned corners, plus the lateral. */
function upsampleAdd(coarse: Tensor, lateral: Tensor): Tensor {
  const [, , height, width] = lateral.shape;
  return ops.add(ops.interpolate(coarse, [height, width], 'bilinear-corners'), lateral);
}

/** The W encoder of the ablation: one style [B, D] from the mean of the trunk's last map. */
export class WEncoder extends Module {
  private readonly inputLayer: Sequential;
  private readonly linear: EqualLinear;
  private readonly body: Body;

  constructor(options: TrunkOptions = {}) {
    super();
    const { inputChannels = 3, channels = CHANNELS } = options;
    const styleDim = channels[3];
    this.inputLayer = this.child('input_layer', inputLayer(inputChannels, channels[0]));
    this.linear = this.child('linear', new EqualLinear(styleDim, styleDim));
    this.body = this.child('body', new Body(options));
  }

  forward(x: Tensor): Tensor {
    const c3 = this.body.forward(this.inputLayer.forward(x))[3];
    return this.linear.forward(ops.mean(c3, { axes: [2, 3] }));
  }
}

/** The naive W+ encoder of the ablation: all styles [B, styles, D] at once from the trunk's last map. */
export class WPlusEncoder extends Module {
  private readonly inputLayer: Sequential;
  private readonly outputLayer: Sequential;
  private readonly linear: EqualLinear;
  private readonly body: Body;
  private readonly styles: number;

  constructor({ styles = 18, ...options }: TrunkOptions & { readonly styles?: number } = {}) {
    super();
    const { inputChannels = 3, channels = CHANNELS } = options;
    const styleDim = channels[3];
    this.styles = styles;
    this.inputLayer = this.child('input_layer', inputLayer(inputChannels, channels[0]));
    this.outputLayer = this.child(
      'output_layer_2',
      new Sequential([
        new BatchNorm(styleDim),
        new Activation(x => ops.adaptiveAvgPool2d(x, [7, 7])),
        new Activation(x => ops.reshape(x, [x.shape[0], -1])),
        new Linear(styleDim * 49, styleDim),
      ]),
    );
    this.linear = this.child('linear', new EqualLinear(styleDim, styleDim * styles));
    this.body = this.child('body', new Body(options));
  }

  forward(x: Tensor): Tensor {
    const c3 = this.body.forward(this.inputLayer.forward(x))[3];
    const latents = this.linear.forward(this.outputLayer.forward(c3));
    return ops.reshape(latents, [x.shape[0], this.styles, -1]);
  }
}
