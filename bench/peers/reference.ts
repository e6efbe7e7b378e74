/** What must come out of a case, in double precision on the CPU: slow and plain. */
import {
  type Case,
  classifier,
  convOperands,
  matmulOperands,
  samplesOf,
  sizeOf,
  trainingOperands,
  type Values,
} from './cases.ts';

/** Of each output of a case the values at `samplesOf` its size; of a training, the losses of its first steps. */
export function reference(one: Case): number[][] {
  if (one.kind === 'training') return [trainingLosses()];
  if (one.kind === 'matmul') {
    const { a, b } = matmulOperands(one);
    const { size } = one;
    return [
      samplesOf(size * size).map(at => {
        const [row, column] = [Math.floor(at / size), at % size];
        let sum = 0;
        for (let k = 0; k < size; k++) sum += a.data[row * size + k] * b.data[k * size + column];
        return sum;
      }),
    ];
  }
  const { x, w, g } = mapped(convOperands(one));
  if (one.kind === 'conv2d') return [samplesOf(g.data.length).map(at => convolved(x, w, 1, g.shape, at))];
  return [
    samplesOf(x.data.length).map(at => inputGradient(g, w, 1, x.shape, at)),
    samplesOf(w.data.length).map(at => weightGradient(x, g, 1, w.shape, at)),
  ];
}

/** One type of array for all, so that the loops below are compiled for it alone. */
type Map = { readonly shape: readonly number[]; readonly data: Float64Array };

/** Element `at` of the convolution of x with w, padding 1; `shape` is that of the result. */
function convolved(x: Map, w: Map, stride: number, shape: readonly number[], at: number): number {
  const [n, o, row, column] = coordinates(shape, at);
  const [, channels, height, width] = x.shape;
  let sum = 0;
  for (let tap = 0; tap < 9; tap++) {
    const [y, z] = [row * stride + Math.floor(tap / 3) - 1, column * stride + (tap % 3) - 1];
    if (y < 0 || z < 0 || y >= height || z >= width) continue;
    let from = (n * channels * height + y) * width + z;
    for (let c = 0; c < channels; c++, from += height * width) {
      sum += x.data[from] * w.data[(o * channels + c) * 9 + tap];
    }
  }
  return sum;
}

/** Element `at` of the gradient in x, of shape `shape`, where g is that of the result. */
function inputGradient(g: Map, w: Map, stride: number, shape: readonly number[], at: number): number {
  const [n, c, row, column] = coordinates(shape, at);
  const [, outputs, height, width] = g.shape;
  let sum = 0;
  for (let tap = 0; tap < 9; tap++) {
    const [y, z] = [(row + 1 - Math.floor(tap / 3)) / stride, (column + 1 - (tap % 3)) / stride];
    if (!Number.isInteger(y) || !Number.isInteger(z) || y < 0 || z < 0 || y >= height || z >= width) continue;
    let from = (n * outputs * height + y) * width + z;
    for (let o = 0; o < outputs; o++, from += height * width) {
      sum += g.data[from] * w.data[(o * shape[1] + c) * 9 + tap];
    }
  }
  return sum;
}

/** Element `at` of the gradient in w, of shape `shape`. */
function weightGradient(x: Map, g: Map, stride: number, shape: readonly number[], at: number): number {
  const [o, c, kernelRow, kernelColumn] = coordinates(shape, at);
  const [images, channels, height, width] = x.shape;
  const [, outputs, outHeight, outWidth] = g.shape;
  let sum = 0;
  for (let n = 0; n < images; n++) {
    for (let i = 0; i < outHeight; i++) {
      const y = i * stride + kernelRow - 1;
      if (y < 0 || y >= height) continue;
      for (let j = 0; j < outWidth; j++) {
        const z = j * stride + kernelColumn - 1;
        if (z < 0 || z >= width) continue;
        sum +=
          x.data[((n * channels + c) * height + y) * width + z] *
          g.data[((n * outputs + o) * outHeight + i) * outWidth + j];
      }
    }
  }
  return sum;
}

function mapped<K extends string>(values: Record<K, Values>): Record<K, Map> {
  const entries = Object.entries<Values>(values);
  return Object.fromEntries(
    entries.map(([name, { shape, data }]) => [name, { shape, data: Float64Array.from(data) }]),
  ) as Record<K, Map>;
}

function coordinates(shape: readonly number[], at: number): number[] {
  const result = new Array<number>(shape.length);
  let rest = at;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    result[axis] = rest % shape[axis];
    rest = Math.floor(rest / shape[axis]);
  }
  return result;
}

function whole(shape: readonly number[], element: (at: number) => number): Map {
  return { shape, data: Float64Array.from({ length: sizeOf(shape) }, (_, at) => element(at)) };
}

/** The losses of the first steps of the classifier's training, each before its update. */
function trainingLosses(): number[] {
  const { images, classes, convolutions, adam, checkedSteps } = classifier;
  const { x, labels, parameters } = trainingOperands();
  const weights = parameters.map(({ data }) => Float64Array.from(data));
  const moments = weights.map(({ length }) => [new Float64Array(length), new Float64Array(length)]);
  const kernel = (layer: number): Map => ({ shape: parameters[2 * layer].shape, data: weights[2 * layer] });
  const { x: input } = mapped({ x });
  const losses: number[] = [];
  for (let step = 1; step <= checkedSteps; step++) {
    const maps: Map[] = [input];
    for (const [layer, { out, stride }] of convolutions.entries()) {
      const below = maps[layer];
      const side = below.shape[2] / stride;
      const shape = [images, out, side, side];
      const bias = weights[2 * layer + 1];
      const relu = (at: number) =>
        Math.max(0, convolved(below, kernel(layer), stride, shape, at) + bias[coordinates(shape, at)[1]]);
      maps.push(whole(shape, relu));
    }
    const last = maps[maps.length - 1];
    const pixels = last.shape[2] * last.shape[3];
    const pooled = whole([images, last.shape[1]], at => mean(last.data, at * pixels, pixels));
    const { loss, gradient } = head(pooled, weights[6], weights[7], labels, classes);
    losses.push(loss);
    if (step === checkedSteps) break;

    const gradients = new Array<Float64Array>(weights.length);
    const width = pooled.shape[1];
    gradients[6] = whole([classes, width], at => {
      const [k, c] = [Math.floor(at / width), at % width];
      return labels.reduce((sum, _, n) => sum + gradient[n * classes + k] * pooled.data[n * width + c], 0);
    }).data;
    gradients[7] = Float64Array.from({ length: classes }, (_, k) =>
      labels.reduce((sum, _, n) => sum + gradient[n * classes + k], 0),
    );
    let g = whole(last.shape, at => {
      const [n, c] = coordinates(last.shape, at);
      let sum = 0;
      for (let k = 0; k < classes; k++) sum += gradient[n * classes + k] * weights[6][k * width + c];
      return sum / pixels;
    });
    for (let layer = convolutions.length - 1; layer >= 0; layer--) {
      const [below, above] = [maps[layer], maps[layer + 1]];
      const through = g;
      const masked = whole(above.shape, at => (above.data[at] > 0 ? through.data[at] : 0));
      const { stride } = convolutions[layer];
      const { shape } = parameters[2 * layer];
      gradients[2 * layer] = whole(shape, at => weightGradient(below, masked, stride, shape, at)).data;
      const bias = new Float64Array(shape[0]);
      for (let at = 0; at < masked.data.length; at++) bias[coordinates(masked.shape, at)[1]] += masked.data[at];
      gradients[2 * layer + 1] = bias;
      if (layer > 0) g = whole(below.shape, at => inputGradient(masked, kernel(layer), stride, below.shape, at));
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

/** The dense layer and the mean cross-entropy behind it, with its gradient in the logits. */
function head(pooled: Map, weight: Float64Array, bias: Float64Array, labels: readonly number[], classes: number) {
  const [images, width] = pooled.shape;
  const gradient = new Float64Array(images * classes);
  let loss = 0;
  for (let n = 0; n < images; n++) {
    const logits = Array.from(bias, (b, k) => {
      let sum = b;
      for (let c = 0; c < width; c++) sum += pooled.data[n * width + c] * weight[k * width + c];
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
