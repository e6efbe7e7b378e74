import { describe, expect, test, vi } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { initialize, type Module } from '../src/models/module.ts';
import { Discriminator } from '../src/models/stylegan2/discriminator.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { repeatLatent } from '../src/models/stylegan2/latents.ts';
import { random } from '../src/runtime/kernels/random.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { pathLengthPenalty, r1Penalty } from '../src/train/adversarial.ts';
import { useDevice } from './device.ts';

// Finite differences say nothing about second derivatives through leaky ReLU, whose masks flip. So this file's networks
// have a smooth activation of the same kind in its place.
vi.mock('../src/autograd/ops/elementwise.ts', async importOriginal => {
  const original = await importOriginal<typeof import('../src/autograd/ops/elementwise.ts')>();
  const { add, affine, softplus } = original;
  return {
    ...original,
    biasedLeakyRelu: (x: Tensor, bias: Tensor, { slope = 0.2, gain = Math.SQRT2 } = {}) => {
      const y = add(x, bias);
      return affine(add(affine(y, slope, 0), affine(softplus(y), 1 - slope, 0)), gain, 0);
    },
  };
});
vi.mock('../src/autograd/ops/conv.ts', async importOriginal => {
  const original = await importOriginal<typeof import('../src/autograd/ops/conv.ts')>();
  const { biasedLeakyRelu } = await import('../src/autograd/ops/elementwise.ts');
  const { perChannel } = await import('../src/autograd/ops/shape.ts');
  return {
    ...original,
    conv2d: (...[x, weight, bias, { activation, ...options } = {}]: Parameters<typeof original.conv2d>) => {
      if (!activation) return original.conv2d(x, weight, bias, options);
      const y = original.conv2d(x, weight, undefined, options);
      return biasedLeakyRelu(y, perChannel(bias!, y), activation);
    },
  };
});
vi.mock('../src/autograd/ops/styled.ts', async importOriginal => {
  const original = await importOriginal<typeof import('../src/autograd/ops/styled.ts')>();
  const { biasedLeakyRelu, mul, multiplyAdd } = await import('../src/autograd/ops/elementwise.ts');
  const { perChannel, reshape } = await import('../src/autograd/ops/shape.ts');
  const { conv2d } = await import('../src/autograd/ops/conv.ts');
  const styledActivation = (x: Tensor, { demodulation, bias, noise }: ops.StyledOptions) => {
    const offset = mul(noise!.map, noise!.strength);
    const y = multiplyAdd(x, reshape(demodulation, [...demodulation.shape, 1, 1]), offset);
    return biasedLeakyRelu(y, perChannel(bias, x));
  };
  const styledConv2d = (x: Tensor, weight: Tensor, { styles, ...options }: ops.StyledConvOptions) => {
    const modulated = mul(x, reshape(styles, [...styles.shape, 1, 1]));
    return styledActivation(conv2d(modulated, weight, undefined, { padding: 1 }), options);
  };
  return { ...original, styledActivation, styledConv2d };
});

const config = { size: 8, channels: { 4: 6, 8: 5 }, wDim: 7, mappingLayers: 2 };
const gpu = useDevice();

function normal(name: string, shape: readonly number[]): Tensor {
  const step = gpu.device.tensor([0], [1], 'u32');
  return random(gpu.device, shape, 'normal', { seed: 2, stream: name, step });
}

/** Runs a function with other tensors in the place of a module's parameters: its weights as arguments. */
function withWeights<T>(module: Module, weights: readonly Tensor[], body: () => T): T {
  const parameters = [...module.parameters().values()];
  parameters.forEach((parameter, i) => {
    Object.defineProperty(parameter, 'value', { configurable: true, get: () => weights[i] });
  });
  try {
    return body();
  } finally {
    for (const parameter of parameters) Reflect.deleteProperty(parameter, 'value');
  }
}

/** A penalty on a gradient, of the network's own weights or of others in their place. */
interface Case {
  readonly network: Module;
  penalty(): Tensor;
}

function r1(): Case {
  const network = new Discriminator(config);
  initialize(network, gpu.device, { seed: 4 });
  const x = normal('images', [4, 3, 8, 8]);
  return { network, penalty: () => r1Penalty(images => network.forward(images), x).penalty };
}

function pathLength(): Case {
  const network = new Generator(config);
  initialize(network, gpu.device, { seed: 4 });
  for (const [key, { value }] of network.parameters()) {
    if (key.endsWith('noise.weight')) gpu.device.write(value, [0.3]);
  }
  const [z, y, average] = [normal('z', [2, 7]), normal('y', [2, 3, 8, 8]), gpu.device.tensor([0.2], [1])];
  return {
    network,
    penalty: () => {
      const ws = repeatLatent(network.mapping.forward(z), network.latents);
      return pathLengthPenalty(latents => network.forward(latents), ws, y, average).penalty;
    },
  };
}

async function read(body: () => Tensor[]): Promise<Float32Array[]> {
  return Promise.all(gpu.device.scope('test', () => body().map(tensor => tensor.read())));
}

describe.each([
  ['R1', r1],
  ['path length', pathLength],
])('%s', (_, build) => {
  test('its gradient is the same for weights in closures and for weights as arguments', async () => {
    let count = 0;
    const results = await read(() => {
      const { network, penalty } = build();
      const own = [...network.parameters().values()].map(({ value }) => value);
      const closure = ops.grad(penalty(), own, { unused: 'zero' });
      // Arguments that are leaves, and arguments that are computed from leaves.
      const leaves = own.map(weight => ops.variable(ops.stopGradient(weight)));
      const argument = ops.grad(withWeights(network, leaves, penalty), leaves, { unused: 'zero' });
      const computed = leaves.map(leaf => ops.mul(leaf, 1));
      const through = ops.grad(withWeights(network, computed, penalty), leaves, { unused: 'zero' });
      count = own.length;
      return [...closure, ...argument, ...through];
    });
    expect(results.slice(count, 2 * count)).toEqual(results.slice(0, count));
    expect(results.slice(2 * count)).toEqual(results.slice(0, count));
    expect(results.slice(0, count).some(gradient => Math.hypot(...gradient) > 1e-3)).toBe(true);
  });

  test('its gradient is that of finite differences', async () => {
    // Between the curvature of the path length (an error of 0.6 % at 1/64, falling with the step) and rounding in f32.
    const STEP = 1 / 1024;
    const values = await read(() => {
      const { network, penalty } = build();
      const weights = [...network.parameters()].map(([key, { value }]) => ({ key, value }));
      // One direction in the space of all weights, each as long as its own weight's scale.
      const directions = weights.map(({ key, value }) => {
        return ops.mul(normal(key, value.shape), /^style\..*weight/.test(key) ? 100 : 1);
      });
      const own = weights.map(({ value }) => value);
      const gradients = ops.grad(penalty(), own, { unused: 'zero' });
      const slope = gradients.map((g, i) => ops.sum(ops.mul(g, directions[i]))).reduce((a, b) => ops.add(a, b));
      const at = (t: number) => {
        const moved = own.map((weight, i) => ops.add(weight, ops.mul(directions[i], t)));
        return withWeights(network, moved, penalty);
      };
      return [slope, ...[-2, -1, 1, 2].map(k => at(k * STEP))];
    });
    const [slope, a, b, c, d] = values.map(value => value[0]);
    // The five-point rule: its error is of the fourth order in the step.
    const difference = (8 * (c - b) - (d - a)) / (12 * STEP);
    expect(Math.abs(slope)).toBeGreaterThan(1e-3);
    expect(Math.abs(difference - slope)).toBeLessThan(1e-3 * Math.abs(slope));
  });
});
