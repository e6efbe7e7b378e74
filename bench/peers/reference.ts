/** What must come out of a case, in double precision on the CPU: slow and plain. */
import type { ConvSizes } from '../../src/runtime/kernels/convSizes.ts';
import {
  allOf,
  conv2dReference,
  convTranspose2dReference,
  matmulReference,
  type Reference,
  weightGradientReference,
} from '../../src/runtime/reference.ts';
import { sizeOf } from '../../src/runtime/shape.ts';
import {
  type Case,
  classifier,
  convOperands,
  matmulOperands,
  samplesOf,
  trainingOperands,
  type Values,
} from './cases.ts';

/** Of each output of a case the values at `samplesOf` its size; of a training, the losses of its first steps. */
export function reference(one: Case): number[][] {
  if (one.kind === 'training') return [trainingLosses()];
  if (one.kind === 'matmul') {
    const { a, b } = matmulOperands(one);
    const sizes = { batch: 1, batchA: 1, batchB: 1, m: one.size, n: one.size, k: one.size };
    const product = { ...sizes, transposeA: false, transposeB: false, half: false };
    return [sampled(matmulReference(product, [a, b].map(doubles)))];
  }
  const { x, w, g } = convOperands(one);
  const sizes = convSizes(one.images, one.channels, one.channels, one.size, 1);
  if (one.kind === 'conv2d') return [sampled(conv2dReference(sizes, [x, w].map(doubles)))];
  return [
    sampled(convTranspose2dReference(adjoint(sizes), [g, w].map(doubles))),
    sampled(weightGradientReference(sizes, [x, g].map(doubles))),
  ];
}

/** One type of array for all, so that the loops of the formulas are compiled for it alone. */
function doubles({ data }: Values): Float64Array {
  return Float64Array.from(data);
}

function sampled({ shape, at }: Reference): number[] {
  return samplesOf(sizeOf(shape)).map(at);
}

/** A 3×3 convolution of square maps with padding 1. */
function convSizes(n: number, c: number, o: number, size: number, stride: number): ConvSizes {
  const out = size / stride;
  return {
    ...{ n, c, height: size, width: size, o, outHeight: out, outWidth: out, kh: 3, kw: 3 },
    ...{ stride: [stride, stride], padding: [1, 1], groups: 1, half: false },
  };
}

/** The transposed convolution that is a convolution's gradient in its input. */
function adjoint({ c, height, width, o, outHeight, outWidth, ...rest }: ConvSizes): ConvSizes {
  return { ...rest, c: o, height: outHeight, width: outWidth, o: c, outHeight: height, outWidth: width };
}

/** The losses of the first steps of the classifier's training, each before its update. */
function trainingLosses(): number[] {
  const { images, channels, size, classes, convolutions, adam, checkedSteps } = classifier;
  const { x, labels, parameters } = trainingOperands();
  const weights = parameters.map(doubles);
  const moments = weights.map(({ length }) => [new Float64Array(length), new Float64Array(length)]);
  const layers: ConvSizes[] = [];
  for (const { out, stride } of convolutions) {
    const below = layers.at(-1) ?? { o: channels, outHeight: size };
    layers.push(convSizes(images, below.o, out, below.outHeight, stride));
  }
  const { o: width, outHeight } = layers[layers.length - 1];
  const pixels = outHeight ** 2;
  const input = doubles(x);
  const losses: number[] = [];
  for (let step = 1; step <= checkedSteps; step++) {
    const maps = [input];
    for (const [layer, sizes] of layers.entries()) {
      const bias = weights[2 * layer + 1];
      const sums = allOf(conv2dReference(sizes, [maps[layer], weights[2 * layer]]));
      maps.push(sums.map((sum, at) => Math.max(0, sum + bias[channelOf(sizes, at)])));
    }
    const last = maps[layers.length];
    const pooled = Float64Array.from({ length: images * width }, (_, at) => mean(last, at * pixels, pixels));
    const { loss, gradient } = head(pooled, weights[6], weights[7], labels, classes);
    losses.push(loss);
    if (step === checkedSteps) break;

    const gradients = new Array<Float64Array>(weights.length);
    gradients[6] = Float64Array.from({ length: classes * width }, (_, at) => {
      const [k, c] = [Math.floor(at / width), at % width];
      return labels.reduce((sum, _, n) => sum + gradient[n * classes + k] * pooled[n * width + c], 0);
    });
    gradients[7] = Float64Array.from({ length: classes }, (_, k) =>
      labels.reduce((sum, _, n) => sum + gradient[n * classes + k], 0),
    );
    let g: Float64Array = last.map((_, at) => {
      const [n, c] = [Math.floor(at / (width * pixels)), Math.floor(at / pixels) % width];
      let sum = 0;
      for (let k = 0; k < classes; k++) sum += gradient[n * classes + k] * weights[6][k * width + c];
      return sum / pixels;
    });
    for (let layer = layers.length - 1; layer >= 0; layer--) {
      const sizes = layers[layer];
      const above = maps[layer + 1];
      const masked = g.map((value, at) => (above[at] > 0 ? value : 0));
      gradients[2 * layer] = allOf(weightGradientReference(sizes, [maps[layer], masked]));
      const bias = new Float64Array(sizes.o);
      for (let at = 0; at < masked.length; at++) bias[channelOf(sizes, at)] += masked[at];
      gradients[2 * layer + 1] = bias;
      if (layer > 0) g = allOf(convTranspose2dReference(adjoint(sizes), [masked, weights[2 * layer]]));
    }
    for (const [i, weight] of weights.entries()) {
      const [m, v] = moments[i];
      for (let k = 0; k < weight.length; k++) {
        m[k] = adam.beta1 * m[k] + (1 - adam.beta1) * gradients[i][k];
        v[k] = adam.beta2 * v[k] + (1 - adam.beta2) * gradients[i][k] ** 2;
        const [mean, square] = [m[k] / (1 - adam.beta1 ** step), v[k] / (1 - adam.beta2 ** step)];
        weight[k] -= (adam.rate * mean) / (Math.sqrt(square) + adam.epsilon);
      }
    }
  }
  return losses;
}

/** The channel of an element of a convolution's result. */
function channelOf({ o, outHeight, outWidth }: ConvSizes, at: number): number {
  return Math.floor(at / (outHeight * outWidth)) % o;
}

/** The dense layer and the mean cross-entropy behind it, with its gradient in the logits. */
function head(
  pooled: Float64Array,
  weight: Float64Array,
  bias: Float64Array,
  labels: readonly number[],
  classes: number,
) {
  const images = labels.length;
  const width = pooled.length / images;
  const gradient = new Float64Array(images * classes);
  let loss = 0;
  for (let n = 0; n < images; n++) {
    const logits = Array.from(bias, (b, k) => {
      let sum = b;
      for (let c = 0; c < width; c++) sum += pooled[n * width + c] * weight[k * width + c];
      return sum;
    });
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
    loss += (Math.log(total) - logits[labels[n]]) / images;
    for (let k = 0; k < classes; k++) {
      gradient[n * classes + k] = (Math.exp(logits[k]) / total - (k === labels[n] ? 1 : 0)) / images;
    }
  }
  return { loss, gradient };
}

function mean(data: Float64Array, from: number, count: number): number {
  let sum = 0;
  for (let i = from; i < from + count; i++) sum += data[i];
  return sum / count;
}

/**
 * The largest error of an output beside the largest value of it; Infinity where lengths differ or a value is no number.
 */
export function errorOf(outputs: readonly (readonly number[])[], expected: readonly (readonly number[])[]): number {
  if (outputs.length !== expected.length) return Number.POSITIVE_INFINITY;
  const errors = outputs.map((output, i) => {
    if (output.length !== expected[i].length || !output.every(Number.isFinite)) return Number.POSITIVE_INFINITY;
    const scale = Math.max(...expected[i].map(Math.abs));
    return Math.max(...output.map((value, k) => Math.abs(value - expected[i][k]))) / scale;
  });
  return Math.max(...errors);
}
