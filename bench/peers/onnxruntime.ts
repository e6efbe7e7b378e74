/**
 * ONNX Runtime's WebGPU execution provider. It brings a Dawn of its own, whose waiting blocks on the driver's fence
 * instead of polling, so there is nothing to throttle. A session refuses to be made where a node would go to the CPU
 * provider (disable_cpu_ep_fallback); operands and results stay on the device. A WebGPU error makes a run fail.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { unpackSwiftshader } from '../../src/runtime/swiftshader.node.ts';
import { driverManifests, prepareVulkan } from '../../src/runtime/vulkan.node.ts';
import { convOperands, matmulOperands, transposed, type Values } from './cases.ts';
import { requirePeer, versionOf } from './install.ts';
import { type Node, onnxModel, type Shapes } from './onnx.ts';
import { serve, type Work } from './process.ts';

// What is used of it; its own types are there only once it is installed.
interface OrtTensor {
  readonly data: Float32Array;
  dispose(): void;
}
type Tensors = Record<string, OrtTensor>;
interface Session {
  run(feeds: Tensors): Promise<Tensors>;
  release(): Promise<void>;
}
interface Ort {
  Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => OrtTensor;
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
}

serve(async adapter => {
  prepareVulkan();
  if (process.platform === 'linux') process.env.VK_DRIVER_FILES = manifestsFor(adapter).join(':');
  const ort: Ort = requirePeer('onnxruntime-node');
  const session = (model: Uint8Array, location: 'cpu' | 'gpu-buffer') =>
    ort.InferenceSession.create(model, {
      // Twice as fast as NCHW on lavapipe; the transpositions between are its own.
      executionProviders: [{ name: 'webgpu', preferredLayout: 'NHWC' }],
      extra: { session: { disable_cpu_ep_fallback: '1' } },
      preferredOutputLocation: location,
      logSeverityLevel: 3,
    });
  const tensor = ({ shape, data }: Values) => new ort.Tensor('float32', data, shape);
  const copy = (shape: readonly number[], location: 'cpu' | 'gpu-buffer') =>
    session(onnxModel([{ op: 'Identity', inputs: ['a'], output: 'b' }], { a: shape }, { b: shape }), location);
  /** A tensor on the device: what a session gives that copies. */
  const place = async (values: Values) => {
    const copying = await copy(values.shape, 'gpu-buffer');
    const { b } = await copying.run({ a: tensor(values) });
    await copying.release();
    return b;
  };
  const read = async (shape: readonly number[], a: OrtTensor) => {
    const copying = await copy(shape, 'cpu');
    const { b } = await copying.run({ a });
    await copying.release();
    return b.data;
  };
  const graph = async (
    nodes: readonly Node[],
    inputs: Readonly<Record<string, Values>>,
    outputs: Shapes,
    constants?: Readonly<Record<string, Values>>,
  ): Promise<Work> => {
    const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, shape]));
    const running = await session(onnxModel(nodes, shapes, outputs, constants), 'gpu-buffer');
    const feeds: Tensors = {};
    for (const [name, values] of Object.entries(inputs)) feeds[name] = await place(values);
    return {
      run: async times => {
        for (let i = 0; i < times; i++) for (const y of Object.values(await running.run(feeds))) y.dispose();
      },
      outputs: async () => {
        const results = await running.run(feeds);
        const values: Float32Array[] = [];
        for (const [name, shape] of Object.entries(outputs)) values.push(await read(shape, results[name]));
        for (const result of Object.values(results)) result.dispose();
        return values;
      },
      release: () => {
        for (const feed of Object.values(feeds)) feed.dispose();
        void running.release();
      },
    };
  };
  const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] };

  // A result in the host's memory is there once the queue before it is done.
  const probe = await session(onnxModel([{ op: 'Neg', inputs: ['a'], output: 'b' }], { a: [1] }, { b: [1] }), 'cpu');
  const one = tensor({ shape: [1], data: new Float32Array(1) });
  const finish = async () => void (await probe.run({ a: one }));
  await finish();

  return {
    adapter: loadedDrivers().join(', '),
    version: versionOf('onnxruntime-node')!,
    finish,
    works: {
      conv2d: one => {
        const { x, w, g } = convOperands(one);
        return graph([{ op: 'Conv', inputs: ['x', 'w'], output: 'y', attributes }], { x }, { y: g.shape }, { w });
      },
      // The gradient in the input is a convolution with the channels of the weight exchanged and its taps reversed,
      // which is faster than ConvTranspose here; that in the weight one with images and channels exchanged and g as the
      // kernel.
      'conv2d gradients': one => {
        const { x, w, g } = convOperands(one);
        const exchange = { perm: [1, 0, 2, 3] };
        const large = { kernel_shape: [one.size, one.size], pads: [1, 1, 1, 1], strides: [1, 1] };
        return graph(
          [
            { op: 'Conv', inputs: ['g', 'wt'], output: 'dx', attributes },
            { op: 'Transpose', inputs: ['x'], output: 'xt', attributes: exchange },
            { op: 'Transpose', inputs: ['g'], output: 'gt', attributes: exchange },
            { op: 'Conv', inputs: ['xt', 'gt'], output: 'dwt', attributes: large },
            { op: 'Transpose', inputs: ['dwt'], output: 'dw', attributes: exchange },
          ],
          { x, g },
          { dx: x.shape, dw: w.shape },
          { wt: reversed(transposed(w, [1, 0, 2, 3])) },
        );
      },
      matmul: one => {
        const { a, b } = matmulOperands(one);
        const c = [one.size, one.size];
        return graph([{ op: 'MatMul', inputs: ['a', 'b'], output: 'c' }], { a }, { c }, { b });
      },
      training: 'it has no gradients',
    },
  };
});

/** A weight [O, C, 3, 3] with the taps of each plane in reverse. */
function reversed({ shape, data }: Values): Values {
  return { shape, data: data.map((_, i) => data[9 * Math.floor(i / 9) + 8 - (i % 9)]) };
}

/** The driver of the adapter that ours chose. */
function manifestsFor(adapter = ''): string[] {
  if (/swiftshader/i.test(adapter)) return [unpackSwiftshader().manifest];
  const isLavapipe = (path: string) => basename(path).startsWith('lvp');
  return driverManifests().filter(path => isLavapipe(path) === /llvmpipe/i.test(adapter));
}

/** The Vulkan drivers that this process has loaded, which tell what Dawn computes with. */
function loadedDrivers(): string[] {
  if (process.platform !== 'linux') return ['its own choice'];
  const maps = readFileSync('/proc/self/maps', 'utf8');
  return [...new Set([...maps.matchAll(/\/(lib(?:vulkan_|vk_|GLX_)\w+\.so)/g)].map(([, name]) => name))];
}
