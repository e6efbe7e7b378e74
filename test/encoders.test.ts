import { describe, expect, test } from 'vitest';
import { applyEffects, discardEffects } from '../src/autograd/effects.ts';
import * as ops from '../src/autograd/index.ts';
import {
  ArcFaceHead,
  arcFaceLogits,
  CurricularFaceHead,
  curricularFaceLogits,
  RecognitionNetwork,
} from '../src/models/arcface.ts';
import { E2Style, E2StyleEncoder, type E2StyleEncoderOptions, styleSplit } from '../src/models/e2style.ts';
import { UNITS } from '../src/models/irse.ts';
import { initialize, type Module, readStateDict } from '../src/models/module.ts';
import { GradualStyleBlock, GradualStyleEncoder, WEncoder, WPlusEncoder } from '../src/models/psp.ts';
import { Device } from '../src/runtime/device.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { useDevice } from './device.ts';

const SMALL_32: E2StyleEncoderOptions = {
  channels: [32, 64, 128],
  units: [1, 1, 2],
  poolSize: 4,
  split: [4, 2, 2],
  styleDim: 128,
};

/** The values of what a function computes, whose temporaries go back to the pool. */
const values = (device: Device, body: () => Tensor): Promise<Float32Array> =>
  device.scope('test', () => ({ read: body().read() })).read;

const largest = (x: Float32Array) => x.reduce((max, value) => Math.max(max, Math.abs(value)), 0);

describe('parameters and state entries', () => {
  const small = [16, 32, 64, 128];
  const recognition = { channels: [32, 64, 128, 256], inputSize: 24, units: [1, 1, 2, 1], embedding: 128 };

  test.each<[string, () => Module, number, number]>([
    ['E2Style 1', () => new E2StyleEncoder({ materializeUnused: true }), 111_241_792, 406],
    ['E2Style k', () => new E2StyleEncoder({ inputChannels: 6, materializeUnused: true }), 111_243_520, 406],
    ['E2Style sketch', () => new E2StyleEncoder({ inputChannels: 1, materializeUnused: true }), 111_240_640, 406],
    ['E2Style labels', () => new E2StyleEncoder({ inputChannels: 19, materializeUnused: true }), 111_251_008, 406],
    ['E2Style small-32, 1', () => new E2StyleEncoder(SMALL_32), 2_050_976, 100],
    ['E2Style small-32, k', () => new E2StyleEncoder({ ...SMALL_32, inputChannels: 6 }), 2_051_840, 100],
    ['E2Style small-32, D 512', () => new E2StyleEncoder({ ...SMALL_32, styleDim: 512 }), 6_379_424, 100],
    ['pSp 18', () => new GradualStyleEncoder(), 267_136_704, 621],
    ['pSp 8', () => new GradualStyleEncoder({ styles: 8 }), 122_921_664, 481],
    ['pSp 19 channels', () => new GradualStyleEncoder({ inputChannels: 19 }), 267_145_920, 621],
    ['pSp ir 50', () => new GradualStyleEncoder({ mode: 'ir' }), 266_913_984, 573],
    ['pSp ir 100', () => new GradualStyleEncoder({ mode: 'ir', units: UNITS[100] }), 288_468_800, 898],
    ['pSp ir_se 152', () => new GradualStyleEncoder({ units: UNITS[152] }), 294_487_744, 1011],
    ['W encoder', () => new WEncoder(), 31_212_736, 387],
    ['W+ encoder', () => new WPlusEncoder(), 48_524_480, 394],
    [
      'pSp SMALL-32',
      () => new GradualStyleEncoder({ channels: small, units: [2, 2, 2, 2], inputSize: 32, styles: 8 }),
      2_916_704,
      193,
    ],
    [
      'pSp SMALL-64',
      () => new GradualStyleEncoder({ channels: small, units: [2, 2, 2, 2], inputSize: 64, styles: 10 }),
      5_311_072,
      229,
    ],
    ['IR-SE50', () => new RecognitionNetwork(), 43_797_696, 397],
    ['IR-SE50, not affine', () => new RecognitionNetwork({ affine: false }), 43_796_672, 395],
    ['IR-101', () => new RecognitionNetwork({ units: UNITS[100], mode: 'ir', affine: false }), 65_128_768, 672],
    ['recognition small-32', () => new RecognitionNetwork(recognition), 1_666_912, 112],
    [
      'recognition small-64',
      () => new RecognitionNetwork({ ...recognition, inputSize: 48, units: [2, 2, 3, 2], embedding: 256 }),
      3_706_048,
      172,
    ],
  ])('%s', (_, make, parameters, keys) => {
    const module = make();
    expect([module.parameterCount, module.state().size]).toEqual([parameters, keys]);
  });

  test('E2Style without the unused stage', () => {
    expect(new E2StyleEncoder().parameterCount).toBe(98_028_096);
    expect(new E2StyleEncoder({ inputChannels: 6 }).parameterCount).toBe(98_029_824);
    const stored = new E2StyleEncoder({ materializeUnused: true });
    const trained = [...stored.parameters().values()].filter(({ trainable }) => trainable);
    expect(trained.reduce((sum, { size }) => sum + size, 0)).toBe(98_028_096);
  });

  test('E2Style of three stages', () => {
    const network = new E2Style();
    expect(network.parameterCount).toBe(324_457_804 - 30_370_060);
    const roots = new Set([...network.state().keys()].map(key => key.split(/\.(?=input|output|body)/)[0]));
    expect([...roots]).toEqual(['encoder_firststage', 'encoder_refinestage_list.0', 'encoder_refinestage_list.1']);
  });
});

test.each([
  [18, [9, 5, 4]],
  [16, [8, 4, 4]],
  [14, [7, 4, 3]],
  [12, [6, 3, 3]],
  [10, [5, 3, 2]],
  [8, [4, 2, 2]],
])('E2Style splits %i styles as %j', (styles, split) => {
  expect(styleSplit(styles)).toEqual(split);
});

describe('E2Style', () => {
  const gpu = useDevice();

  /** A stand-in for the generator: images [B, 3, size, size] linear in the latents. */
  function linearGenerator(size: number): (latents: Tensor) => Tensor {
    const { device } = gpu;
    const values = Float32Array.from({ length: 3 * size * size * 128 }, (_, i) => Math.sin(i) / 128);
    const weight = device.keep(device.tensor(values, [3 * size * size, 128]));
    return latents => {
      const mean = ops.mean(latents, { axes: [1] });
      return ops.reshape(ops.linear(mean, weight), [latents.shape[0], 3, size, size]);
    };
  }

  const images = (size: number, batch = 2) =>
    gpu.device.tensor(
      Float32Array.from({ length: batch * 3 * size * size }, (_, i) => Math.cos(i * 0.37)),
      [batch, 3, size, size],
    );

  test('the coarse bias moves the first rows, and only them', async () => {
    const { device } = gpu;
    const encoder = new E2StyleEncoder({ ...SMALL_32, zeroInitHeads: true }).eval();
    initialize(encoder, device);
    device.write(encoder.state().get('output_layer_3.3.bias')!.value, new Float32Array(4 * 128).fill(1));
    const latents = await values(device, () => encoder.forward(images(32)));
    const rows = [...latents].flatMap((value, i) => (i % 128 === 0 ? [value] : []));
    expect(rows).toEqual([1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]);
  });

  test('a new stage is the identity, and a network not started at zero is not', async () => {
    const { device } = gpu;
    const generator = linearGenerator(64);
    const latentAverage = device.keep(
      device.tensor(
        Float32Array.from({ length: 128 }, (_, i) => Math.sin(i)),
        [128],
      ),
    );
    const run = async (zeroInitRefineHeads: boolean) => {
      const network = new E2Style({ ...SMALL_32, inputSize: 32, zeroInitRefineHeads });
      initialize(network, device, { seed: 1 });
      const reads = device.scope('test', () =>
        network
          .forward(images(32), { generator, latentAverage })
          .map(({ latents, image, pooled }) => [latents.read(), image.read(), pooled.read()]),
      );
      discardEffects();
      return Promise.all(reads.map(stage => Promise.all(stage)));
    };
    const [first, second, third] = await run(true);
    expect(second).toEqual(first);
    expect(third).toEqual(first);
    expect(first.every(x => x.every(Number.isFinite) && largest(x) > 0.01)).toBe(true);
    expect(first[2]).toHaveLength(2 * 3 * 32 * 32);
    const official = await run(false);
    expect(official[1][0]).not.toEqual(official[0][0]);
  });

  test('a stage reads the image first, then the previous one', async () => {
    const { device } = gpu;
    const network = new E2Style({ ...SMALL_32, inputSize: 32, zeroInitRefineHeads: false }).eval();
    initialize(network, device);
    const { got, want } = device.scope('test', () => {
      const [x, previous] = [images(32), ops.mul(images(32), 0.5)];
      const joined = ops.concat([x, previous], 1);
      return { got: network.stage(2, x, previous).read(), want: network.encoders[1].forward(joined).read() };
    });
    expect(await got).toEqual(await want);
    expect(() => network.stage(2, images(32))).toThrow(/stage 2 needs/);
    expect(() => network.stage(1, images(32), images(32))).toThrow(/stage 1 takes no/);
    expect(() => network.stage(4, images(32), images(32))).toThrow('there is no stage 4 in an E2Style of 3');
  });

  test('with detach, a stage is trained by its own loss alone', async () => {
    const { device } = gpu;
    const generator = linearGenerator(32);
    const network = new E2Style({ ...SMALL_32, inputSize: 32, zeroInitRefineHeads: false });
    initialize(network, device);
    const parameters = network.encoders.map(encoder => [...encoder.parameters().values()].map(({ value }) => value));
    /** Which stages' parameters the loss of stage j reaches, all of them and with gradients that are not all zero. */
    const reached = (detach: boolean, j: number) =>
      device.scope('test', () => {
        const outputs = network.forward(images(32), { generator, detach });
        discardEffects();
        const gradients = ops.grad(ops.mean(ops.square(outputs[j].pooled)), parameters.flat(), { unused: 'none' });
        let at = 0;
        return parameters.map(({ length }) => {
          const own = gradients.slice(at, at + length);
          at += length;
          return own.every(gradient => gradient === undefined) ? undefined : own.map(gradient => gradient?.read());
        });
      });
    for (let j = 0; j < 3; j++) {
      const stages = reached(true, j);
      expect(stages.map(gradients => gradients !== undefined)).toEqual([0, 1, 2].map(k => k === j));
      const magnitudes = await Promise.all(stages[j]!.map(async read => largest(await read!)));
      expect(Math.min(...magnitudes)).toBeGreaterThan(0);
    }
    expect(reached(false, 2).map(gradients => gradients !== undefined)).toEqual([true, true, true]);
  });

  test('the unused stage loads and is not run', async () => {
    const { device } = gpu;
    const run = (materializeUnused: boolean) => {
      const encoder = new E2StyleEncoder({ ...SMALL_32, materializeUnused }).eval();
      initialize(encoder, device, { seed: 3 });
      const before = device.dispatches;
      const read = values(device, () => encoder.forward(images(32)));
      return { read, dispatches: device.dispatches - before };
    };
    const [plain, stored] = [run(false), run(true)];
    expect(stored.dispatches).toBe(plain.dispatches);
    expect(await stored.read).toEqual(await plain.read);
  });
});

describe('map2style', () => {
  const gpu = useDevice();
  test('says when a map is too large for it', () => {
    const { device } = gpu;
    const block = new GradualStyleBlock(16, 16, 16);
    initialize(block, device);
    expect(() => device.scope('test', () => block.forward(device.empty([1, 16, 32, 32])))).toThrow(/2×2 pixels/);
  });
});

describe('adaptive pooling to 7', () => {
  const gpu = useDevice();
  test.each([
    [128, '0,19 18,37 36,55 54,74 73,92 91,110 109,128'],
    [64, '0,10 9,19 18,28 27,37 36,46 45,55 54,64'],
    [32, '0,5 4,10 9,14 13,19 18,23 22,28 27,32'],
    [4, '0,1 0,2 1,2 1,3 2,3 2,4 3,4'],
  ])('of %i rows', async (height, text) => {
    const { device } = gpu;
    const bins = text.split(' ').map(bin => bin.split(',').map(Number));
    const values = Float32Array.from({ length: height }, (_, i) => Math.sin(i * i));
    const weights = Float32Array.from([1, -2, 3, 0.5, -1, 2, -3]);
    const { pooled, gradient } = device.scope('test', () => {
      const x = ops.variable(device.tensor(values, [1, 1, height, 1]));
      const y = ops.adaptiveAvgPool2d(x, [7, 1]);
      const loss = ops.sum(ops.mul(y, device.tensor(weights, [1, 1, 7, 1])));
      return { pooled: y.read(), gradient: ops.grad(loss, [x])[0].read() };
    });
    const want = bins.map(([from, to]) => values.slice(from, to).reduce((sum, value) => sum + value, 0) / (to - from));
    [...(await pooled)].forEach((value, i) => {
      expect(value).toBeCloseTo(want[i], 5);
    });
    // The function is linear: its difference quotient at each row is exact for any step.
    [...(await gradient)].forEach((value, row) => {
      const shares = bins.map(([from, to], i) => (row >= from && row < to ? weights[i] / (to - from) : 0));
      expect(value).toBeCloseTo(
        shares.reduce((a, b) => a + b, 0),
        5,
      );
    });
  });
});

test('the five features of the recognition network, in training too', async () => {
  const device = await Device.open();
  const network = new RecognitionNetwork({
    inputSize: 24,
    channels: [32, 64, 128, 256],
    units: [1, 1, 2, 1],
    embedding: 128,
  });
  initialize(network, device);
  const shapes = device.scope('test', () => network.features(device.empty([2, 3, 24, 24])).map(({ shape }) => shape));
  discardEffects();
  device.destroy();
  expect(shapes).toEqual([32 * 144, 64 * 36, 128 * 9, 256 * 4, 128].map(size => [2, size]));
});

describe('margin heads', () => {
  const gpu = useDevice();
  const tensor = (values: number[], shape: number[]) => gpu.device.tensor(values, shape);
  const labels = (values: number[]) => gpu.device.tensor(values, [values.length], 'u32');

  test('the target logit of ArcFace', async () => {
    const cosines = [1, 0.9, 0.5, 0, -0.5, -0.8775, -0.8776, -1];
    const want = [56.1653, 37.1742, 1.5102, -30.6832, -54.6551, -64, -71.508, -79.3417];
    const easy = [56.1653, 37.1742, 1.5102, 0, -32, -56.16, -56.1664, -64];
    const run = (easyMargin: boolean) =>
      values(gpu.device, () => arcFaceLogits(tensor(cosines, [8, 1]), labels(cosines.map(() => 0)), { easyMargin }));
    const [got, gotEasy] = [await run(false), await run(true)];
    cosines.forEach((_, i) => {
      expect(got[i]).toBeCloseTo(want[i], 2);
      expect(gotEasy[i]).toBeCloseTo(easy[i], 2);
    });
  });

  test.each([
    [[0.6, 0.2, -0.1], [9.1526, 12.8, -6.4], 3.67314],
    [[0.3, 0.2, -0.1], [-12.4204, 12.8, -6.4], 25.22036],
  ])('the loss of ArcFace at %j', async (cosines, logits, entropy) => {
    const { got, loss } = gpu.device.scope('test', () => {
      const result = arcFaceLogits(tensor(cosines, [1, 3]), labels([0]));
      return { got: result.read(), loss: ops.crossEntropy(result, labels([0])).item() };
    });
    [...(await got)].forEach((value, i) => {
      expect(value).toBeCloseTo(logits[i], 3);
    });
    expect(await loss).toBeCloseTo(entropy, 4);
  });

  test('the loss of CurricularFace', async () => {
    const { got, loss } = gpu.device.scope('test', () => {
      const result = curricularFaceLogits(tensor([0.3, 0.2, -0.1], [1, 3]), labels([0]), tensor([0.003], [1]));
      return { got: result.read(), loss: ops.crossEntropy(result, labels([0])).item() };
    });
    [...(await got)].forEach((value, i) => {
      expect(value).toBeCloseTo([-12.42035, 2.5984, 0.6208][i], 4);
    });
    expect(await loss).toBeCloseTo(15.14838, 4);
  });

  test('CurricularFace compares with cos(θ + m) even where the target is on the straight line', async () => {
    // cos θ = -0.95: the line gives -1.1897, cos(θ + m) = -0.9834; a negative at -0.99 is above the one, not the other.
    const got = await values(gpu.device, () =>
      curricularFaceLogits(tensor([-0.95, -0.99], [1, 2]), labels([0]), tensor([0.5], [1]), { scale: 1 }),
    );
    expect(got[0]).toBeCloseTo(-1.18971, 4);
    expect(got[1]).toBeCloseTo(-0.99, 6);
  });

  test('t moves by a hundredth before its use, once the step is known to be finite', async () => {
    const { device } = gpu;
    const head = new CurricularFaceHead(2, 3);
    initialize(head, device);
    // Class directions of unit length, so that the cosines of the embedding (1, 0) are 0.3, 0.2 and -0.1.
    const cosines = [0.3, 0.2, -0.1];
    const sines = cosines.map(c => Math.sqrt(1 - c * c));
    device.write(
      head.state().get('kernel')!.value,
      [...cosines, ...sines].map(value => value * 5),
    );
    const step = async (gate: number) => {
      const [loss] = await values(device, () => {
        const result = head.loss(tensor([7, 0], [1, 2]), labels([0]));
        applyEffects(device.tensor([gate], [1], 'u32'));
        return result;
      });
      return loss;
    };
    expect(await step(1)).toBeCloseTo(15.14838, 3);
    expect((await readStateDict(head)).get('t')!.data[0]).toBe(0);
    expect(await step(0)).toBeCloseTo(15.14838, 3);
    expect((await readStateDict(head)).get('t')!.data[0]).toBeCloseTo(0.003, 6);
    await step(0);
    expect((await readStateDict(head)).get('t')!.data[0]).toBeCloseTo(0.00597, 6);
    head.eval();
    await step(0);
    expect((await readStateDict(head)).get('t')!.data[0]).toBeCloseTo(0.00597, 6);
  });

  // CurricularFace jumps where a negative becomes hard: few classes, so that none does within the step.
  test.each([
    ['ArcFace', ArcFaceHead, 2000],
    ['CurricularFace', CurricularFaceHead, 12],
  ] as const)('gradients of %s by differences', async (_, Head, classes) => {
    const { device } = gpu;
    const [batch, size] = [3, 8];
    const head = new Head(size, classes, { scale: 8, margin: 0.3 }).eval();
    initialize(head, device, { seed: 5 });
    const embeddings = Float32Array.from({ length: batch * size }, (_, i) => Math.sin(3 * i + 1));
    const direction = embeddings.map((_, i) => Math.cos(2 * i));
    const lossAt = async (step: number) => {
      const moved = [...embeddings.map((value, i) => value + step * direction[i])];
      return (await values(device, () => head.loss(tensor(moved, [batch, size]), labels([0, classes - 1, 7]))))[0];
    };
    const { gradient, kernel } = device.scope('test', () => {
      const x = ops.variable(tensor([...embeddings], [batch, size]));
      const weight = head.state().get('kernel')!.value;
      const [gx, gk] = ops.grad(head.loss(x, labels([0, classes - 1, 7])), [x, weight]);
      return { gradient: gx.read(), kernel: gk.read() };
    });
    const slope = (await gradient).reduce((sum, value, i) => sum + value * direction[i], 0);
    const step = 0.01;
    const difference = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
    expect(slope).toBeCloseTo(difference, 3);
    expect(Math.abs(slope)).toBeGreaterThan(0.05);
    expect((await kernel).every(Number.isFinite)).toBe(true);
  });

  test('a target at distance 0 has a finite gradient', async () => {
    const gradient = await values(gpu.device, () => {
      const cosines = ops.variable(tensor([1, -1, 1, 1], [2, 2]));
      return ops.grad(ops.sum(arcFaceLogits(cosines, labels([0, 1]))), [cosines])[0];
    });
    expect([...gradient].every(Number.isFinite)).toBe(true);
  });
});
