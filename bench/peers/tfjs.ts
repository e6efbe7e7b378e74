/** TensorFlow.js, in its own layout: NHWC maps, [KH, KW, C, O] kernels. */
import { join } from 'node:path';
import { build } from 'esbuild';
import { settle } from '../../src/runtime/wait.ts';
import { classifier, convOperands, matmulOperands, trainingOperands, transposed, type Values } from './cases.ts';
import { becomePage } from './dawn.ts';
import { folder, requirePeer, versionOf } from './install.ts';
import { serve, type Work } from './process.ts';

// What is used of it; its own types are there only once it is installed.
interface Tensor {
  readonly shape: number[];
  data(): Promise<Float32Array>;
  dispose(): void;
}
interface Tf {
  setBackend(name: string): Promise<boolean>;
  backend(): { submitQueue(): void; commandEncoder: unknown; endComputePassEncoder(): void };
  env(): { set(flag: string, value: unknown): void };
  engine(): { runKernel(name: string, inputs: Record<string, Tensor>, attributes: object): Tensor };
  tidy<T>(body: () => T): T;
  tensor(data: Float32Array, shape: readonly number[]): Tensor;
  variable(value: Tensor): Tensor;
  conv2d(x: Tensor, w: Tensor, strides: number, pad: number): Tensor;
  matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  mean(x: Tensor, axes: number[]): Tensor;
  fused: {
    conv2d(options: {
      x: Tensor;
      filter: Tensor;
      strides: number;
      pad: number;
      bias: Tensor;
      activation: 'relu';
    }): Tensor;
  };
  losses: { softmaxCrossEntropy(labels: Tensor, logits: Tensor): Tensor };
  train: {
    adam(
      rate: number,
      beta1: number,
      beta2: number,
      epsilon: number,
    ): { minimize(loss: () => Tensor, returnCost: true, variables: Tensor[]): Tensor; dispose(): void };
  };
}

const MAP_AXES = [0, 2, 3, 1];
const KERNEL_AXES = [2, 3, 1, 0];
const BACK_FROM_MAP = [0, 3, 1, 2];
const BACK_FROM_KERNEL = [3, 2, 0, 1];

serve(async adapter => {
  const page = await becomePage(adapter);
  const tf = await load();
  await settle(tf.setBackend('webgpu'));

  const place = ({ shape, data }: Values, axes?: readonly number[]): Tensor => {
    const values = axes ? transposed({ shape, data }, axes) : { shape, data };
    return tf.tensor(values.data, values.shape);
  };
  const read = async (tensor: Tensor, axes?: readonly number[]) => {
    const data = await settle(tensor.data());
    return axes ? transposed({ shape: tensor.shape, data }, axes).data : data;
  };
  /** A function of operands; `axes` turn its results to our order. */
  const eager = (operands: Tensor[], body: () => Tensor[], axes: readonly (readonly number[] | undefined)[]): Work => ({
    run: times => {
      for (let i = 0; i < times; i++) tf.tidy(() => void body());
    },
    outputs: async () => {
      const results = tf.tidy(body);
      const outputs = [];
      for (const [i, result] of results.entries()) outputs.push(await read(result, axes[i]));
      for (const result of results) result.dispose();
      return outputs;
    },
    release: () => {
      for (const tensor of operands) tensor.dispose();
    },
  });
  const convolution = { strides: 1, pad: 1, dataFormat: 'NHWC', dimRoundingMode: undefined };

  return {
    adapter: page.adapter,
    version: versionOf('@tensorflow/tfjs-backend-webgpu')!,
    finish: async () => {
      // The backend collects dispatches before it submits them.
      const backend = tf.backend();
      if (backend.commandEncoder) {
        backend.endComputePassEncoder();
        backend.submitQueue();
      }
      await page.finish();
    },
    works: {
      conv2d: one => {
        const operands = convOperands(one);
        const [x, w] = [place(operands.x, MAP_AXES), place(operands.w, KERNEL_AXES)];
        return eager([x, w], () => [tf.conv2d(x, w, 1, 1)], [BACK_FROM_MAP]);
      },
      'conv2d gradients': one => {
        const operands = convOperands(one);
        const [x, g] = [place(operands.x, MAP_AXES), place(operands.g, MAP_AXES)];
        const w = place(operands.w, KERNEL_AXES);
        // The kernels that its autograd calls: tf.grads() would compute the forward convolution as well.
        const { runKernel } = tf.engine();
        const kernel = (name: string, inputs: Record<string, Tensor>, attributes: object) =>
          runKernel.call(tf.engine(), name, inputs, { ...convolution, ...attributes });
        return eager(
          [x, w, g],
          () => [
            kernel('Conv2DBackpropInput', { dy: g, filter: w }, { inputShape: x.shape }),
            kernel('Conv2DBackpropFilter', { x, dy: g }, { filterShape: w.shape }),
          ],
          [BACK_FROM_MAP, BACK_FROM_KERNEL],
        );
      },
      matmul: one => {
        const [a, b] = Object.values(matmulOperands(one)).map(values => place(values));
        return eager([a, b], () => [tf.matMul(a, b)], [undefined]);
      },
      training: () => {
        const operands = trainingOperands();
        const { images, classes, convolutions, adam, checkedSteps } = classifier;
        const x = place(operands.x, MAP_AXES);
        const oneHot = new Float32Array(images * classes);
        operands.labels.forEach((label, n) => {
          oneHot[n * classes + label] = 1;
        });
        const labels = tf.tensor(oneHot, [images, classes]);
        const parameters = operands.parameters.map(values =>
          tf.variable(place(values, values.shape.length === 4 ? KERNEL_AXES : undefined)),
        );
        const optimizer = tf.train.adam(adam.rate, adam.beta1, adam.beta2, adam.epsilon);
        const loss = () => {
          let y = x;
          for (const [i, { stride }] of convolutions.entries()) {
            const [filter, bias] = [parameters[2 * i], parameters[2 * i + 1]];
            y = tf.fused.conv2d({ x: y, filter, strides: stride, pad: 1, bias, activation: 'relu' });
          }
          const [weight, bias] = parameters.slice(-2);
          const logits = tf.add(tf.matMul(tf.mean(y, [1, 2]), weight, false, true), bias);
          return tf.losses.softmaxCrossEntropy(labels, logits);
        };
        const step = () => optimizer.minimize(loss, true, parameters);
        return {
          run: times => {
            for (let i = 0; i < times; i++) step().dispose();
          },
          outputs: async () => {
            const losses: number[] = [];
            while (losses.length < checkedSteps) {
              const cost = step();
              losses.push((await read(cost))[0]);
              cost.dispose();
            }
            return [losses];
          },
          release: () => {
            optimizer.dispose();
            for (const tensor of [x, labels, ...parameters]) tensor.dispose();
          },
        };
      },
    },
  };
});

/** tfjs as a page's bundler would put it together: its builds for Node come without the gradients of its operations. */
async function load(): Promise<Tf> {
  const outfile = join(folder, 'node_modules', '.cache', 'tfjs.cjs');
  await build({
    stdin: {
      contents: `
        export * from '@tensorflow/tfjs-core';
        import '@tensorflow/tfjs-core/dist/register_all_gradients';
        import '@tensorflow/tfjs-backend-webgpu';`,
      resolveDir: folder,
    },
    outfile,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    mainFields: ['module', 'main'],
    logLevel: 'error',
  });
  return requirePeer(outfile);
}
