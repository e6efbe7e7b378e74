import * as ops from '../autograd/index.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { BatchNorm, Conv2d, type ConvLayerOptions } from './layers.ts';
import { Module } from './module.ts';

/**
 * 'fid': the network of TF-2015-12-05 on which FID is defined, as pytorch-fid has it; 'torchvision': that of
 * torchvision's inception_v3. They differ in three poolings and in their weights, not in the names of these:
 *
 * 1. the average pooling of blocks A and C (Mixed_5b to 5d, 6b to 6e) leaves the padding out of its count;
 * 2. so does that of the first block E (Mixed_7b);
 * 3. the last block E (Mixed_7c) pools the maximum.
 */
export type InceptionVariant = 'fid' | 'torchvision';

type Pool = (x: Tensor) => Tensor;

const average =
  (countIncludePad: boolean): Pool =>
  x =>
    ops.avgPool2d(x, 3, { stride: 1, padding: 1, countIncludePad });
const maximum: Pool = x => ops.maxPool2d(x, { kernel: 3, stride: 1, padding: 1 });
const reduction: Pool = x => ops.maxPool2d(x, { kernel: 3, stride: 2 });

type Options = Omit<ConvLayerOptions, 'bias' | 'init' | 'activation'>;

/** Convolution, batch normalisation with ε = 0.001, ReLU. */
class BasicConv2d extends Module {
  private readonly conv: Conv2d;
  private readonly bn: BatchNorm;

  constructor(inputs: number, outputs: number, options: Options) {
    super();
    this.conv = this.child('conv', new Conv2d(inputs, outputs, { ...options, bias: false }));
    this.bn = this.child('bn', new BatchNorm(outputs, { epsilon: 0.001 }));
  }

  forward(x: Tensor): Tensor {
    return this.bn.forward(this.conv.forward(x), { slope: 0 });
  }
}

type Channels = readonly number[];
const chain = (x: Tensor, convs: readonly BasicConv2d[]) => convs.reduce((y, conv) => conv.forward(y), x);
const ROW = { kernel: [1, 7], padding: [0, 3] } as const;
const COLUMN = { kernel: [7, 1], padding: [3, 0] } as const;
const POINT = { kernel: 1 } as const;
const SQUARE = { kernel: 3, padding: 1 } as const;

/** Branches side by side, whose channels are concatenated. */
abstract class Block extends Module {
  /** A branch's convolutions in a row; `channels` are the input's and then each one's. */
  protected branch(keys: readonly string[], channels: Channels, options: readonly Options[]): BasicConv2d[] {
    return keys.map((key, i) => this.child(key, new BasicConv2d(channels[i], channels[i + 1], options[i])));
  }

  abstract forward(x: Tensor): Tensor;
}

const numbered = (key: string, count: number) => Array.from({ length: count }, (_, i) => `${key}_${i + 1}`);

/** 1×1, 5×5, two 3×3 and a pooling: at 35 × 35. */
class BlockA extends Block {
  private readonly point: BasicConv2d[];
  private readonly five: BasicConv2d[];
  private readonly three: BasicConv2d[];
  private readonly pooled: BasicConv2d[];

  constructor(
    inputs: number,
    poolChannels: number,
    private readonly pool: Pool,
  ) {
    super();
    this.point = this.branch(['branch1x1'], [inputs, 64], [POINT]);
    this.five = this.branch(numbered('branch5x5', 2), [inputs, 48, 64], [POINT, { kernel: 5, padding: 2 }]);
    this.three = this.branch(numbered('branch3x3dbl', 3), [inputs, 64, 96, 96], [POINT, SQUARE, SQUARE]);
    this.pooled = this.branch(['branch_pool'], [inputs, poolChannels], [POINT]);
  }

  forward(x: Tensor): Tensor {
    const { point, five, three, pooled } = this;
    return ops.concat([chain(x, point), chain(x, five), chain(x, three), chain(this.pool(x), pooled)], 1);
  }
}

/** From 35 × 35 to 17 × 17. */
class BlockB extends Block {
  private readonly three: BasicConv2d[];
  private readonly double: BasicConv2d[];

  constructor(inputs: number) {
    super();
    const down = { kernel: 3, stride: 2 };
    this.three = this.branch(['branch3x3'], [inputs, 384], [down]);
    this.double = this.branch(numbered('branch3x3dbl', 3), [inputs, 64, 96, 96], [POINT, SQUARE, down]);
  }

  forward(x: Tensor): Tensor {
    return ops.concat([chain(x, this.three), chain(x, this.double), reduction(x)], 1);
  }
}

/** 7×7 as rows and columns, once and twice: at 17 × 17. */
class BlockC extends Block {
  private readonly point: BasicConv2d[];
  private readonly seven: BasicConv2d[];
  private readonly double: BasicConv2d[];
  private readonly pooled: BasicConv2d[];

  constructor(
    inputs: number,
    c: number,
    private readonly pool: Pool,
  ) {
    super();
    this.point = this.branch(['branch1x1'], [inputs, 192], [POINT]);
    this.seven = this.branch(numbered('branch7x7', 3), [inputs, c, c, 192], [POINT, ROW, COLUMN]);
    this.double = this.branch(
      numbered('branch7x7dbl', 5),
      [inputs, c, c, c, c, 192],
      [POINT, COLUMN, ROW, COLUMN, ROW],
    );
    this.pooled = this.branch(['branch_pool'], [inputs, 192], [POINT]);
  }

  forward(x: Tensor): Tensor {
    const { point, seven, double, pooled } = this;
    return ops.concat([chain(x, point), chain(x, seven), chain(x, double), chain(this.pool(x), pooled)], 1);
  }
}

/** From 17 × 17 to 8 × 8. */
class BlockD extends Block {
  private readonly three: BasicConv2d[];
  private readonly seven: BasicConv2d[];

  constructor(inputs: number) {
    super();
    const down = { kernel: 3, stride: 2 };
    this.three = this.branch(numbered('branch3x3', 2), [inputs, 192, 320], [POINT, down]);
    this.seven = this.branch(numbered('branch7x7x3', 4), [inputs, 192, 192, 192, 192], [POINT, ROW, COLUMN, down]);
  }

  forward(x: Tensor): Tensor {
    return ops.concat([chain(x, this.three), chain(x, this.seven), reduction(x)], 1);
  }
}

/** 3×3 as a row beside a column, once and behind another 3×3: at 8 × 8. */
class BlockE extends Block {
  private readonly point: BasicConv2d[];
  private readonly three: BasicConv2d[];
  private readonly threeSplit: BasicConv2d[];
  private readonly double: BasicConv2d[];
  private readonly doubleSplit: BasicConv2d[];
  private readonly pooled: BasicConv2d[];

  constructor(
    inputs: number,
    private readonly pool: Pool,
  ) {
    super();
    // Both ends of a branch start from its middle.
    const split = (key: string) => [
      ...this.branch([`${key}a`], [384, 384], [{ kernel: [1, 3], padding: [0, 1] }]),
      ...this.branch([`${key}b`], [384, 384], [{ kernel: [3, 1], padding: [1, 0] }]),
    ];
    this.point = this.branch(['branch1x1'], [inputs, 320], [POINT]);
    this.three = this.branch(['branch3x3_1'], [inputs, 384], [POINT]);
    this.threeSplit = split('branch3x3_2');
    this.double = this.branch(numbered('branch3x3dbl', 2), [inputs, 448, 384], [POINT, SQUARE]);
    this.doubleSplit = split('branch3x3dbl_3');
    this.pooled = this.branch(['branch_pool'], [inputs, 192], [POINT]);
  }

  forward(x: Tensor): Tensor {
    const both = (y: Tensor, convs: readonly BasicConv2d[]) => convs.map(conv => conv.forward(y));
    const { point, three, double, pooled } = this;
    return ops.concat(
      [
        chain(x, point),
        ...both(chain(x, three), this.threeSplit),
        ...both(chain(x, double), this.doubleSplit),
        chain(this.pool(x), pooled),
      ],
      1,
    );
  }
}

/** Side of the images that the network was trained on. */
const INPUT_SIZE = 299;

/**
 * Inception-v3 (Szegedy et al. 2016, arXiv 1512.00567) up to its last pooling, for FID and what goes with it. Keys are
 * torchvision's, which pytorch-fid's file has too: Conv2d_1a_3x3.conv.weight, Mixed_5b.branch1x1.bn.running_mean, …
 * The classifier (`fc`) and the auxiliary one (`AuxLogits`) are no part of it.
 */
export class Inception extends Module {
  /** Length of a feature vector. */
  static readonly features = 2048;
  private readonly stem: readonly (BasicConv2d | Pool)[];
  private readonly blocks: readonly Block[];

  constructor({ variant = 'fid' }: { variant?: InceptionVariant } = {}) {
    super();
    const conv = (key: string, inputs: number, outputs: number, options: Options) =>
      this.child(key, new BasicConv2d(inputs, outputs, options));
    this.stem = [
      conv('Conv2d_1a_3x3', 3, 32, { kernel: 3, stride: 2 }),
      conv('Conv2d_2a_3x3', 32, 32, { kernel: 3 }),
      conv('Conv2d_2b_3x3', 32, 64, SQUARE),
      reduction,
      conv('Conv2d_3b_1x1', 64, 80, POINT),
      conv('Conv2d_4a_3x3', 80, 192, { kernel: 3 }),
      reduction,
    ];
    const pool = average(variant === 'torchvision');
    const lastPool = variant === 'fid' ? maximum : pool;
    this.blocks = Object.entries({
      Mixed_5b: new BlockA(192, 32, pool),
      Mixed_5c: new BlockA(256, 64, pool),
      Mixed_5d: new BlockA(288, 64, pool),
      Mixed_6a: new BlockB(288),
      Mixed_6b: new BlockC(768, 128, pool),
      Mixed_6c: new BlockC(768, 160, pool),
      Mixed_6d: new BlockC(768, 160, pool),
      Mixed_6e: new BlockC(768, 192, pool),
      Mixed_7a: new BlockD(768),
      Mixed_7b: new BlockE(1280, pool),
      Mixed_7c: new BlockE(2048, lastPool),
    }).map(([key, block]) => this.child(key, block));
  }

  /** The features [N, 2048] of images [N, 3, H, W] in [-1, 1] of any size, resized as pytorch-fid does. */
  forward(images: Tensor): Tensor {
    return this.features(ops.interpolate(images, [INPUT_SIZE, INPUT_SIZE], 'bilinear'));
  }

  /** The same of images as they are, of 75 pixels a side at least. */
  features(images: Tensor): Tensor {
    const x = this.stem.reduce((y, layer) => (typeof layer === 'function' ? layer(y) : layer.forward(y)), images);
    const maps = this.blocks.reduce((y, block) => block.forward(y), x);
    return ops.mean(maps, { axes: [2, 3] });
  }
}
