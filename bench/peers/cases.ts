/** The work that is compared, its operands, and where its results are looked at. */
import { spread } from '../../src/runtime/reference.ts';
import { sizeOf } from '../../src/runtime/shape.ts';

/** A 3×3 convolution of x [images, channels, size, size] with as many channels out, stride 1 and padding 1. */
interface ConvSizes {
  readonly images: number;
  readonly channels: number;
  readonly size: number;
}

export type Case = { readonly name: string; readonly target: number } & (
  | ({ readonly kind: 'conv2d' } & ConvSizes)
  | ({ readonly kind: 'conv2d gradients' } & ConvSizes)
  /** The product of two square matrices. */
  | { readonly kind: 'matmul'; readonly size: number }
  /** One step of the network that `classifier` describes. */
  | { readonly kind: 'training' }
);
export type CaseOf<K extends Case['kind']> = Extract<Case, { readonly kind: K }>;

/** `target`: how many times as fast as the fastest peer ours is to be on a CPU driver. */
export const cases: readonly Case[] = [
  { name: 'conv2d N4 64→64 64² k3', target: 2.5, kind: 'conv2d', images: 4, channels: 64, size: 64 },
  {
    name: 'conv2d gradients N4 64→64 64² k3',
    target: 2.5,
    kind: 'conv2d gradients',
    images: 4,
    channels: 64,
    size: 64,
  },
  { name: 'conv2d N4 32→32 32² k3', target: 2, kind: 'conv2d', images: 4, channels: 32, size: 32 },
  {
    name: 'conv2d gradients N4 32→32 32² k3',
    target: 2.5,
    kind: 'conv2d gradients',
    images: 4,
    channels: 32,
    size: 32,
  },
  { name: 'matmul 1024³', target: 2.5, kind: 'matmul', size: 1024 },
  { name: 'training step: 3 convolutions, dense, Adam', target: 4, kind: 'training' },
];

/**
 * The network of the training case: images x [16, 3, 32, 32]; three 3×3 convolutions with padding 1, bias and ReLU;
 * the mean over pixels; a dense layer; the mean softmax cross-entropy; Adam.
 */
export const classifier = {
  images: 16,
  channels: 3,
  size: 32,
  classes: 10,
  convolutions: [
    { out: 32, stride: 1 },
    { out: 64, stride: 2 },
    { out: 128, stride: 2 },
  ],
  adam: { rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
  /** Steps whose losses are compared with the reference's. */
  checkedSteps: 3,
} as const;

/** `count` numbers in ±scale, the same wherever they are asked for: a multiplicative hash of seed and position. */
export function numbers(count: number, seed: number, scale = 1): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    let h = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
    return (((h ^ (h >>> 15)) >>> 0) / 2 ** 31 - 1) * scale;
  });
}

export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export function operand(shape: readonly number[], seed: number, scale = 1): Values {
  return { shape, data: numbers(sizeOf(shape), seed, scale) };
}

export function convOperands({ images, channels, size }: ConvSizes): { x: Values; w: Values; g: Values } {
  const map = [images, channels, size, size];
  return { x: operand(map, 1), w: operand([channels, channels, 3, 3], 2), g: operand(map, 3) };
}

export function matmulOperands({ size }: { readonly size: number }): { a: Values; b: Values } {
  return { a: operand([size, size], 1), b: operand([size, size], 2) };
}

/**
 * The batch and the weights at the start: [out, in, 3, 3] and [out] of each convolution, [classes, in] and [classes].
 */
export function trainingOperands(): { x: Values; labels: number[]; parameters: Values[] } {
  const { images, channels, size, classes, convolutions } = classifier;
  const parameters: Values[] = [];
  let inputs: number = channels;
  const layer = (shape: readonly number[], fanIn: number) => {
    const scale = Math.sqrt(6 / fanIn);
    parameters.push(operand(shape, 10 + parameters.length, scale), operand([shape[0]], 10 + parameters.length, 0.1));
  };
  for (const { out } of convolutions) {
    layer([out, inputs, 3, 3], inputs * 9);
    inputs = out;
  }
  layer([classes, inputs], inputs);
  const labels = Array.from({ length: images }, (_, i) => (i * 7) % classes);
  return { x: operand([images, channels, size, size], 1), labels, parameters };
}

/** Values with their axes in another order, as NumPy's transpose: axis i of the result is axis `axes[i]`. */
export function transposed({ shape, data }: Values, axes: readonly number[]): Values {
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)));
  const to = axes.map(axis => shape[axis]);
  const result = new Float32Array(data.length);
  for (let i = 0; i < result.length; i++) {
    let [rest, at] = [i, 0];
    for (let axis = to.length - 1; axis >= 0; axis--) {
      at += (rest % to[axis]) * strides[axes[axis]];
      rest = Math.floor(rest / to[axis]);
    }
    result[i] = data[at];
  }
  return { shape: to, data: result };
}

/** Positions of an output at which it is compared. */
export function samplesOf(size: number): number[] {
  return spread(size, 97);
}
