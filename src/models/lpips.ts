import * as ops from '../autograd/index.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { Activation, Conv2d, type ConvLayerOptions, constant, type Layer, Sequential } from './layers.ts';
import { type Init, Module, type Parameter } from './module.ts';

/** A perceptual distance between images, from the features of a convolutional trunk. */
export interface PerceptualDistance extends Module {
  /** What the distance may be called: that of a trunk that the project trained itself does not compare with others. */
  readonly title: string;
  /** The maps [N, C, H, W] of images [N, 3, H, W] in [-1, 1] that are compared. */
  features(images: Tensor): Tensor[];
  /** The distance of two images' features, [N]. */
  distance(a: readonly Tensor[], b: readonly Tensor[]): Tensor;
}

/**
 * The layers of a slice under the indices that torchvision gives them; ReLU, there a layer too, is the convolution's.
 */
type Slice = Readonly<Record<number, Layer>>;

/** A convolutional trunk cut behind the layers whose outputs are compared. Keys: slice1.0.weight, slice2.3.weight, … */
export class Trunk extends Module {
  private readonly slices: Sequential[];

  constructor(
    slices: readonly Slice[],
    /** The channels of each tapped output. */
    readonly channels: readonly number[],
  ) {
    super();
    this.slices = slices.map((layers, i) => this.child(`slice${i + 1}`, new Sequential(layers)));
  }

  /** The tapped outputs, in order. */
  taps(x: Tensor): Tensor[] {
    const taps: Tensor[] = [];
    for (const slice of this.slices) taps.push(slice.forward(taps.at(-1) ?? x));
    return taps;
  }
}

const convRelu = (inputs: number, outputs: number, options: ConvLayerOptions) =>
  new Conv2d(inputs, outputs, { ...options, activation: { slope: 0 } });
const maxPool = (options: ops.PoolOptions) => new Activation(x => ops.maxPool2d(x, options));

/** AlexNet (Krizhevsky 2014, "One weird trick"). */
function alexNet(): Trunk {
  const pool = () => maxPool({ kernel: 3, stride: 2 });
  const conv3 = (from: number, to: number) => convRelu(from, to, { kernel: 3, padding: 1 });
  return new Trunk(
    [
      { 0: convRelu(3, 64, { kernel: 11, stride: 4, padding: 2 }) },
      { 2: pool(), 3: convRelu(64, 192, { kernel: 5, padding: 2 }) },
      { 5: pool(), 6: conv3(192, 384) },
      { 8: conv3(384, 256) },
      { 10: conv3(256, 256) },
    ],
    [64, 192, 384, 256, 256],
  );
}

/**
 * Groups of 3×3 convolutions with ReLU, a 2×2 max pooling between the groups: `widths[k]` lists the outputs of group k.
 */
function vggSlices(widths: readonly (readonly number[])[], init?: (inputs: number) => Init): Slice[] {
  let index = 0;
  let inputs = 3;
  return widths.map((group, k) => {
    const slice: Record<number, Layer> = {};
    if (k > 0) slice[index++] = maxPool({ kernel: 2 });
    for (const outputs of group) {
      // ReLU has an index of its own.
      slice[index] = convRelu(inputs, outputs, { kernel: 3, padding: 1, init: init?.(9 * inputs) });
      index += 2;
      inputs = outputs;
    }
    return slice;
  });
}

/** VGG-16 (Simonyan and Zisserman 2015, configuration D). */
function vgg16(): Trunk {
  const widths = [
    [64, 64],
    [128, 128],
    [256, 256, 256],
    [512, 512, 512],
    [512, 512, 512],
  ];
  return new Trunk(
    vggSlices(widths),
    widths.map(group => group.at(-1)!),
  );
}

/** A Fire module: a 1×1 convolution to few channels, then 1×1 and 3×3 convolutions side by side. */
class Fire extends Module {
  private readonly squeeze: Conv2d;
  private readonly expand1: Conv2d;
  private readonly expand3: Conv2d;

  constructor(inputs: number, squeezed: number, outputs: number) {
    super();
    this.squeeze = this.child('squeeze', convRelu(inputs, squeezed, { kernel: 1 }));
    this.expand1 = this.child('expand1x1', convRelu(squeezed, outputs / 2, { kernel: 1 }));
    this.expand3 = this.child('expand3x3', convRelu(squeezed, outputs / 2, { kernel: 3, padding: 1 }));
  }

  forward(x: Tensor): Tensor {
    const y = this.squeeze.forward(x);
    return ops.concat([this.expand1.forward(y), this.expand3.forward(y)], 1);
  }
}

/** SqueezeNet 1.1 (Iandola et al. 2016). */
function squeezeNet(): Trunk {
  const pool = () => maxPool({ kernel: 3, stride: 2, ceilMode: true });
  return new Trunk(
    [
      { 0: convRelu(3, 64, { kernel: 3, stride: 2 }) },
      { 2: pool(), 3: new Fire(64, 16, 128), 4: new Fire(128, 16, 128) },
      { 5: pool(), 6: new Fire(128, 32, 256), 7: new Fire(256, 32, 256) },
      { 8: pool(), 9: new Fire(256, 48, 384) },
      { 10: new Fire(384, 48, 384) },
      { 11: new Fire(384, 64, 512) },
      { 12: new Fire(512, 64, 512) },
    ],
    [64, 128, 256, 384, 384, 512, 512],
  );
}

/**
 * A small trunk of VGG's shape for images of 32 pixels and more, trained by the project itself: five groups of two 3×3
 * convolutions, at 32, 16, 8, 4 and 2 pixels for 32 × 32, initialised after He et al. 2015.
 */
export class VggLike extends Trunk {
  constructor({ width = 8 }: { width?: number } = {}) {
    const channels = [width, 2 * width, 4 * width, 8 * width, 8 * width];
    const init = (inputs: number): Init => ({ normal: Math.sqrt(2 / inputs) });
    super(
      vggSlices(
        channels.map(n => [n, n]),
        init,
      ),
      channels,
    );
  }
}

const TRUNKS = { alex: alexNet, vgg: vgg16, squeeze: squeezeNet };

/** LPIPS as it names its trunks. */
export type LpipsNet = keyof typeof TRUNKS;

/** Images in [-1, 1] to ImageNet's statistics. */
class ScalingLayer extends Module {
  private readonly shift: Parameter;
  private readonly scale: Parameter;

  constructor() {
    super();
    this.shift = this.buffer('shift', [1, 3, 1, 1], { values: [-0.03, -0.088, -0.188] });
    this.scale = this.buffer('scale', [1, 3, 1, 1], { values: [0.458, 0.448, 0.45] });
  }

  forward(images: Tensor): Tensor {
    return ops.div(ops.sub(images, this.shift.value), this.scale.value);
  }
}

/** The linear layer of one tap: one non-negative weight a channel. The key leaves room for the dropout before it. */
class LinLayer extends Module {
  readonly weight: Parameter;

  constructor(channels: number) {
    super();
    this.weight = this.parameter('model.1.weight', [1, channels, 1, 1], { constant: 1 / channels });
  }
}

/**
 * LPIPS 0.1 (Zhang et al. 2018): the squared distance of channel-normalised features, weighted by learned linear
 * layers, averaged over pixels and summed over taps. It means what the literature means only with the official weights
 * loaded; keys are theirs: net.slice1.0.weight, lin0.model.1.weight, scaling_layer.shift.
 */
export class Lpips extends Module implements PerceptualDistance {
  readonly title = 'LPIPS';
  private readonly scaling = this.child('scaling_layer', new ScalingLayer());
  private readonly net: Trunk;
  private readonly lin: LinLayer[];

  constructor({ net = 'alex' }: { net?: LpipsNet } = {}) {
    super();
    this.net = this.child('net', TRUNKS[net]());
    this.lin = this.net.channels.map((channels, k) => this.child(`lin${k}`, new LinLayer(channels)));
  }

  features(images: Tensor): Tensor[] {
    return this.net.taps(this.scaling.forward(images));
  }

  distance(a: readonly Tensor[], b: readonly Tensor[]): Tensor {
    const weights = this.lin.map(({ weight }) => weight.value);
    return ops.perceptualDistance(a, b, weights);
  }
}

/**
 * 'LPIPS-like(self)': the form of LPIPS on a trunk that the project trained itself, with linear weights 1/C. Its values
 * do not compare with published LPIPS. The state is the trunk's.
 */
export class LpipsLike extends VggLike implements PerceptualDistance {
  readonly title = 'LPIPS-like(self)';

  features(images: Tensor): Tensor[] {
    return this.taps(images);
  }

  distance(a: readonly Tensor[], b: readonly Tensor[]): Tensor {
    const weights = this.channels.map(channels => constant(a[0].device, 1 / channels, channels));
    return ops.perceptualDistance(a, b, weights);
  }
}
