/** jax-js: every case one function under jit, so that its kernels are fused. */
import { settle } from '../../src/runtime/wait.ts';
import { classifier, convOperands, matmulOperands, trainingOperands, type Values } from './cases.ts';
import { becomePage } from './dawn.ts';
import { requirePeer, versionOf } from './install.ts';
import { serve, type Work } from './process.ts';

// What is used of it; its own types are there only once it is installed.
/** Passing an array to a function uses up one reference; `ref` adds one. */
interface JaxArray {
  readonly ref: JaxArray;
  add(other: JaxArray | number): JaxArray;
  sub(other: JaxArray): JaxArray;
  mul(other: JaxArray | number): JaxArray;
  div(other: JaxArray): JaxArray;
  reshape(shape: number[]): JaxArray;
  data(): Promise<Float32Array>;
  dispose(): void;
  /** Submits what the array waits for, and uses up a reference. */
  gpuBufferSync(): GPUBuffer;
}
type Tree = JaxArray | Tree[];
interface Jax {
  init(device: 'webgpu'): Promise<string[]>;
  defaultDevice(device: 'webgpu'): void;
  jit<A extends Tree[], R extends Tree>(f: (...args: A) => R): ((...args: A) => R) & { dispose(): void };
  vjp(f: (...args: JaxArray[]) => JaxArray, primals: JaxArray[]): [JaxArray, (g: JaxArray) => JaxArray[]];
  valueAndGrad(f: (...args: never[]) => JaxArray): (...args: Tree[]) => [JaxArray, JaxArray[]];
  numpy: {
    array(values: Float32Array): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    matrixTranspose(a: JaxArray): JaxArray;
    mean(x: JaxArray, axes: number[]): JaxArray;
    sum(x: JaxArray): JaxArray;
    sqrt(x: JaxArray): JaxArray;
    exp(x: JaxArray): JaxArray;
  };
  nn: { relu(x: JaxArray): JaxArray; logSoftmax(x: JaxArray, axis: number): JaxArray };
  lax: { convGeneralDilated(x: JaxArray, w: JaxArray, strides: number[], padding: number[][]): JaxArray };
}

serve(async adapter => {
  const page = await becomePage(adapter);
  const jax: Jax = requirePeer('@jax-js/jax');
  const { numpy: np, nn, lax } = jax;
  await settle(jax.init('webgpu'));
  jax.defaultDevice('webgpu');

  const place = ({ shape, data }: Values) => np.array(data).reshape([...shape]);
  const conv = (x: JaxArray, w: JaxArray, stride = 1) =>
    lax.convGeneralDilated(
      x,
      w,
      [stride, stride],
      [
        [1, 1],
        [1, 1],
      ],
    );
  const compiled = (operands: JaxArray[], body: (...args: JaxArray[]) => JaxArray[]): Work => {
    const f = jax.jit(body);
    const call = () => f(...operands.map(({ ref }) => ref));
    return {
      run: times => {
        for (let i = 0; i < times; i++) for (const result of call()) result.gpuBufferSync();
      },
      outputs: async () => {
        const outputs: Float32Array[] = [];
        for (const result of call()) outputs.push(await settle(result.data()));
        return outputs;
      },
      release: () => {
        for (const array of operands) array.dispose();
        f.dispose();
      },
    };
  };

  return {
    adapter: page.adapter,
    version: versionOf('@jax-js/jax')!,
    finish: page.finish,
    works: {
      conv2d: one => {
        const { x, w } = convOperands(one);
        return compiled([x, w].map(place), (...[x, w]) => [conv(x, w)]);
      },
      'conv2d gradients': one => {
        const { x, w, g } = convOperands(one);
        return compiled([x, w, g].map(place), (...[x, w, g]) => {
          // jit drops the forward convolution, whose result nothing uses.
          const [y, backward] = jax.vjp((x, w) => conv(x, w), [x, w]);
          y.dispose();
          return backward(g);
        });
      },
      matmul: one => {
        const operands = Object.values(matmulOperands(one)).map(place);
        return compiled(operands, (...[a, b]) => [np.matmul(a, b)]);
      },
      training: () => {
        const operands = trainingOperands();
        const { images, classes, convolutions, adam, checkedSteps } = classifier;
        const x = place(operands.x);
        const oneHot = new Float32Array(images * classes);
        operands.labels.forEach((label, n) => {
          oneHot[n * classes + label] = 1;
        });
        const labels = np.array(oneHot).reshape([images, classes]);
        const lossOf = (parameters: JaxArray[], x: JaxArray, labels: JaxArray) => {
          let y = x;
          for (const [i, { out, stride }] of convolutions.entries()) {
            const bias = parameters[2 * i + 1].reshape([1, out, 1, 1]);
            y = nn.relu(conv(y, parameters[2 * i], stride).add(bias));
          }
          const [weight, bias] = parameters.slice(-2);
          const logits = np.matmul(np.mean(y, [2, 3]), np.matrixTranspose(weight)).add(bias);
          return np.sum(nn.logSoftmax(logits, -1).mul(labels)).mul(-1 / images);
        };
        const count = operands.parameters.length;
        // State: the parameters, the two moments of each, the step's number.
        const step = jax.jit((state: JaxArray[], x: JaxArray, labels: JaxArray): JaxArray[] => {
          const parameters = state.slice(0, count);
          const [loss, gradients] = jax.valueAndGrad(lossOf)(
            parameters.map(({ ref }) => ref),
            x,
            labels,
          );
          const t = state[3 * count].add(1);
          const correction = (beta: number) =>
            np
              .exp(t.ref.mul(Math.log(beta)))
              .mul(-1)
              .add(1);
          const [correction1, correction2] = [correction(adam.beta1), correction(adam.beta2)];
          const next: JaxArray[][] = [[], [], []];
          for (const [i, g] of gradients.entries()) {
            const m = state[count + i].mul(adam.beta1).add(g.ref.mul(1 - adam.beta1));
            const v = state[2 * count + i].mul(adam.beta2).add(g.ref.mul(g).mul(1 - adam.beta2));
            const deviation = np.sqrt(v.ref.div(correction2.ref)).add(adam.epsilon);
            next[0].push(parameters[i].sub(m.ref.div(correction1.ref).mul(adam.rate).div(deviation)));
            next[1].push(m);
            next[2].push(v);
          }
          correction1.dispose();
          correction2.dispose();
          return [loss, ...next.flat(), t];
        });
        const zeros = () => operands.parameters.map(({ shape, data }) => place({ shape, data: data.map(() => 0) }));
        let state = [
          ...operands.parameters.map(place),
          ...zeros(),
          ...zeros(),
          place({ shape: [1], data: new Float32Array(1) }),
        ];
        const advance = () => {
          const [loss, ...next] = step(state, x.ref, labels.ref);
          state = next;
          for (const array of state) array.ref.gpuBufferSync();
          return loss;
        };
        return {
          run: times => {
            for (let i = 0; i < times; i++) advance().gpuBufferSync();
          },
          outputs: async () => {
            const losses: number[] = [];
            while (losses.length < checkedSteps) losses.push((await settle(advance().data()))[0]);
            return [losses];
          },
          release: () => {
            for (const array of [x, labels, ...state]) array.dispose();
            step.dispose();
          },
        };
      },
    },
  };
});
