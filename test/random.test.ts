import { describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { unravel } from '../src/runtime/reference.ts';
import { type Shape, sizeOf, stridesOf } from '../src/runtime/shape.ts';
import { useDevice } from './device.ts';

/** A generator of whole numbers and values (mulberry32), the same in every run. */
class Draw {
  constructor(private state: number) {}

  unit(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From low to high, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1));
  }

  pick<T>(values: readonly T[]): T {
    return values[this.int(0, values.length - 1)];
  }

  values(shape: Shape): Float32Array {
    return Float32Array.from({ length: sizeOf(shape) }, () => 2 * this.unit() - 1);
  }
}

/** Differences beyond what f32 explains: relative to the sum of the magnitudes that went into each element. */
function expectClose(got: ArrayLike<number>, want: ArrayLike<number>, magnitude: number, what: string): void {
  expect(got.length, what).toBe(want.length);
  let worst = 0;
  for (let i = 0; i < want.length; i++) worst = Math.max(worst, Math.abs(got[i] - want[i]));
  expect(Number.isFinite(worst) ? worst : Number.POSITIVE_INFINITY, what).toBeLessThan(2e-6 * Math.max(1, magnitude));
}

/** Where an operand that broadcasts to the index's shape has its element. */
function ravelBroadcast(index: readonly number[], shape: Shape): number {
  const strides = stridesOf(shape);
  const offset = index.length - shape.length;
  return shape.reduce((at, n, axis) => at + (n === 1 ? 0 : index[axis + offset] * strides[axis]), 0);
}

describe('random shapes against float64 on the host', () => {
  const gpu = useDevice();

  test('broadcasting', async () => {
    const draw = new Draw(1);
    for (let round = 0; round < 60; round++) {
      const rank = draw.int(0, 5);
      const shape = Array.from({ length: rank }, () => draw.int(1, 6));
      const operand = () => shape.map(n => (draw.int(0, 2) === 0 ? 1 : n)).slice(draw.int(0, rank));
      const [a, b] = [operand(), operand()];
      const [x, y] = [draw.values(a), draw.values(b)];
      const z = ops.sub(ops.mul(gpu.device.tensor(x, a), gpu.device.tensor(y, b)), gpu.device.tensor(y, b));
      const want = Float64Array.from({ length: z.size }, (_, i) => {
        const index = unravel(i, z.shape);
        const other = y[ravelBroadcast(index, b)];
        return x[ravelBroadcast(index, a)] * other - other;
      });
      expectClose(await z.read(), want, 1, `[${a}] with [${b}]`);
    }
  });

  test('sums over any axes, long ones and many', async () => {
    const draw = new Draw(2);
    const shapes: Shape[] = Array.from({ length: 40 }, () =>
      Array.from({ length: draw.int(1, 5) }, () => draw.int(1, 7)),
    );
    shapes.push([100_003], [70_001, 3], [3, 70_001], [4100, 2, 5], [2, 33, 1000], [20_000, 2], [65, 4097]);
    for (const shape of shapes) {
      const axes = shape.map((_, axis) => axis).filter(() => draw.int(0, 1) === 1);
      if (axes.length === 0) axes.push(draw.int(0, shape.length - 1));
      const values = draw.values(shape);
      const kept = shape.map((n, axis) => (axes.includes(axis) ? 1 : n));
      const want = new Float64Array(sizeOf(kept));
      values.forEach((value, i) => {
        want[ravelBroadcast(unravel(i, shape), kept)] += value;
      });
      const sum = ops.sum(gpu.device.tensor(values, shape), { axes, keepDims: true });
      const length = values.length / want.length;
      expectClose(await sum.read(), want, Math.sqrt(length) * 4, `[${shape}] over ${axes}`);
    }
  });

  test('matrix products', async () => {
    const draw = new Draw(3);
    const sizes = Array.from({ length: 40 }, () => [draw.int(1, 70), draw.int(1, 70), draw.int(1, 70)]);
    sizes.push([1, 5000, 1], [3, 1031, 9], [9, 1, 300], [1, 1, 1], [70, 513, 257]);
    for (const [m, k, n] of sizes) {
      const [transposeA, transposeB] = [draw.int(0, 1) === 1, draw.int(0, 1) === 1];
      const batchA = draw.pick([0, 0, 1, 3]);
      const batchB = draw.pick([0, 1, batchA]);
      const batch = (count: number, matrix: Shape): Shape => (count === 0 ? matrix : [count, ...matrix]);
      const a = batch(batchA, transposeA ? [k, m] : [m, k]);
      const b = batch(batchB, transposeB ? [n, k] : [k, n]);
      const [x, y] = [draw.values(a), draw.values(b)];
      const count = Math.max(1, batchA, batchB);
      const want = new Float64Array(count * m * n);
      for (let z = 0; z < count; z++) {
        const [xz, yz] = [batchA > 1 ? z * m * k : 0, batchB > 1 ? z * k * n : 0];
        for (let i = 0; i < m; i++) {
          for (let j = 0; j < n; j++) {
            let sum = 0;
            for (let l = 0; l < k; l++) {
              sum += x[xz + (transposeA ? l * m + i : i * k + l)] * y[yz + (transposeB ? j * k + l : l * n + j)];
            }
            want[(z * m + i) * n + j] = sum;
          }
        }
      }
      const c = ops.matmul(gpu.device.tensor(x, a), gpu.device.tensor(y, b), { transposeA, transposeB });
      expectClose(await c.read(), want, Math.sqrt(k), `[${a}]${transposeA} · [${b}]${transposeB}`);
    }
  });

  test('convolutions and their gradients', async () => {
    const draw = new Draw(4);
    const odd = [
      { n: 2, groups: 1, cg: 3, og: 5, size: [1, 1], kernel: [3, 3], stride: [1, 1], padding: [1, 1] },
      { n: 1, groups: 1, cg: 2, og: 9, size: [2, 1], kernel: [5, 4], stride: [2, 1], padding: [2, 3] },
      { n: 1, groups: 3, cg: 1, og: 1, size: [4, 3], kernel: [5, 5], stride: [3, 3], padding: [2, 2] },
      { n: 3, groups: 1, cg: 17, og: 16, size: [1, 9], kernel: [1, 1], stride: [1, 2], padding: [0, 0] },
    ];
    const drawn = Array.from({ length: 24 }, () => {
      const kernel = [draw.int(1, 4), draw.int(1, 4)];
      const padding = [draw.int(0, 2), draw.int(0, 2)];
      const size = [0, 1].map(i => Math.max(draw.int(1, 12), kernel[i] - 2 * padding[i]));
      const stride = [draw.int(1, 3), draw.int(1, 3)];
      return {
        n: draw.int(1, 3),
        groups: draw.int(1, 3),
        cg: draw.int(1, 4),
        og: draw.int(1, 10),
        size,
        kernel,
        stride,
        padding,
      };
    });
    for (const { n, groups, cg, og, size, kernel, stride, padding } of [...odd, ...drawn]) {
      const [h, w, kh, kw] = [...size, ...kernel];
      const [oh, ow] = [0, 1].map(i => Math.floor((size[i] + 2 * padding[i] - kernel[i]) / stride[i]) + 1);
      const shapes = { x: [n, cg * groups, h, w], w: [og * groups, cg, kh, kw], y: [n, og * groups, oh, ow] };
      const what = JSON.stringify({ shapes, stride, padding, groups });
      const [x, f, g] = [draw.values(shapes.x), draw.values(shapes.w), draw.values(shapes.y)];
      const want = { y: new Float64Array(g.length), x: new Float64Array(x.length), w: new Float64Array(f.length) };
      // Every product once: to the output, and with the output's gradient to both inputs' gradients.
      for (let at = 0; at < g.length; at++) {
        const [sample, o, i, j] = unravel(at, shapes.y);
        for (let tap = 0; tap < cg * kh * kw; tap++) {
          const [c, p, q] = unravel(tap, [cg, kh, kw]);
          const [row, column] = [i * stride[0] + p - padding[0], j * stride[1] + q - padding[1]];
          if (row < 0 || row >= h || column < 0 || column >= w) continue;
          const from = ((sample * cg * groups + Math.floor(o / og) * cg + c) * h + row) * w + column;
          const weight = o * cg * kh * kw + tap;
          want.y[at] += x[from] * f[weight];
          want.x[from] += g[at] * f[weight];
          want.w[weight] += g[at] * x[from];
        }
      }
      const { device } = gpu;
      const [tx, tw] = [ops.variable(device.tensor(x, shapes.x)), ops.variable(device.tensor(f, shapes.w))];
      const options = { stride, padding, groups } as unknown as ops.ConvOptions;
      const y = ops.conv2d(tx, tw, undefined, options);
      expect(y.shape, what).toEqual(shapes.y);
      const [gx, gw] = ops.grad(y, [tx, tw], { gradient: device.tensor(g, shapes.y) });
      expectClose(await y.read(), want.y, Math.sqrt(cg * kh * kw), what);
      expectClose(await gx.read(), want.x, Math.sqrt(og * kh * kw), `input gradient ${what}`);
      expectClose(await gw.read(), want.w, Math.sqrt(n * oh * ow), `weight gradient ${what}`);
    }
  });

  test('transposed convolutions: every output size of a stride', async () => {
    const draw = new Draw(5);
    for (let round = 0; round < 25; round++) {
      const [n, c, o, h, w] = [draw.int(1, 2), draw.int(1, 4), draw.int(1, 9), draw.int(1, 6), draw.int(1, 6)];
      const [k, stride] = [draw.int(1, 4), draw.int(1, 3)];
      const padding = draw.int(0, Math.min(1, Math.floor((k - 1) / 2)));
      const outputPadding = draw.int(0, stride - 1);
      const [x, f] = [draw.values([n, c, h, w]), draw.values([c, o, k, k])];
      const [oh, ow] = [h, w].map(size => (size - 1) * stride - 2 * padding + k + outputPadding);
      if (oh < 1 || ow < 1) continue;
      const want = new Float64Array(n * o * oh * ow);
      for (let at = 0; at < x.length; at++) {
        const [sample, channel, i, j] = unravel(at, [n, c, h, w]);
        for (let tap = 0; tap < o * k * k; tap++) {
          const [out, p, q] = unravel(tap, [o, k, k]);
          const [row, column] = [i * stride + p - padding, j * stride + q - padding];
          if (row < 0 || row >= oh || column < 0 || column >= ow) continue;
          want[((sample * o + out) * oh + row) * ow + column] += x[at] * f[channel * o * k * k + tap];
        }
      }
      const { device } = gpu;
      const options = { stride, padding, outputPadding };
      const y = ops.convTranspose2d(device.tensor(x, [n, c, h, w]), device.tensor(f, [c, o, k, k]), undefined, options);
      const what = JSON.stringify({ n, c, o, h, w, k, ...options });
      expect(y.shape, what).toEqual([n, o, oh, ow]);
      expectClose(await y.read(), want, Math.sqrt(c * k * k), what);
    }
  });
});
