import { describe, expect, test } from 'vitest';
import {
  add,
  grad,
  mean,
  mul,
  perceptualDistance,
  square,
  sub,
  sum,
  unitChannels,
  variable,
} from '../src/autograd/index.ts';
import { fillValues, v } from '../src/cli/goldens/format.ts';
import { RecognitionNetwork } from '../src/models/arcface.ts';
import { Lpips, LpipsLike } from '../src/models/lpips.ts';
import { initialize, loadStateDict, type Module, release } from '../src/models/module.ts';
import { ParsingUNet } from '../src/models/parsing.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import {
  cropFace,
  faceWindow,
  IdLoss,
  LpipsLoss,
  l2,
  multiLayerCosine,
  ParsingLoss,
  wNorm,
} from '../src/train/losses.ts';
import { msssim, msssimHyperstyle, msssimUnit, ssim } from '../src/train/ssim.ts';
import { useDevice } from './device.ts';

const gpu = useDevice();

const filled = (shape: number[], seed: number, scale = 1) =>
  gpu.device.tensor(fillValues({ shape, scale, shift: 0, seed }), shape);

/** The recognition network of 32 × 32 images. */
const smallRecognition = () =>
  new RecognitionNetwork({ inputSize: 24, channels: [32, 64, 128, 256], units: [1, 1, 2, 1], embedding: 128 });

const trunkParameters = (module: Module) =>
  [...module.parameters()].reduce((n, [key, { size }]) => (key.startsWith('net.') ? n + size : n), 0);

describe('networks of the losses', () => {
  test('the parsing U-Net has the official number of parameters and state entries', () => {
    expect(new ParsingUNet().parameterCount).toBe(1_944_355);
    expect(new ParsingUNet().state().size).toBe(136);
    expect(new ParsingUNet({ featureScale: 8 }).parameterCount).toBe(487_451);
  });

  test('the encoder alone has the encoder’s keys of the whole', () => {
    const whole = [...new ParsingUNet().state().keys()];
    const encoder = [...new ParsingUNet({ decoder: false }).state().keys()];
    expect(encoder).toEqual(whole.filter(key => !key.startsWith('up_') && !key.startsWith('final')));
    expect(() => new ParsingUNet({ decoder: false }).forward(filled([1, 3, 16, 16], 1))).toThrow('without its decoder');
  });

  test.each([
    ['alex', 2_469_696, [64, 192, 384, 256, 256]],
    ['vgg', 14_714_688, [64, 128, 256, 512, 512]],
    ['squeeze', 722_496, [64, 128, 256, 384, 384, 512, 512]],
  ] as const)('LPIPS on %s has the official trunk and linear layers', (net, parameters, channels) => {
    const lpips = new Lpips({ net });
    expect(trunkParameters(lpips)).toBe(parameters);
    const lin = [...lpips.parameters()].filter(([key]) => key.startsWith('lin'));
    expect(lin.map(([key, { shape }]) => [key, shape])).toEqual(
      channels.map((c, k) => [`lin${k}.model.1.weight`, [1, c, 1, 1]]),
    );
    expect(lpips.state().has('net.slice2.3.squeeze.bias')).toBe(net === 'squeeze');
  });

  test('taps have the sizes of the specification', () => {
    const device = gpu.device;
    const sizes = (module: Module & { features(x: Tensor): Tensor[] }, size: number) => {
      initialize(module, device);
      const shapes = device.scope('taps', () =>
        module.features(filled([1, 3, size, size], 1)).map(tap => tap.shape[2]),
      );
      release(module);
      return shapes;
    };
    expect(sizes(new Lpips(), 64)).toEqual([15, 7, 3, 3, 3]);
    expect(sizes(new Lpips(), 32)).toEqual([7, 3, 1, 1, 1]);
    expect(sizes(new Lpips({ net: 'squeeze' }), 64)).toEqual([31, 15, 7, 3, 3, 3, 3]);
    expect(sizes(new Lpips({ net: 'squeeze' }), 32)).toEqual([15, 7, 3, 1, 1, 1, 1]);
    expect(sizes(new LpipsLike(), 32)).toEqual([32, 16, 8, 4, 2]);
  });
});

describe('multi-layer cosine', () => {
  const maps = (seed: number) => [
    filled([3, 4, 8, 8], seed),
    filled([3, 8, 4, 4], seed + 1),
    filled([3, 20], seed + 2),
  ];

  test('equal features give 0 in every layer, whatever their length', async () => {
    const features = maps(1);
    for (const outputs of [features, features.map(map => mul(map, 3))]) {
      const { perLayer } = multiLayerCosine(features, outputs);
      for (const term of await perLayer.read()) expect(Math.abs(term)).toBeLessThan(1e-5);
    }
  });

  test('a scaled side changes nothing; the loss is the sum over layers of the mean over samples', async () => {
    const [a, b] = [maps(1), maps(11)];
    const { loss, perLayer } = multiLayerCosine(a, b);
    const other = multiLayerCosine(
      a,
      b.map(map => mul(map, 3)),
    );
    const terms = await perLayer.read();
    (await other.perLayer.read()).forEach((term, i) => {
      expect(term).toBeCloseTo(terms[i], 6);
    });
    expect(await loss.item()).toBeCloseTo(terms[0] + terms[1] + terms[2], 5);
    const [x, y] = [await a[2].read(), await b[2].read()];
    let expected = 0;
    for (let n = 0; n < 3; n++) {
      let [xy, xx, yy] = [0, 0, 0];
      for (let i = 20 * n; i < 20 * (n + 1); i++) {
        xy += x[i] * y[i];
        xx += x[i] ** 2;
        yy += y[i] ** 2;
      }
      expected += (1 - xy / Math.sqrt(xx * yy)) / 3;
    }
    expect(terms[2]).toBeCloseTo(expected, 6);
  });

  test('two maps of zeros give loss 1 and no gradient', async () => {
    const zero = variable(gpu.device.tensor(new Float32Array(12), [2, 6]));
    const { loss } = multiLayerCosine([filled([2, 6], 1)], [zero]);
    const dead = multiLayerCosine([gpu.device.tensor(new Float32Array(12), [2, 6])], [zero]);
    expect(await dead.loss.item()).toBe(1);
    expect(await loss.item()).toBe(1);
    expect([...(await grad(dead.loss, [zero])[0].read())]).toEqual(Array(12).fill(0));
  });
});

describe('LPIPS', () => {
  test('one pixel: (3, 4) against (4, 3) with weights (1, 2) is 0.12', async () => {
    const { device } = gpu;
    const [a, b] = [device.tensor([3, 4], [1, 2, 1, 1]), device.tensor([4, 3], [1, 2, 1, 1])];
    const lin = device.tensor([1, 2], [1, 2, 1, 1]);
    expect(await perceptualDistance([a], [b], [lin]).item()).toBeCloseTo(0.12, 6);
  });

  test('on AlexNet filled by the rule: distances, and sums of the normalised taps', async () => {
    const { device } = gpu;
    const lpips = new Lpips();
    initialize(lpips, device);
    const values = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    let seed = 1;
    for (const [key, { shape, size, value }] of lpips.state()) {
      if (key.startsWith('lin')) {
        const data = Float32Array.from({ length: size }, (_, i) => Math.abs(v(i, Number(key[3]) + 1)));
        values.set(key, { shape, data });
      } else if (key.startsWith('net')) {
        const scale = key.endsWith('bias') ? 0.1 : Math.sqrt(3 / (size / shape[0]));
        values.set(key, { shape, data: fillValues({ shape: [...shape], scale, shift: 0, seed: seed++ }) });
      } else values.set(key, { shape, data: await value.read() });
    }
    loadStateDict(lpips, values);
    const criterion = new LpipsLoss(lpips);
    const [x, y] = [filled([2, 3, 64, 64], 1000), filled([2, 3, 64, 64], 1001)];
    const target = criterion.target(y);
    const { loss, perImage } = criterion.compare(target, x);
    expect(await loss.item()).toBeCloseTo(1.5866687, 5);
    const [first, second] = await perImage.read();
    expect(first).toBeCloseTo(1.6026232, 5);
    expect(second).toBeCloseTo(1.5707141, 5);
    const sums = await Promise.all(criterion.target(x).map(tap => sum(unitChannels(tap)).item()));
    [2099.5626, 790.2067, 208.3428, 167.8991, 175.2991].forEach((want, tap) => {
      expect(sums[tap] / want).toBeCloseTo(1, 5);
    });
    expect(await criterion.compare(target, y).loss.item()).toBe(0);
    release(lpips);
  });

  test('features that are all zero have finite gradients of first and second order', async () => {
    const f = variable(gpu.device.tensor([0, 0, 0, 3, 0, 0, 0, 4], [1, 2, 2, 2]));
    const target = filled([1, 2, 2, 2], 5);
    const distance = perceptualDistance([f], [target], [gpu.device.tensor([1, 2], [1, 2, 1, 1])]);
    const [first] = grad(distance, [f], { createGraph: true });
    for (const gradient of [first, ...grad(distance, [f])]) {
      const values = await gradient.read();
      expect([...values].map(Number.isFinite)).not.toContain(false);
      expect([0, 1, 2, 4, 5, 6].map(i => Math.abs(values[i]))).toEqual(Array(6).fill(0));
      expect(Math.abs(values[3])).toBeGreaterThan(1e-3);
    }
    const [second] = grad(sum(first), [f]);
    expect([...(await second.read())].map(Number.isFinite)).not.toContain(false);
  });

  test('LPIPS-like(self) weighs every channel of a tap by 1/C', async () => {
    const { device } = gpu;
    const network = new LpipsLike();
    initialize(network, device, { seed: 3 });
    const [x, y] = [network.features(filled([2, 3, 32, 32], 1)), network.features(filled([2, 3, 32, 32], 2))];
    const parts = x.map((tap, k) => {
      const difference = sub(unitChannels(tap), unitChannels(y[k]));
      return mul(sum(square(difference), { axes: [1, 2, 3] }), tap.shape[0] / tap.size).read();
    });
    const expected = (await Promise.all(parts)).reduce((total, part) => total.map((value, i) => value + part[i]));
    const distance = await network.distance(x, y).read();
    expect(distance[0]).toBeGreaterThan(0.01);
    distance.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i], 6);
    });
    release(network);
  });
});

describe('losses of images', () => {
  const networks = () => {
    const [id, parsing, perceptual] = [
      smallRecognition(),
      new ParsingUNet({ featureScale: 8, decoder: false }),
      new LpipsLike(),
    ];
    for (const network of [id, parsing, perceptual]) initialize(network, gpu.device, { seed: 1 });
    return { id: new IdLoss(id), parsing: new ParsingLoss(parsing), lpips: new LpipsLoss(perceptual) };
  };

  test('an image has no distance from itself, and another image has one', async () => {
    const { id, parsing, lpips } = networks();
    const [x, y] = [filled([2, 3, 32, 32], 1), filled([2, 3, 32, 32], 2)];
    for (const criterion of [id, parsing]) {
      const { perLayer } = criterion.compare(criterion.target(x), x);
      expect(perLayer.shape).toEqual([5]);
      for (const term of await perLayer.read()) expect(Math.abs(term)).toBeLessThan(1e-5);
      expect(await criterion.compare(criterion.target(x), y).loss.item()).toBeGreaterThan(1e-3);
    }
    expect(await lpips.compare(lpips.target(x), y).loss.item()).toBeGreaterThan(1e-3);
    expect(await lpips.compare(lpips.target(x), x).loss.item()).toBe(0);
    expect(await l2(x, x).item()).toBe(0);
  });

  test('gradients flow to the output only, and the networks take none', async () => {
    const { id, parsing, lpips } = networks();
    const target = variable(filled([2, 3, 32, 32], 1));
    const output = variable(filled([2, 3, 32, 32], 2));
    const losses = [id, parsing, lpips].map(criterion => criterion.compare(criterion.target(target), output).loss);
    for (const loss of [...losses, l2(target, output)]) {
      const [toTarget, toOutput] = grad(loss, [target, output], { unused: 'none' });
      expect(toTarget).toBeUndefined();
      const values = await toOutput!.read();
      expect([...values].map(Number.isFinite)).not.toContain(false);
      expect(values.some(value => value !== 0)).toBe(true);
    }
  });

  test('the identity loss of the embedding alone is the last term of all', async () => {
    const network = smallRecognition();
    initialize(network, gpu.device, { seed: 1 });
    const [x, y] = [filled([2, 3, 32, 32], 1), filled([2, 3, 32, 32], 2)];
    const [all, one] = [new IdLoss(network), new IdLoss(network, { layers: 'embedding' })];
    const terms = await all.compare(all.target(x), y).perLayer.read();
    expect(await one.compare(one.target(x), y).loss.item()).toBeCloseTo(terms[4], 6);
    release(network);
  });

  test('W-norm: the mean norm over all rows, its gradient 0 where the latent is the average', async () => {
    expect(await wNorm(filled([2, 3, 4], 1000)).item()).toBeCloseTo(2.0331366, 6);
    const latent = variable(filled([1, 3, 4], 7));
    const loss = wNorm(latent, filled([3, 4], 7));
    expect(await loss.item()).toBe(0);
    expect([...(await grad(loss, [latent])[0].read())].map(Math.abs)).toEqual(Array(12).fill(0));
  });

  test('the face window is the published one, scaled', async () => {
    expect(faceWindow(256)).toEqual([35, 223, 32, 220]);
    expect(faceWindow(64)).toEqual([8, 56, 8, 56]);
    expect(faceWindow(32)).toEqual([4, 28, 4, 28]);
    // A ramp along x, so that the 188 columns of the window hold 0 to 187.
    const ramp = Float32Array.from({ length: 256 * 256 }, (_, i) => (i % 256) - 32);
    const face = cropFace(gpu.device.tensor(ramp, [1, 1, 256, 256]), 112);
    const row = (await face.read()).slice(0, 112);
    expect([...row.slice(0, 10)]).toEqual([0.5, 2, 4, 5.5, 7, 9, 10.5, 12, 14, 15.5]);
    expect([...row.slice(-3)]).toEqual([183, 185, 186.5]);
  });
});

describe('SSIM and MS-SSIM', () => {
  /** Diagonal stripes and a paler copy: [1, 3, size, size] each. */
  const stripes = (size: number, map: (a: number) => number) => {
    const plane = Array.from({ length: size * size }, (_, i) => {
      const a = (((i % size) + Math.floor(i / size)) % 64) / 31.5 - 1;
      return map(a);
    });
    return gpu.device.tensor([...plane, ...plane, ...plane], [1, 3, size, size]);
  };
  const pale = (a: number) => 0.9 * a + 0.05;

  test('the vector of 256 × 256 stripes in both conventions', async () => {
    const [a, b] = [stripes(256, x => x), stripes(256, pale)];
    const [unitA, unitB] = [stripes(256, x => (x + 1) / 2), stripes(256, x => (pale(x) + 1) / 2)];
    expect(await ssim(a, b, { range: 2 }).item()).toBeCloseTo(0.9158, 5);
    expect(await msssimHyperstyle(a, b).item()).toBeCloseTo(0.76342, 5);
    expect(await l2(a, b).item()).toBeCloseTo(0.00593916, 7);
    expect(await ssim(unitA, unitB, { range: 1 }).item()).toBeCloseTo(0.978071, 5);
    expect(await msssimUnit(a, b).item()).toBeCloseTo(0.994543, 5);
  });

  /** SSIM and its contrast factor of one image, in f64 and straight from the definition. */
  const reference = (x: number[][], y: number[][], size: number) => {
    const window = Array.from({ length: 11 }, (_, i) => Math.exp(-((i - 5) ** 2) / 4.5));
    const norm = window.reduce((a, b) => a + b) ** 2;
    const [c1, c2] = [0.02 ** 2, 0.06 ** 2];
    const total = { ssim: 0, contrast: 0 };
    const span = size - 10;
    x.forEach((plane, channel) => {
      for (let at = 0; at < span * span; at++) {
        const m = { x: 0, y: 0, xx: 0, yy: 0, xy: 0 };
        for (let k = 0; k < 121; k++) {
          const i = (Math.floor(at / span) + Math.floor(k / 11)) * size + (at % span) + (k % 11);
          const [w, a, b] = [(window[Math.floor(k / 11)] * window[k % 11]) / norm, plane[i], y[channel][i]];
          m.x += w * a;
          m.y += w * b;
          m.xx += w * a * a;
          m.yy += w * b * b;
          m.xy += w * a * b;
        }
        const contrast = (2 * (m.xy - m.x * m.y) + c2) / (m.xx - m.x ** 2 + m.yy - m.y ** 2 + c2);
        total.contrast += contrast;
        total.ssim += (contrast * (2 * m.x * m.y + c1)) / (m.x ** 2 + m.y ** 2 + c1);
      }
    });
    const count = x.length * span * span;
    return { ssim: total.ssim / count, contrast: total.contrast / count };
  };

  const halve = (planes: number[][], size: number) =>
    planes.map(plane =>
      Array.from({ length: (size / 2) ** 2 }, (_, i) => {
        const corner = Math.floor(i / (size / 2)) * 2 * size + (i % (size / 2)) * 2;
        return (plane[corner] + plane[corner + 1] + plane[corner + size] + plane[corner + size + 1]) / 4;
      }),
    );

  test.each([
    [64, [0.071055, 0.452974, 0.475971]],
    [32, [0.135593, 0.864407]],
  ])('at %i pixels the scales that fit have renormalised weights', async (size, weights) => {
    const a = filled([2, 3, size, size], 1);
    const b = add(a, filled([2, 3, size, size], 2, 0.5));
    const similarity = await msssim(a, b, { range: 2 }).read();
    const [values, others] = [await a.read(), await b.read()];
    const plane = size * size;
    for (let n = 0; n < 2; n++) {
      const planes = (data: Float32Array) => [0, 1, 2].map(c => [...data.slice((3 * n + c) * plane).slice(0, plane)]);
      let [x, y] = [planes(values), planes(others)];
      let expected = 1;
      weights.forEach((weight, scale) => {
        const { ssim, contrast } = reference(x, y, size >> scale);
        expected *= (scale === weights.length - 1 ? ssim : contrast) ** weight;
        [x, y] = [halve(x, size >> scale), halve(y, size >> scale)];
      });
      expect(similarity[n]).toBeCloseTo(expected, 5);
    }
  });

  test('equal images have 1, opposite ones no less than 0, each image by itself', async () => {
    const image = filled([2, 3, 32, 32], 1);
    const opposite = filled([2, 3, 32, 32], 1, -1);
    for (const value of await msssim(image, image, { range: 2 }).read()) expect(value).toBeCloseTo(1, 6);
    expect([...(await msssim(image, opposite, { range: 2 }).read())]).toEqual([0, 0]);
    const x = variable(image);
    const gradient = await grad(mean(msssim(x, opposite, { range: 2 })), [x])[0].read();
    expect([...gradient].map(Number.isFinite)).not.toContain(false);
  });
});
