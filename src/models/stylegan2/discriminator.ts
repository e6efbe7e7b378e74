import * as ops from '../../autograd/index.ts';
import { UserError } from '../../io/errors.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type CheckpointingOptions, segment } from '../checkpointing.ts';
import { constant, Sequential } from '../layers.ts';
import { Module, type Parameter, zeros } from '../module.ts';
import { resolutions, type StyleGan2Config } from './config.ts';
import { EqualLinear, Fir } from './layers.ts';

const STDDEV_GROUP = 4;

/** A convolution whose equalised-learning-rate constant `scale` = 1/√(I k²) is left to what follows. */
class EqualConv extends Module {
  readonly scale: number;
  private readonly weight: Parameter;

  constructor(
    inChannels: number,
    outChannels: number,
    kernel: number,
    private readonly options: ops.ConvOptions,
  ) {
    super();
    this.weight = this.parameter('weight', [outChannels, inChannels, kernel, kernel], { normal: 1 });
    this.scale = 1 / Math.sqrt(inChannels * kernel * kernel);
  }

  forward(x: Tensor): Tensor {
    return ops.conv2d(x, this.weight.value, undefined, this.options);
  }

  /** gain · lrelu(scale · convolution + bias), slope 0.2; see scaledLeakyRelu for where the scale goes. */
  activated(x: Tensor, bias: Tensor, gain: number): Tensor {
    const activation = { slope: 0.2, gain: gain * this.scale };
    return ops.conv2d(x, this.weight.value, ops.mul(bias, 1 / this.scale), { ...this.options, activation });
  }
}

class Bias extends Module {
  readonly bias: Parameter;

  constructor(channels: number) {
    super();
    this.bias = this.parameter('bias', [channels], zeros);
  }
}

/** gain · lrelu(equalised convolution + bias); with `down`, a blur and a stride of 2 halve the size. */
class ConvLayer extends Module {
  private readonly blur: Fir | undefined;
  private readonly conv: EqualConv;
  private readonly activation: Bias;

  constructor(inChannels: number, outChannels: number, kernel: number, { down = false } = {}) {
    super();
    let key = 0;
    if (down) this.blur = this.child(`${key++}`, new Fir({ pad: [2, 2] }));
    const options = down ? { stride: 2 } : { padding: (kernel - 1) / 2 };
    this.conv = this.child(`${key++}`, new EqualConv(inChannels, outChannels, kernel, options));
    this.activation = this.child(`${key}`, new Bias(outChannels));
  }

  forward(x: Tensor, gain: number = Math.SQRT2): Tensor {
    const y = this.blur ? this.blur.forward(x) : x;
    return this.conv.activated(y, this.activation.bias.value, gain);
  }
}

/** A residual block that halves the size: (conv2(conv1(x)) + skip(x)) / √2. */
class ResidualBlock extends Module {
  private readonly conv1: ConvLayer;
  private readonly conv2: ConvLayer;
  private readonly shrink: Fir;
  private readonly project: EqualConv;

  constructor(inChannels: number, outChannels: number) {
    super();
    this.conv1 = this.child('conv1', new ConvLayer(inChannels, inChannels, 3));
    this.conv2 = this.child('conv2', new ConvLayer(inChannels, outChannels, 3, { down: true }));
    // Decimated before the 1×1 convolution: the paper's blur and strided convolution at a quarter of the cost.
    this.shrink = new Fir({ down: 2, pad: [1, 1] });
    this.project = new EqualConv(inChannels, outChannels, 1, {});
    this.child('skip', new Sequential([this.shrink, this.project]));
  }

  forward(x: Tensor): Tensor {
    // The skip first: its gradient, as large as x, is then the last to be made.
    const skip = this.project.forward(this.shrink.forward(x));
    const main = this.conv2.forward(this.conv1.forward(x), 1);
    return ops.multiplyAdd(skip, constant(x.device, this.project.scale * Math.SQRT1_2), main);
  }
}

/**
 * Appends a channel with the mean standard deviation of each group of min(4, N) samples (Karras et al. 2018): sample i
 * is in group i mod N/G. [N, C, H, W] → [N, C + 1, H, W]. Throws a UserError where the groups do not divide the batch.
 */
export function minibatchStddev(x: Tensor): Tensor {
  const [n, c, height, width] = x.shape;
  const size = Math.min(STDDEV_GROUP, n);
  if (n % size !== 0) {
    throw new UserError(
      `discriminator: a batch of ${n} cannot be cut into groups of ${size}; take a multiple of ${size}`,
    );
  }
  const groups = n / size;
  const samples = ops.reshape(x, [size, groups, c * height * width]);
  const centred = ops.sub(samples, ops.mean(samples, { axes: [0], keepDims: true }));
  const deviation = ops.sqrt(ops.add(ops.mean(ops.square(centred), { axes: [0] }), 1e-8));
  const statistic = ops.reshape(ops.mean(deviation, { axes: [1] }), [1, groups, 1, 1, 1]);
  const channel = ops.reshape(ops.expand(statistic, [size, groups, 1, height, width]), [n, 1, height, width]);
  return ops.concat([x, channel], 1);
}

/**
 * StyleGAN2's discriminator (Karras et al. 2020; residual architecture): images [N, 3, S, S] → logits [N, 1], positive
 * for real. Keys are those of rosinality/stylegan2-pytorch.
 */
export class Discriminator extends Module {
  private readonly fromRgb: ConvLayer;
  private readonly blocks: readonly ResidualBlock[];
  private readonly finalConv: ConvLayer;
  private readonly finalLinear: Sequential;

  constructor(
    readonly config: StyleGan2Config,
    private readonly options: CheckpointingOptions = {},
  ) {
    super();
    const { channels, size } = config;
    const last = channels[4];
    this.fromRgb = new ConvLayer(3, channels[size], 1);
    this.blocks = resolutions(config)
      .slice(1)
      .reverse()
      .map(r => new ResidualBlock(channels[r], channels[r / 2]));
    this.child('convs', new Sequential([this.fromRgb, ...this.blocks]));
    this.finalConv = this.child('final_conv', new ConvLayer(last + 1, last, 3));
    const dense = [new EqualLinear(16 * last, last, { activate: true }), new EqualLinear(last, 1)];
    this.finalLinear = this.child('final_linear', new Sequential(dense));
  }

  forward(images: Tensor): Tensor {
    const { size } = this.config;
    if (images.rank !== 4 || images.shape[1] !== 3 || images.shape[2] !== size || images.shape[3] !== size) {
      throw new Error(`discriminator: ${images} is not [N, 3, ${size}, ${size}]`);
    }
    let x = segment(this.options, y => this.fromRgb.forward(y), images);
    for (const block of this.blocks) x = segment(this.options, y => block.forward(y), x);
    const y = this.finalConv.forward(minibatchStddev(x));
    return this.finalLinear.forward(ops.reshape(y, [y.shape[0], -1]));
  }
}
