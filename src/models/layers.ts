import { defer } from '../autograd/effects.ts';
import * as ops from '../autograd/index.ts';
import type { Device } from '../runtime/device.ts';
import { updateRunningStatistics } from '../runtime/kernels/batchNorm.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { fanIn, type Init, Module, ones, type Parameter, zeros } from './module.ts';

/** A module of one tensor in, one tensor out. */
export interface Layer extends Module {
  forward(x: Tensor): Tensor;
}

/** Layers in a row, with their index as key; or with the keys given. */
export class Sequential extends Module {
  private readonly layers: Layer[];

  constructor(layers: readonly Layer[] | Readonly<Record<string, Layer>>) {
    super();
    this.layers = Object.entries(layers).map(([key, layer]) => this.child(key, layer));
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((y, layer) => layer.forward(y), x);
  }
}

/** A layer without parameters, for a place of its own in a Sequential. */
export class Activation extends Module {
  constructor(private readonly apply: (x: Tensor) => Tensor) {
    super();
  }

  forward(x: Tensor): Tensor {
    return this.apply(x);
  }
}

export interface ConvLayerOptions extends ops.ConvOptions {
  /** One number or [height, width]. */
  readonly kernel: number | readonly [number, number];
  readonly bias?: boolean;
  readonly init?: Init;
  /** What follows, in the same kernel. Default: nothing. */
  readonly activation?: ops.Activation;
}

/** A convolution of [N, C, H, W] with weight [O, C / groups, KH, KW] and, unless bias is false, bias [O]. */
export class Conv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;

  constructor(
    inChannels: number,
    outChannels: number,
    private readonly options: ConvLayerOptions,
  ) {
    super();
    const { kernel, groups = 1, bias = true } = options;
    const [height, width] = typeof kernel === 'number' ? [kernel, kernel] : kernel;
    const inputs = (inChannels / groups) * height * width;
    this.weight = this.parameter(
      'weight',
      [outChannels, inChannels / groups, height, width],
      options.init ?? fanIn(inputs),
    );
    this.bias = bias ? this.parameter('bias', [outChannels], fanIn(inputs)) : undefined;
  }

  forward(x: Tensor): Tensor {
    return ops.conv2d(x, this.weight.value, this.bias?.value, this.options);
  }

  /** The products alone, for a layer behind that adds the bias in its own pass. */
  withoutBias(x: Tensor): Tensor {
    return ops.conv2d(x, this.weight.value, undefined, { ...this.options, activation: undefined });
  }
}

/** A transposed convolution with weight [C, O, K, K] and bias [O]. */
export class ConvTranspose2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(
    inChannels: number,
    outChannels: number,
    private readonly options: { readonly kernel: number; readonly stride: number },
  ) {
    super();
    const { kernel } = options;
    const init = fanIn(outChannels * kernel * kernel);
    this.weight = this.parameter('weight', [inChannels, outChannels, kernel, kernel], init);
    this.bias = this.parameter('bias', [outChannels], init);
  }

  forward(x: Tensor): Tensor {
    return ops.convTranspose2d(x, this.weight.value, this.bias.value, this.options);
  }
}

/** A dense layer [N, I] → [N, O] with weight [O, I] and bias [O]. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;

  constructor(
    inputs: number,
    outputs: number,
    { bias = true, init = fanIn(inputs) }: { bias?: boolean; init?: Init } = {},
  ) {
    super();
    this.weight = this.parameter('weight', [outputs, inputs], init);
    this.bias = bias ? this.parameter('bias', [outputs], init) : undefined;
  }

  forward(x: Tensor): Tensor {
    return ops.linear(x, this.weight.value, this.bias?.value);
  }
}

/**
 * Batch normalisation of [N, C, …]. In training it normalises by the batch's biased variance and moves the running
 * averages, the variance unbiased, by `momentum`; in evaluation it uses the running averages. Without `affine` it ends
 * there, else a learned weight and bias follow. As in PyTorch it counts the batches in its averages, and as there
 * nothing depends on it.
 */
export class BatchNorm extends Module {
  readonly weight: Parameter | undefined;
  readonly bias: Parameter | undefined;
  readonly runningMean: Parameter;
  readonly runningVar: Parameter;
  private readonly batches: Parameter;
  private readonly epsilon: number;
  private readonly momentum: number;

  constructor(
    channels: number,
    {
      epsilon = 1e-5,
      momentum = 0.1,
      affine = true,
    }: { readonly epsilon?: number; readonly momentum?: number; readonly affine?: boolean } = {},
  ) {
    super();
    this.epsilon = epsilon;
    this.momentum = momentum;
    this.weight = affine ? this.parameter('weight', [channels], ones) : undefined;
    this.bias = affine ? this.parameter('bias', [channels], zeros) : undefined;
    this.runningMean = this.buffer('running_mean', [channels], zeros);
    this.runningVar = this.buffer('running_var', [channels], ones);
    this.batches = this.buffer('num_batches_tracked', [], zeros, { optional: true });
  }

  /**
   * With `offset` [C] (the bias of the convolution that made x) added before and a leaky ReLU of `slope` behind: one
   * pass in evaluation.
   */
  forward(x: Tensor, { offset, slope = 1 }: Omit<ops.BatchNormOptions, 'epsilon'> = {}): Tensor {
    const { epsilon } = this;
    const channels = x.shape[1];
    const weight = this.weight?.value ?? constant(x.device, 1, channels);
    const bias = this.bias?.value ?? constant(x.device, 0, channels);
    const running = { mean: this.runningMean.value, variance: this.runningVar.value, batches: this.batches.value };
    if (!this.training) {
      return ops.batchNorm(x, weight, bias, running.mean, running.variance, { epsilon, offset, slope });
    }
    const count = x.size / channels;
    if (count === 1)
      throw new Error(`batch normalisation in training needs more than one value a channel, ${x} has one`);
    const input = offset ? ops.add(x, ops.perChannel(offset, x)) : x;
    const { output, mean, variance } = ops.batchNormTraining(input, weight, bias, { epsilon });
    defer([mean, variance], gate =>
      updateRunningStatistics(
        running,
        { mean, variance },
        { rate: this.momentum, correction: count / (count - 1), gate },
      ),
    );
    return slope === 1 ? output : ops.leakyRelu(output, { slope });
  }
}

/** One learned slope a channel for negative values of [N, C, …] (He et al. 2015). */
export class PReLU extends Module {
  readonly weight: Parameter;

  constructor(channels: number, slope = 0.25) {
    super();
    this.weight = this.parameter('weight', [channels], { constant: slope });
  }

  forward(x: Tensor): Tensor {
    return ops.prelu(x, ops.perChannel(this.weight.value, x));
  }
}

const constants = new WeakMap<Device, Map<string, Tensor>>();

/** A kept vector of `size` elements of this value (a scalar by default), the same tensor for every caller. */
export function constant(device: Device, value: number, size = 1): Tensor {
  let tensors = constants.get(device);
  if (!tensors) {
    tensors = new Map();
    constants.set(device, tensors);
  }
  const key = `${value}:${size}`;
  let tensor = tensors.get(key);
  if (!tensor) {
    tensor = device.keep(device.tensor(new Float32Array(size).fill(value), [size]));
    tensors.set(key, tensor);
  }
  return tensor;
}
