import * as ops from '../autograd/index.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { BatchNorm, Conv2d, ConvTranspose2d, Sequential } from './layers.ts';
import { Module } from './module.ts';

/** Classes of CelebAMask-HQ in the order of the U-Net's output. `l_lip` is the lower lip. */
export const PARSING_CLASSES = [
  ...['background', 'skin', 'nose', 'eye_g', 'l_eye', 'r_eye', 'l_brow', 'r_brow', 'l_ear', 'r_ear', 'mouth', 'u_lip'],
  ...['l_lip', 'hair', 'hat', 'ear_r', 'neck_l', 'neck', 'cloth'],
] as const;

/** A 3×3 convolution, batch normalisation and ReLU. */
class ConvNormRelu extends Module {
  private readonly conv: Conv2d;
  private readonly norm: BatchNorm;

  constructor(inputs: number, outputs: number) {
    super();
    this.conv = this.child('0', new Conv2d(inputs, outputs, { kernel: 3, padding: 1 }));
    this.norm = this.child('1', new BatchNorm(outputs));
  }

  forward(x: Tensor): Tensor {
    return this.norm.forward(this.conv.withoutBias(x), { offset: this.conv.bias!.value, slope: 0 });
  }
}

/** Two 3×3 convolutions, each with batch normalisation and ReLU. */
function doubleConv(inputs: number, outputs: number): Sequential {
  return new Sequential({ conv1: new ConvNormRelu(inputs, outputs), conv2: new ConvNormRelu(outputs, outputs) });
}

/** Doubles the deep map, joins it behind the skip connection's, and convolves both. */
class Up extends Module {
  private readonly conv: Sequential;
  private readonly up: ConvTranspose2d;

  constructor(inputs: number, outputs: number) {
    super();
    this.conv = this.child('conv', doubleConv(inputs, outputs));
    this.up = this.child('up', new ConvTranspose2d(inputs, outputs, { kernel: 2, stride: 2 }));
  }

  forward(skip: Tensor, deep: Tensor): Tensor {
    return this.conv.forward(ops.concat([skip, this.up.forward(deep)], 1));
  }
}

export interface ParsingUNetOptions {
  /** Divides the filters 64, 128, 256, 512, 1024. Default 4, the official one. */
  readonly featureScale?: number;
  /** Build the decoder too. A loss compares features of the encoder and needs none. Default true. */
  readonly decoder?: boolean;
}

/**
 * The face parsing U-Net of CelebAMask-HQ (Lee et al. 2020): images [N, 3, H, W] in [-1, 1], H and W multiples of 16,
 * to the logits of 19 classes. Keys are the official ones: conv1.conv1.0.weight, center.conv2.0.bias,
 * up_concat4.up.weight, …
 */
export class ParsingUNet extends Module {
  private readonly encoder: Sequential[];
  private readonly center: Sequential;
  private readonly decoder: { readonly ups: Up[]; readonly final: Conv2d } | undefined;

  constructor({ featureScale = 4, decoder = true }: ParsingUNetOptions = {}) {
    super();
    const filters = [64, 128, 256, 512, 1024].map(n => Math.floor(n / featureScale));
    this.encoder = [3, ...filters].slice(0, 4).map((n, i) => this.child(`conv${i + 1}`, doubleConv(n, filters[i])));
    this.center = this.child('center', doubleConv(filters[3], filters[4]));
    if (!decoder) return;
    this.decoder = {
      ups: [4, 3, 2, 1].map(i => this.child(`up_concat${i}`, new Up(filters[i], filters[i - 1]))),
      final: this.child('final', new Conv2d(filters[0], PARSING_CLASSES.length, { kernel: 1 })),
    };
  }

  /** The five maps that the multi-layer parsing loss compares: behind each of the four poolings, and the centre's. */
  features(images: Tensor): Tensor[] {
    const { pooled, center } = this.encode(images);
    return [...pooled, center];
  }

  /** Logits [N, 19, H, W]. */
  forward(images: Tensor): Tensor {
    return this.forwardWithFeatures(images).logits;
  }

  forwardWithFeatures(images: Tensor): { features: Tensor[]; logits: Tensor } {
    if (!this.decoder) throw new Error('this parsing network was built without its decoder');
    const { skips, pooled, center } = this.encode(images);
    const map = this.decoder.ups.reduce((deep, up, i) => up.forward(skips[3 - i], deep), center);
    return { features: [...pooled, center], logits: this.decoder.final.forward(map) };
  }

  private encode(images: Tensor): { skips: Tensor[]; pooled: Tensor[]; center: Tensor } {
    const skips: Tensor[] = [];
    const pooled: Tensor[] = [];
    for (const block of this.encoder) {
      const skip = block.forward(pooled.at(-1) ?? images);
      skips.push(skip);
      pooled.push(ops.maxPool2d(skip, { kernel: 2 }));
    }
    return { skips, pooled, center: this.center.forward(pooled[3]) };
  }
}
