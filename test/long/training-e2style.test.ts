/** The official sizes of E2Style: encoders for 256 pixels, generator for 1024, one training step of two stages. */
import { expect, test } from 'vitest';
import { applyEffects, pendingEffects } from '../../src/autograd/effects.ts';
import * as ops from '../../src/autograd/index.ts';
import { E2Style, type StageOutput } from '../../src/models/e2style.ts';
import { initialize } from '../../src/models/module.ts';
import { configF } from '../../src/models/stylegan2/config.ts';
import { Generator } from '../../src/models/stylegan2/generator.ts';
import { random } from '../../src/runtime/kernels/random.ts';
import type { Tensor } from '../../src/runtime/tensor.ts';
import { l2 } from '../../src/train/losses.ts';
import { checkFinite, Ranger } from '../../src/train/optimizers.ts';
import { useDevice } from '../device.ts';

const gpu = useDevice();
const GIB = 2 ** 30;

test('one step of two stages, greedily, with a generator of 1024 pixels', async () => {
  const { device } = gpu;
  const began = performance.now();
  const generator = new Generator(configF(1024));
  generator.freeze().eval();
  expect(generator.parameterCount).toBe(30_370_060);
  initialize(generator, device, { seed: 1 });
  // The published start of the heads: with zeros, a stage's first gradient would reach its last layers only.
  const network = new E2Style({ stages: 2, inputSize: 256, zeroInitRefineHeads: false });
  expect(network.encoders.map(encoder => encoder.parameterCount)).toEqual([98_028_096, 98_029_824]);
  const optimizers = network.encoders.map((encoder, i) => {
    initialize(encoder, device, { seed: 2 + i });
    return new Ranger(encoder);
  });
  const keys = ['input_layer.0.weight', 'body.20.res_layer.1.weight', 'output_layer_3.3.bias', 'output_layer_5.3.bias'];
  const buffer = 'input_layer.1.running_mean';
  const weights = () =>
    Promise.all(
      network.encoders.flatMap(encoder => [...keys, buffer].map(key => encoder.state().get(key)!.value.read())),
    );
  const before = await weights();

  const [rate, gate] = [device.keep(device.tensor([1e-4], [1])), device.keep(device.tensor([0], [1], 'u32'))];
  device.memory.resetPeak();
  const losses = device.scope('step', () => {
    const step = device.tensor([1], [1], 'u32');
    const images = random(device, [1, 3, 256, 256], 'uniform', { seed: 4, stream: 'images', step });
    const result: Tensor[] = [];
    let previous: StageOutput | undefined;
    for (let k = 1; k <= 2; k++) {
      // A stage's activations go back to the pool before the next one starts: memory is one stage deep.
      const stage = device.scope(`stage ${k}`, () => {
        const delta = network.stage(k, images, previous?.pooled);
        const latents = previous ? ops.add(delta, previous.latents) : delta;
        const image = generator.forward(latents);
        const output = { latents, image, pooled: network.facePool(image) };
        const loss = l2(images, output.pooled);
        const optimizer = optimizers[k - 1];
        optimizer.collect(ops.grad(loss, optimizer.variables));
        checkFinite([loss, ...optimizer.gradients], gate);
        const constant = {
          latents: ops.stopGradient(output.latents),
          image: ops.stopGradient(output.image),
          pooled: ops.stopGradient(output.pooled),
        };
        return { output: constant, loss: ops.stopGradient(loss), effects: pendingEffects() };
      });
      previous = stage.output;
      result.push(stage.loss);
    }
    for (const optimizer of optimizers) optimizer.step(rate, gate);
    applyEffects(gate);
    return result.map(loss => loss.read());
  });
  const values = (await Promise.all(losses)).map(([loss]) => loss);
  const peak = device.memory.peakBytes / GIB;
  console.log(
    `E2Style 2 × 256 → 1024: losses ${values.join(', ')}; ${Math.round((performance.now() - began) / 1000)} s, ` +
      `peak ${peak.toFixed(2)} GiB lent, ${(device.memory.reservedBytes / GIB).toFixed(2)} GiB in buffers`,
  );
  expect(values.every(Number.isFinite)).toBe(true);
  expect([...(await device.readU32(gate))]).toEqual([0]);
  expect(peak).toBeLessThan(20);
  expect(device.memory.reservedBytes / GIB).toBeLessThan(20);
  const after = await weights();
  after.forEach((values, i) => {
    const moved = values.filter((value, k) => value !== before[i][k]).length;
    expect(moved, `tensor ${i}`).toBeGreaterThan(values.length * 0.5);
    expect(values.every(Number.isFinite)).toBe(true);
  });
}, 3_600_000);
