import * as ops from '../../autograd/index.ts';
import { UserError } from '../../io/errors.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type CheckpointingOptions, segment } from '../checkpointing.ts';
import { constant, Sequential } from '../layers.ts';
import { Module, type Parameter, zeros } from '../module.ts';
import { architectures, resolutions, type StyleGan2Config, typeAt } from './config.ts';
import { clamped, EqualLinear, Fir } from './layers.ts';
import { List } from './list.ts';

/**
 * A convolution whose equalised-learning-rate constant 1/√(I k²) is left to what follows; with f16, where sums and
 * gradients without it would leave the range, it goes into the weight.
 */
class EqualConv extends Module {
  private readonly constant: number;
  private readonly weight: Parameter;

  constructor(
    inChannels: number,
    outChannels: number,
    kernel: number,
    private readonly options: ops.ConvOptions,
  ) {
    super();
    this.weight = this.parameter('weight', [outChannels, inChannels, kernel, kernel], { normal: 1 });
    this.constant = 1 / Math.sqrt(inChannels * kernel * kernel);
  }

  /** What the result for x, and of its type, is still to be multiplied by. */
  scaleFor(x: Tensor): number {
    return x.dtype === 'f16' ? 1 : this.constant;
  }

  private weightFor(x: Tensor): Tensor {
    return x.dtype === 'f16' ? ops.cast(ops.mul(this.weight.value, this.constant), 'f16') : this.weight.value;
  }

  forward(x: Tensor): Tensor {
    return ops.conv2d(x, this.weightFor(x), undefined, this.options);
  }

  /** gain · lrelu(scale · convolution + bias), slope 0.2; see scaledLeakyRelu for where the scale goes. */
  activated(x: Tensor, bias: Tensor, gain: number): Tensor {
    const scale = this.scaleFor(x);
    const activation = { slope: 0.2, gain: gain * scale };
    return ops.conv2d(x, this.weightFor(x), ops.mul(bias, 1 / scale), { ...this.options, activation });
  }
}

class Bias extends Module {
  readonly bias: Parameter;

  constructor(channels: number) {
    super();
    this.bias = this.parameter('bias', [channels], zeros);
  }
}

interface ConvLayerOptions {
  /** A blur and a stride of 2 halve the size. Default false. */
  readonly down?: boolean;
  /** StyleGan2Config.convClamp. */
  readonly clamp?: number;
}

/** gain · lrelu(equalised convolution + bias). */
class ConvLayer extends Module {
  readonly blur: Fir | undefined;
  private readonly conv: EqualConv;
  private readonly activation: Bias;
  private readonly clamp: number | undefined;

  constructor(inChannels: number, outChannels: number, kernel: number, { down = false, clamp }: ConvLayerOptions = {}) {
    super();
    this.clamp = clamp;
    let key = 0;
    if (down) this.blur = this.child(`${key++}`, new Fir({ pad: [2, 2] }));
    const options = down ? { stride: 2 } : { padding: (kernel - 1) / 2 };
    this.conv = this.child(`${key++}`, new EqualConv(inChannels, outChannels, kernel, options));
    this.activation = this.child(`${key}`, new Bias(outChannels));
  }

  forward(x: Tensor, gain: number = Math.SQRT2): Tensor {
    const y = this.blur ? this.blur.forward(x) : x;
    const activated = this.conv.activated(y, this.activation.bias.value, gain);
    return clamped(activated, this.clamp && (this.clamp * gain) / Math.SQRT2);
  }
}

const HALF = { down: 2, pad: [1, 1] } as const;

/** A block that halves the size: conv2(conv1(x)), in residual networks (conv2(conv1(x)) + skip(x)) / √2. */
class Block extends Module {
  private readonly conv1: ConvLayer;
  private readonly conv2: ConvLayer;
  private readonly skip: { readonly shrink: Fir; readonly project: EqualConv } | undefined;

  constructor(inChannels: number, outChannels: number, isResidual: boolean, clamp: number | undefined) {
    super();
    this.conv1 = this.child('conv1', new ConvLayer(inChannels, inChannels, 3, { clamp }));
    this.conv2 = this.child('conv2', new ConvLayer(inChannels, outChannels, 3, { down: true, clamp }));
    if (!isResidual) return;
    // Decimated before the 1×1 convolution: the paper's blur and strided convolution at a quarter of the cost.
    const shrink = new Fir(HALF);
    const project = new EqualConv(inChannels, outChannels, 1, {});
    this.skip = { shrink, project };
    this.child('skip', new Sequential([shrink, project]));
  }

  /** Its layers, from the image on. */
  get layers(): Module[] {
    return [this.conv1, this.conv2, ...(this.skip ? [this.skip.project] : [])];
  }

  /** The image by the filter of its blur. */
  halved(image: Tensor): Tensor {
    return this.conv2.blur!.forward(image, HALF);
  }

  forward(x: Tensor): Tensor {
    if (!this.skip) return this.conv2.forward(this.conv1.forward(x));
    const { shrink, project } = this.skip;
    // The skip first: its gradient, as large as x, is then the last to be made.
    const skip = project.forward(shrink.forward(x));
    const main = this.conv2.forward(this.conv1.forward(x), 1);
    return ops.multiplyAdd(skip, constant(x.device, project.scaleFor(x) * Math.SQRT1_2), main);
  }
}

/**
 * Appends a channel with the mean standard deviation of each group of min(G, N) samples, G being `group` (Karras et al.
 * 2018): sample i is in group i mod N/G. [N, C, H, W] → [N, C + 1, H, W]. Throws a UserError where the groups do not
 * divide the batch.
 */
export function minibatchStddev(x: Tensor, group = 4): Tensor {
  const [n, c, height, width] = x.shape;
  const size = Math.min(group, n);
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
 * StyleGAN2's discriminator (Karras et al. 2020): images [N, 3, S, S] → logits [N, 1], positive for real. Keys are those
 * of rosinality/stylegan2-pytorch, whose architecture is the residual one; with 'skip' the layers that take the image at
 * lower resolutions are from_rgbs.0 at S / 2, and so on.
 */
export class Discriminator extends Module {
  private readonly fromRgb: ConvLayer;
  private readonly blocks: readonly Block[];
  /** Of lower resolutions; empty but with 'skip'. */
  private readonly fromRgbs: readonly ConvLayer[] = [];
  private readonly finalConv: ConvLayer;
  private readonly finalLinear: Sequential;

  constructor(
    readonly config: StyleGan2Config,
    private readonly options: CheckpointingOptions = {},
  ) {
    super();
    const { channels, size, architecture = 'resnet', convClamp: clamp } = config;
    if (!architectures.includes(architecture)) {
      throw new UserError(`architecture: there is no '${architecture}'; there are ${architectures.join(', ')}`);
    }
    if (clamp !== undefined) this.note('conv_clamp', clamp);
    const last = channels[4];
    const below = resolutions(config).reverse().slice(1);
    this.fromRgb = new ConvLayer(3, channels[size], 1, { clamp });
    this.blocks = below.map(r => new Block(channels[2 * r], channels[r], architecture === 'resnet', clamp));
    this.child('convs', new Sequential([this.fromRgb, ...this.blocks]));
    if (architecture === 'skip') {
      // As in the reference implementation, the last of them has no limit.
      const fromRgbs = below.map(r => new ConvLayer(3, channels[r], 1, { clamp: r === 4 ? undefined : clamp }));
      this.fromRgbs = this.child('from_rgbs', new List(fromRgbs)).items;
    }
    this.finalConv = this.child('final_conv', new ConvLayer(last + 1, last, 3, { clamp }));
    const dense = [new EqualLinear(16 * last, last, { activate: true }), new EqualLinear(last, 1)];
    this.finalLinear = this.child('final_linear', new Sequential(dense));
  }

  forward(images: Tensor): Tensor {
    const { size, mbstdGroup } = this.config;
    if (images.rank !== 4 || images.shape[1] !== 3 || images.shape[2] !== size || images.shape[3] !== size) {
      throw new Error(`discriminator: ${images} is not [N, 3, ${size}, ${size}]`);
    }
    const at = (r: number, y: Tensor) => ops.cast(y, typeAt(r, this.config));
    let x = segment(this.options, y => this.fromRgb.forward(at(size, y)), images);
    let image = images;
    for (const [i, block] of this.blocks.entries()) {
      const r = size >> i;
      x = segment(this.options, y => block.forward(at(r, y)), x);
      if (this.fromRgbs.length === 0) continue;
      image = block.halved(image);
      x = ops.add(
        at(r / 2, x),
        segment(this.options, y => this.fromRgbs[i].forward(at(r / 2, y)), image),
      );
    }
    const y = this.finalConv.forward(minibatchStddev(ops.cast(x, 'f32'), mbstdGroup));
    return this.finalLinear.forward(ops.reshape(y, [y.shape[0], -1]));
  }

  /**
   * Freezes the first `count` layers from the image on, but for the last ones at 4×4 (Mo et al. 2020, "Freeze the
   * Discriminator"; counted as in NVlabs/stylegan2-ada-pytorch). Throws a UserError for more than there are.
   */
  freezeFirst(count: number): void {
    const blocks = this.blocks.flatMap((block, i) => [...this.fromRgbs.slice(i - 1, i), ...block.layers]);
    const layers = [this.fromRgb, ...blocks];
    if (!(Number.isInteger(count) && count >= 0 && count <= layers.length)) {
      throw new UserError(`freezeD: ${count} is not possible; give a whole number from 0 to ${layers.length}`);
    }
    for (const layer of layers.slice(0, count)) layer.freeze();
  }

  /** What `body` gives while no layer is trained. */
  frozen<T>(body: () => T): T {
    const trained = [...this.parameters().values()].filter(({ trainable }) => trainable);
    for (const parameter of trained) parameter.setTrainable(false);
    try {
      return body();
    } finally {
      for (const parameter of trained) parameter.setTrainable(true);
    }
  }
}
