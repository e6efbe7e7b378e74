import { describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { initialize, type Module } from '../src/models/module.ts';
import { Discriminator, minibatchStddev } from '../src/models/stylegan2/discriminator.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { repeatLatent } from '../src/models/stylegan2/latents.ts';
import { ModulatedConv } from '../src/models/stylegan2/modulatedConv.ts';
import type { Device } from '../src/runtime/device.ts';
import { sizeOf } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { gNonSaturating, pathLengthPenalty, r1Penalty } from '../src/train/adversarial.ts';
import { useDevice } from './device.ts';

// Values of the reference implementations in float64 (rosinality/stylegan2-pytorch at S = 8, channels {4: 4, 8: 3}), in
// which element n of tensor t is A · sin(1 + t + 0.7 n).

const config = { size: 8, channels: { 4: 4, 8: 3 }, wDim: 5, mappingLayers: 2 };
const TOLERANCE = 1e-4;

function values(t: number, size: number, amplitude = 1, shift = 0): Float32Array {
  return Float32Array.from({ length: size }, (_, n) => shift + amplitude * Math.sin(1 + t + 0.7 * n));
}

function filled(device: Device, t: number, shape: readonly number[], amplitude = 1): Tensor {
  return device.tensor(values(t, sizeOf(shape), amplitude), shape);
}

function close(got: number, want: number, scale = Math.abs(want)): void {
  expect(Math.abs(got - want), `${got} instead of ${want}`).toBeLessThanOrEqual(TOLERANCE * scale);
}

function allClose(got: ArrayLike<number>, want: readonly number[]): void {
  const scale = Math.max(...want.map(Math.abs));
  want.forEach((value, i) => {
    close(got[i], value, scale);
  });
}

function sumOf(got: Float32Array): number {
  return got.reduce((a, b) => a + b, 0);
}

function normOf(got: Float32Array): number {
  return Math.hypot(...got);
}

/** Sum and norm, or the value of a tensor of one element; the sum within a share of the norm, as it may cancel. */
function summary(got: Float32Array, [sum, norm]: readonly number[]): void {
  if (norm === undefined) {
    close(got[0], sum);
    return;
  }
  close(normOf(got), norm);
  close(sumOf(got), sum, Math.max(Math.abs(sum), norm));
}

function at<T extends Module>(module: Module, path: string): T {
  return [...module.modules()].find(([name]) => name === path)![1] as T;
}

/** Notes what a module's forward is given and gives. */
function record(network: Module, path: string): { readonly args: Tensor[]; output: Tensor }[] {
  const calls: { args: Tensor[]; output: Tensor }[] = [];
  const module = at<Module & { forward(...args: Tensor[]): Tensor }>(network, path);
  const { forward } = module;
  module.forward = (...args) => {
    const output = forward.apply(module, args);
    calls.push({ args, output });
    return output;
  };
  return calls;
}

/** Reads tensors made in a scope. */
async function read<K extends string>(
  device: Device,
  body: () => { readonly [key in K]: Tensor },
): Promise<Record<K, Float32Array>> {
  const reads = device.scope('test', () => {
    const tensors = Object.entries<Tensor>(body());
    return tensors.map(([key, tensor]) => tensor.read().then(data => [key, data] as const));
  });
  return Object.fromEntries(await Promise.all(reads)) as Record<K, Float32Array>;
}

/** Tensors under their place in the list. */
function numbered(tensors: readonly Tensor[], first = 0): Record<number, Tensor> {
  return Object.fromEntries(tensors.map((tensor, i) => [first + i, tensor]));
}

describe('primitives', () => {
  const gpu = useDevice();

  test('upfirdn2d: padding, flip, up- and downsampling', async () => {
    const count = (n: number, side: number) => {
      const sequence = Array.from({ length: side * side }, (_, i) => i + n);
      return gpu.device.tensor(sequence, side === 4 && n === 1 ? [4, 4] : [1, 1, side, side]);
    };
    const got = await read(gpu.device, () => {
      const filter = count(1, 4);
      const x = count(1, 3);
      const sixteen = ops.reshape(count(1, 4), [1, 1, 4, 4]);
      const smooth = gpu.device.tensor(
        [1, 3, 3, 1].flatMap(a => [1, 3, 3, 1].map(b => (a * b) / 64)),
        [4, 4],
      );
      const ramp = count(0, 4);
      return {
        padded: ops.upfirdn2d(x, filter, { pad: [1, 1] }),
        flipped: ops.upfirdn2d(x, filter, { pad: [1, 1], flip: true }),
        up: ops.upfirdn2d(x, filter, { up: 2, pad: [2, 1] }),
        down: ops.upfirdn2d(sixteen, filter, { down: 2, pad: [1, 1] }),
        imageUp: ops.upfirdn2d(ramp, smooth, { up: 2, pad: [2, 1], gain: 4 }),
        imageDown: ops.upfirdn2d(ramp, smooth, { down: 2, pad: [1, 1] }),
      };
    });
    allClose(got.padded, [192, 237, 372, 417]);
    allClose(got.flipped, [573, 528, 393, 348]);
    expect(got.up.length).toBe(36);
    allClose(got.up, [6, 17, 20, 29, 34, 21]);
    allClose(got.up.slice(30), [70, 149, 164, 169, 186, 99]);
    allClose(got.down, [222, 339, 798, 987]);
    allClose(got.imageUp, [0, 0.1875, 0.5625, 0.9375, 1.3125, 1.6875, 2.0625, 1.6875]);
    allClose(got.imageDown, [2.734375, 3.9375, 7.546875, 8.75]);
  });

  test('minibatch deviation: groups are strided', async () => {
    const { y } = await read(gpu.device, () => ({ y: minibatchStddev(filled(gpu.device, 7, [8, 2, 2, 2])) }));
    for (let sample = 0; sample < 8; sample++) {
      allClose(y.slice(sample * 12 + 8, sample * 12 + 12), new Array(4).fill(sample % 2 ? 0.7054027 : 0.7003327));
    }
  });
});

describe('discriminator', () => {
  const gpu = useDevice();

  /** The network, its images, and its parameters in the order of t. */
  function build() {
    const network = new Discriminator(config);
    initialize(network, gpu.device);
    const parameters = [...network.parameters().values()];
    parameters.forEach((parameter, t) => {
      gpu.device.write(parameter.value, values(t, parameter.size, parameter.key === 'bias' ? 0.3 : 1));
    });
    return { network, weights: parameters.map(({ value }) => value), x: filled(gpu.device, 100, [4, 3, 8, 8], 0.5) };
  }

  test('intermediate values and logits', async () => {
    const got = await read(gpu.device, () => {
      const { network, x } = build();
      const paths = ['convs.0', 'convs.1.conv1', 'convs.1.conv2', 'convs.1.skip.1', 'convs.1', 'final_conv'];
      const calls = paths.map(path => record(network, path));
      const logits = network.forward(x);
      const [fromRgb, conv1, conv2, skip, block] = calls.map(([{ output }]) => output);
      return {
        fromRgb,
        conv1,
        // The residual's 1/√2 and the skip convolution's constant are applied later than in the reference.
        conv2: ops.mul(conv2, Math.SQRT2),
        skip: ops.mul(skip, 1 / Math.sqrt(3)),
        block,
        stddev: ops.slice(calls[5][0].args[0], { begin: [0, 4, 0, 0], end: [1, 5, 1, 1] }),
        logits,
      };
    });
    summary(got.fromRgb, [202.849583, 13.0929183]);
    summary(got.conv1, [-57.8896842, 2.45885975]);
    summary(got.conv2, [58.8187918, 4.62503348]);
    summary(got.skip, [20.3337184, 4.65943878]);
    summary(got.block, [55.9692767, 4.66063101]);
    close(got.stddev[0], 0.0549963855);
    allClose(got.logits, [0.2589657, 0.2536613, 0.2586543, 0.2589338]);
  });

  test('gradient in the images, and R1', async () => {
    const got = await read(gpu.device, () => {
      const { network, x } = build();
      const images = ops.variable(x);
      const [gx] = ops.grad(ops.sum(network.forward(images)), [images]);
      const squares = ops.sum(ops.square(gx), { axes: [1, 2, 3] });
      return { gx, squares, penalty: r1Penalty(y => network.forward(y), x).penalty };
    });
    allClose(got.gx, [-9.937959e-4, -1.105426e-3, -3.551904e-4, 8.046462e-4]);
    allClose(got.squares, [7.346037e-4, 5.557296e-4, 6.252474e-4, 5.712306e-4]);
    close(got.penalty[0], 6.217027998e-4);
  });

  test('gradients of the loss in the weights', async () => {
    const got = await read(gpu.device, () => {
      const { network, weights, x } = build();
      const loss = gNonSaturating(network.forward(x));
      return numbered([loss, ...ops.grad(loss, weights)], -1);
    });
    close(got[-1][0], 0.57263984);
    const want: Record<number, number[]> = {
      0: [1.766277e-3, 1.704977e-3],
      1: [-2.069159e-2, 1.213756e-2],
      2: [4.835129e-3, 1.363484e-3],
      4: [-7.999917e-3, 1.326535e-3],
      6: [-5.476474e-3, 1.838494e-3],
      7: [8.059932e-2, 1.881667e-2],
      8: [9.934015e-2, 7.001924e-2],
      9: [1.365423e-1, 3.843904e-2],
      10: [-5.114318e-1, 3.849109e-1],
      11: [-2.380124e-2, 5.29087e-2],
      12: [-4.359652e-1],
    };
    for (const [t, expected] of Object.entries(want)) summary(got[Number(t)], expected);
  });

  test('gradients of R1 in the weights: second order', async () => {
    const got = await read(gpu.device, () => {
      const { network, weights, x } = build();
      const { penalty } = r1Penalty(y => network.forward(y), x);
      return numbered(ops.grad(ops.mul(penalty, 5), weights, { unused: 'zero' }));
    });
    const want: Record<number, number[]> = {
      0: [1.633112e-3, 3.170359e-3],
      2: [9.157513e-4, 1.352553e-3],
      4: [9.49043e-3, 1.465558e-3],
      6: [3.010591e-3, 1.217547e-3],
      7: [1.567829e-3, 3.143909e-3],
      9: [2.98319e-4, 3.563778e-3],
      11: [8.166876e-3, 5.437182e-3],
    };
    for (const [t, expected] of Object.entries(want)) summary(got[Number(t)], expected);
    // What reaches biases through the deviation's curvature alone is 10⁴ times smaller than the weights' gradients.
    summary(got[1], [2.245892e-7, 4.902116e-7]);
    expect([...got[8], ...got[10], ...got[12]].every(g => g === 0)).toBe(true);
  });
});

describe('generator', () => {
  const gpu = useDevice();

  function build() {
    const network = new Generator(config);
    initialize(network, gpu.device);
    const parameters = [...network.parameters()];
    parameters.forEach(([key, { value, size }], t) => {
      const data = /^style\.\d\.weight/.test(key)
        ? values(t, size, 100)
        : key.endsWith('modulation.bias')
          ? values(t, size, 0.3, 1)
          : values(t, size, key.endsWith('bias') ? 0.3 : key.endsWith('noise.weight') ? 0.2 : 1);
      gpu.device.write(value, data);
    });
    [4, 8, 8].forEach((r, j) => {
      gpu.device.write(network.state().get(`noises.noise_${j}`)!.value, values(200 + j, r * r));
    });
    const weights = parameters.map(([, { value }]) => value);
    const w = network.mapping.forward(filled(gpu.device, 300, [2, 5]));
    return { network, weights, ws: repeatLatent(w, network.latents), w };
  }

  test('latents, styles, demodulation, layers and image', async () => {
    const got = await read(gpu.device, () => {
      const { network, w, ws } = build();
      const styles = record(network, 'conv1.conv.modulation');
      const layers = ['conv1', 'to_rgb1', 'convs.0', 'convs.1'].map(path => record(network, path));
      const modulated = at<ModulatedConv>(network, 'convs.0.conv');
      const image = network.forward(ws);
      const [conv1, toRgb1, convs0, convs1] = layers.map(([{ output }]) => output);

      // The same convolution without demodulation gives the factors as a quotient.
      const plain = new ModulatedConv(4, 4, { kernel: 3, wDim: 5, demodulate: false });
      initialize(plain, gpu.device);
      const state = network.state();
      for (const [key, { value }] of plain.state()) gpu.device.copy(state.get(`conv1.conv.${key}`)!.value, value);
      const input = state.get('input.input')!.value;
      const quotient = ops.div(at<ModulatedConv>(network, 'conv1.conv').forward(input, w), plain.forward(input, w));
      return {
        w,
        style: styles[0].output,
        quotient,
        conv1,
        toRgb1,
        modulated: modulated.forward(layers[2][0].args[0], layers[2][0].args[1]),
        convs0,
        convs1,
        image,
      };
    });
    allClose(got.w.slice(0, 5), [-0.2506528, 1.242358, -0.2176, 0.7842157, -0.0766796]);
    allClose(got.w.slice(5), [-0.1959524, 0.5792442, -0.02390937, -0.07329978, 0.8033379]);
    allClose(got.style, [1.813503, 0.8024542, 1.233229, 0.786019]);
    const demodulation = [0, 1, 2, 3].map(o => got.quotient[o * 16]);
    allClose(demodulation, [1.148464, 1.148669, 1.148859, 1.149033]);
    summary(got.conv1, [-8.218362977, 1.40258029]);
    allClose(got.conv1, [-0.1180602, -0.1653171]);
    summary(got.toRgb1, [-18.80662141, 2.401270812]);
    summary(got.modulated, [0.6317233832, 2.362323147]);
    summary(got.convs0, [110.0349436, 7.18713359]);
    summary(got.convs1, [40.06638791, 7.574278989]);
    summary(got.image, [-13.93406619, Math.sqrt(52.16810991)]);
    allClose(
      [0, 1, 2].map(c => got.image[c * 64]),
      [-0.4209273, 0.05904253, 0.4540667],
    );
    allClose(
      [3, 4, 5].map(c => got.image[c * 64 + 7 * 8 + 3]),
      [0.2147444, -0.2829341, 0.03577714],
    );
  });

  test('path length and its gradients: second order', async () => {
    const got = await read(gpu.device, () => {
      const { network, weights, ws } = build();
      const average = gpu.device.tensor([0.5], [1]);
      const y = filled(gpu.device, 400, [2, 3, 8, 8]);
      const result = pathLengthPenalty(latents => network.forward(latents), ws, y, average);
      const [jacobian] = ops.grad(ops.mul(ops.sum(ops.mul(network.forward(ws), y)), 1 / 8), [ws]);
      const gradients = ops.grad(ops.mul(result.penalty, 2), weights, { unused: 'none' });
      expect(gradients[10]).toBeUndefined();
      expect(gradients[24]).toBeUndefined();
      const reached = Object.entries(gradients).filter(([, gradient]) => gradient);
      return { ...result, jacobian, ...Object.fromEntries(reached) } as Record<string, Tensor>;
    });
    allClose(got.lengths, [0.1207038, 0.1020702]);
    allClose(got.jacobian.slice(5, 10), [-0.01504245, -0.01574703, -0.009045533, 0.00191022, 0.01196757]);
    close(got.mean[0], 0.4961138699);
    close(got.penalty[0], 0.1481015733);
    const want: Record<number, number[]> = {
      0: [5.707762e-5, 3.175976e-4],
      2: [3.454672e-4, 5.609952e-4],
      4: [-2.835869e-2, 1.741795e-1],
      5: [-2.586165e-2, 1.186904e-1],
      6: [1.839202e-1, 2.255731e-1],
      7: [7.942795e-2, 6.881642e-2],
      8: [1.211531e-2],
      9: [4.892874e-2, 2.855615e-2],
      11: [-9.832351e-2, 6.214667e-2],
      14: [2.10697e-1, 3.265253e-2],
      16: [-1.367456e-2, 1.504e-2],
      17: [2.244153e-1],
      18: [-6.405732e-2, 7.450079e-2],
      19: [-9.758214e-2, 9.29782e-2],
      22: [6.283439e-2],
      23: [3.768989e-3, 5.87544e-2],
      25: [1.894233e-3, 1.185862e-1],
      26: [-7.149344e-2, 5.152017e-2],
      27: [-1.229379e-1, 8.119473e-2],
    };
    for (const [t, expected] of Object.entries(want)) summary(got[t], expected);
  });

  test('first-order gradients of the projected image', async () => {
    const got = await read(gpu.device, () => {
      const { network, weights, ws } = build();
      const y = filled(gpu.device, 400, [2, 3, 8, 8], 1 / 8);
      return numbered(ops.grad(ops.sum(ops.mul(network.forward(ws), y)), weights));
    });
    const want: Record<number, number[]> = {
      0: [-4.126033e-3, 2.49459e-3],
      4: [5.406007e-1, 6.540625e-1],
      5: [-2.131509e-1, 4.793843e-1],
      6: [-2.016203e-2, 6.234658e-1],
      8: [-9.407393e-1],
      14: [-4.471949e-1, 9.863972e-2],
      15: [1.313941e-2, 2.487922e-2],
      17: [-2.364197],
      19: [2.459885, 4.741816e-1],
      24: [1.922602e-1, 1.26207e-1],
      25: [-8.806675e-1, 5.915154e-1],
      27: [9.055385e-1, 5.319809e-1],
    };
    for (const [t, expected] of Object.entries(want)) summary(got[Number(t)], expected);
  });
});
