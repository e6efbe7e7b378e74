/** This library: every case a recorded program. */
import { readFileSync } from 'node:fs';
import * as ops from '../../src/autograd/index.ts';
import { Conv2d, Linear } from '../../src/models/layers.ts';
import { initialize, Module } from '../../src/models/module.ts';
import { Device } from '../../src/runtime/device.ts';
import { conv2d, conv2dWeightGradient, convTranspose2d } from '../../src/runtime/kernels/conv.ts';
import { matmul } from '../../src/runtime/kernels/matmul.ts';
import type { Tensor } from '../../src/runtime/tensor.ts';
import { Adam } from '../../src/train/optimizers.ts';
import { classifier, convOperands, matmulOperands, trainingOperands, type Values } from './cases.ts';
import { serve, type Work } from './process.ts';

class Classifier extends Module {
  private readonly convolutions: Conv2d[] = [];
  private readonly dense: Linear;

  constructor() {
    super();
    let inputs: number = classifier.channels;
    for (const [i, { out, stride }] of classifier.convolutions.entries()) {
      const options = { kernel: 3, stride, padding: 1, activation: { slope: 0 } };
      this.convolutions.push(this.child(`conv${i}`, new Conv2d(inputs, out, options)));
      inputs = out;
    }
    this.dense = this.child('dense', new Linear(inputs, classifier.classes));
  }

  forward(x: Tensor): Tensor {
    const features = this.convolutions.reduce((y, layer) => layer.forward(y), x);
    return this.dense.forward(ops.mean(features, { axes: [2, 3] }));
  }
}

serve(async adapter => {
  const device = await Device.open({ adapter });
  const place = ({ shape, data }: Values) => device.keep(device.tensor(data, shape));

  /** A function of kept operands as a program. */
  const recorded = (operands: readonly Tensor[], body: () => Tensor[]): Work => {
    const program = device.record('case', body);
    return {
      run: times => {
        for (let i = 0; i < times; i++) program.run();
      },
      outputs: () => Promise.all(program.run().map(tensor => tensor.read())),
      release: () => {
        program.release();
        for (const tensor of operands) device.discard(tensor);
        device.trim();
      },
    };
  };
  const geometry = { stride: [1, 1], padding: [1, 1], groups: 1 } as const;

  return {
    adapter: device.adapter.name,
    version: JSON.parse(readFileSync('package.json', 'utf8')).version,
    finish: () => device.finish(),
    works: {
      conv2d: one => {
        const [x, w] = [convOperands(one).x, convOperands(one).w].map(place);
        return recorded([x, w], () => [conv2d(x, w, geometry)]);
      },
      'conv2d gradients': one => {
        const operands = convOperands(one);
        const [x, w, g] = [operands.x, operands.w, operands.g].map(place);
        return recorded([x, w, g], () => [
          convTranspose2d(g, w, geometry, [one.size, one.size]),
          conv2dWeightGradient(x, g, geometry, [3, 3]),
        ]);
      },
      matmul: one => {
        const [a, b] = Object.values(matmulOperands(one)).map(place);
        return recorded([a, b], () => [matmul(a, b)]);
      },
      training: () => {
        const { x, labels, parameters } = trainingOperands();
        const { rate, beta1, beta2, epsilon } = classifier.adam;
        const network = new Classifier();
        initialize(network, device);
        for (const [i, { value }] of [...network.parameters().values()].entries()) {
          device.write(value, parameters[i].data);
        }
        const optimizer = new Adam(network, { betas: [beta1, beta2], epsilon });
        const operands = [
          place(x),
          device.keep(device.tensor(labels, [labels.length], 'u32')),
          device.keep(device.tensor([rate], [1])),
          device.keep(device.tensor([0], [1], 'u32')),
        ];
        const [images, classes, learningRate, gate] = operands;
        const step = recorded(operands, () => {
          const loss = ops.crossEntropy(network.forward(images), classes);
          optimizer.collect(ops.grad(loss, optimizer.variables));
          optimizer.step(learningRate, gate);
          return [loss];
        });
        return {
          ...step,
          outputs: async () => {
            const losses: number[] = [];
            while (losses.length < classifier.checkedSteps) losses.push((await step.outputs())[0][0]);
            return [losses];
          },
        };
      },
    },
  };
});
