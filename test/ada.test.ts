import { describe, expect, test } from 'vitest';
import { applyEffects } from '../src/autograd/effects.ts';
import * as ops from '../src/autograd/index.ts';
import { initialize, loadStateDict, readStateDict } from '../src/models/module.ts';
import { random } from '../src/runtime/kernels/random.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { AugmentPipe } from '../src/train/ada/augment.ts';
import { AdaptiveAugmentation } from '../src/train/ada/heuristic.ts';
import { drawTransforms, makeTransforms, NORMAL_DRAWS, UNIFORM_DRAWS } from '../src/train/ada/pipeline.ts';
import { r1Penalty } from '../src/train/adversarial.ts';
import { augmentReference, GATES, marginsOf, type Transform, transformsOf } from './adaReference.ts';
import { useDevice } from './device.ts';

const gpu = useDevice();

function openPipe(p: number): AugmentPipe {
  const pipe = new AugmentPipe();
  initialize(pipe, gpu.device);
  gpu.device.write(pipe.p.value, [p]);
  return pipe;
}

function noise(shape: readonly number[], name = 'images'): Tensor {
  const step = gpu.device.tensor([0], [1], 'u32');
  return random(gpu.device, shape, 'uniform', { seed: 5, stream: name, step });
}

/** Rows of draws: gates closed but for those of these transforms, with values in order behind them. */
type Row = Partial<Record<Transform, true>> & { uniform?: Record<number, number>; normal?: Record<number, number> };

function forced(rows: readonly Row[]) {
  const uniform = rows.map(row => {
    const draws = new Float32Array(UNIFORM_DRAWS).fill(1);
    for (const name of Object.keys(GATES) as Transform[]) if (row[name]) draws[GATES[name]] = -1 + 2 ** -24;
    for (const [i, value] of Object.entries(row.uniform ?? {})) draws[Number(i)] = value;
    return draws;
  });
  const normal = rows.map(row => {
    const draws = new Float32Array(NORMAL_DRAWS);
    for (const [i, value] of Object.entries(row.normal ?? {})) draws[Number(i)] = value;
    return draws;
  });
  return { uniform, normal };
}

const flat = (rows: readonly Float32Array[]) => Float32Array.from(rows.flatMap(row => [...row]));

/** The largest difference of images with these draws from the reference, their margins, and the result. */
async function against(rows: ReturnType<typeof forced>, p: number, [height, width]: [number, number]) {
  const { device } = gpu;
  const n = rows.uniform.length;
  const pipe = openPipe(p);
  const reads = device.scope('augmented', () => {
    const draws = {
      uniform: device.tensor(flat(rows.uniform), [n, UNIFORM_DRAWS]),
      normal: device.tensor(flat(rows.normal), [n, NORMAL_DRAWS]),
    };
    const images = noise([n, 3, height, width]);
    const transforms = makeTransforms(draws, pipe.p.value, [height, width]);
    const output = pipe.transform(images, transforms);
    return [images.read(), output.read(), device.readU32(transforms.margins)] as const;
  });
  const [images, output, margins] = [await reads[0], await reads[1], [...(await reads[2])]];
  const all = rows.uniform.map((uniform, i) => transformsOf(uniform, rows.normal[i], p, [height, width]));
  const want = augmentReference(images, all, [height, width]);
  const difference = output.reduce((most, x, i) => Math.max(most, Math.abs(x - want[i])), 0);
  const wantedMargins = marginsOf(
    all.map(({ map }) => map),
    [height, width],
  );
  return { difference, margins, wantedMargins, images, output };
}

describe('p = 0', () => {
  test('gives the images back, to 4e-6, and the same bits every time', async () => {
    const pipe = openPipe(0);
    const source = { seed: 3, stream: 'any', step: gpu.device.tensor([7], [1], 'u32') };
    const images = noise([4, 3, 32, 32]);
    const [x, y, again] = await Promise.all(
      [images, pipe.forward(images, source), pipe.forward(images, source)].map(tensor => tensor.read()),
    );
    expect(y.reduce((most, value, i) => Math.max(most, Math.abs(value - x[i])), 0)).toBeLessThan(4e-6);
    expect([...again]).toEqual([...y]);
    // Other draws, other steps: nothing of them shows.
    const other = { ...source, stream: 'another', step: gpu.device.tensor([8], [1], 'u32') };
    expect([...(await pipe.forward(images, other).read())]).toEqual([...y]);
  });
});

/** Each transform with draws of its own; two images each, so that both directions are seen. */
const single: Record<Transform, Row[]> = {
  flip: [
    { flip: true, uniform: { 13: 0.5 } },
    { flip: true, uniform: { 13: -0.5 } },
  ],
  quarterTurn: [-0.9, -0.3, 0.2, 0.8].map(u => ({ quarterTurn: true, uniform: { 14: u } })),
  wholeShift: [
    { wholeShift: true, uniform: { 15: 0.9, 16: -0.4 } },
    { wholeShift: true, uniform: { 15: -0.6, 16: 1 } },
  ],
  scale: [-2, 1.3].map(z => ({ scale: true, normal: { 0: z } })),
  firstRotation: [0.2, -0.7].map(u => ({ firstRotation: true, uniform: { 17: u } })),
  stretch: [-1.5, 1].map(z => ({ stretch: true, normal: { 1: z } })),
  secondRotation: [0.1, -0.4].map(u => ({ secondRotation: true, uniform: { 18: u } })),
  shift: [
    { shift: true, normal: { 2: 1.2, 3: -0.5 } },
    { shift: true, normal: { 2: -3, 3: 0.3 } },
  ],
  brightness: [1, -2].map(z => ({ brightness: true, normal: { 4: z } })),
  contrast: [1, -2].map(z => ({ contrast: true, normal: { 5: z } })),
  lumaFlip: [0.5, -0.5].map(u => ({ lumaFlip: true, uniform: { 19: u } })),
  hue: [0.3, -0.8].map(u => ({ hue: true, uniform: { 20: u } })),
  saturation: [1, -2].map(z => ({ saturation: true, normal: { 6: z } })),
};

describe('against the definition in f64', () => {
  test.each(Object.entries(single))('%s alone', async (_, rows) => {
    const { difference, margins, wantedMargins } = await against(forced(rows), 0.5, [16, 12]);
    expect(margins).toEqual(wantedMargins);
    expect(difference).toBeLessThan(2e-5);
  });

  test.each([
    [16, 12],
    [5, 9],
    [40, 40],
  ])('all together, margins at the limit and below, at %i × %i', async (height, width) => {
    // The farthest corner of the batch decides about the margins of all.
    const everything = Object.fromEntries(Object.keys(GATES).map(name => [name, true])) as Row;
    const values = (i: number) => Math.sin(1 + 7.3 * i);
    const row = (seed: number, size: number): Row => ({
      ...everything,
      uniform: Object.fromEntries(Array.from({ length: 8 }, (_, i) => [13 + i, values(seed + i)])),
      normal: Object.fromEntries(Array.from({ length: 7 }, (_, i) => [i, size * values(2 * seed + i)])),
    });
    for (const size of [0.3, 2]) {
      const rows = forced([row(1, size), row(20, size), row(33, size)]);
      const { difference, margins, wantedMargins } = await against(rows, 1, [height, width]);
      expect(margins).toEqual(wantedMargins);
      expect(difference).toBeLessThan(5e-5);
    }
  });

  test('with draws of the device, at p = 0.7', async () => {
    const { device } = gpu;
    const pipe = openPipe(0.7);
    const source = { seed: 9, stream: 'real', step: device.tensor([3], [1], 'u32') };
    const { uniform, normal } = drawTransforms(70, pipe.p.value, source);
    const [u, z] = [await uniform.read(), await normal.read()];
    const rowsOf = (values: Float32Array, width: number) =>
      Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width));
    const rows = { uniform: rowsOf(u, UNIFORM_DRAWS), normal: rowsOf(z, NORMAL_DRAWS) };
    const { difference, margins, wantedMargins } = await against(rows, Math.fround(0.7), [8, 8]);
    expect(margins).toEqual(wantedMargins);
    expect(difference).toBeLessThan(1e-4);
    // The same through forward().
    const images = noise([70, 3, 8, 8]);
    const forward = await pipe.forward(images, source).read();
    const direct = await pipe.transform(images, makeTransforms({ uniform, normal }, pipe.p.value, [8, 8])).read();
    expect([...forward]).toEqual([...direct]);
  });
});

describe('directions', () => {
  // The filter is not symmetric: what is mirrored or turned is up to 0.1 pixel off.
  const size = 32;
  /** A spot at this place from the centre, [right, down]. */
  const spot = ([x, y]: readonly [number, number]) => {
    const plane = Array.from({ length: size * size }, (_, i) => {
      const [dx, dy] = [(i % size) - 15.5 - x, Math.floor(i / size) - 15.5 - y];
      return Math.exp(-(dx * dx + dy * dy) / 8);
    });
    return gpu.device.tensor([...plane, ...plane, ...plane], [1, 3, size, size]);
  };

  /** Where the spot is afterwards, and how far it extends. */
  async function moved(row: Row, from: readonly [number, number]) {
    const { device } = gpu;
    const pipe = openPipe(0.5);
    const { uniform, normal } = forced([row]);
    const draws = { uniform: device.tensor(uniform[0], [1, 21]), normal: device.tensor(normal[0], [1, 7]) };
    const transforms = makeTransforms(draws, pipe.p.value, [size, size]);
    const values = (await pipe.transform(spot(from), transforms).read()).slice(0, size * size);
    const total = values.reduce((a, b) => a + b, 0);
    const mean = (f: (x: number, y: number) => number) =>
      values.reduce((sum, value, i) => sum + value * f((i % size) - 15.5, Math.floor(i / size) - 15.5), 0) / total;
    const [x, y] = [mean(x => x), mean((_, y) => y)];
    return { x, y, width: Math.sqrt(mean(u => (u - x) ** 2)), height: Math.sqrt(mean((_, u) => (u - y) ** 2)) };
  }

  test.each<[string, Row, [number, number], [number, number], [number, number]]>([
    ['nothing', {}, [4, 3], [4, 3], [2, 2]],
    ['flip', { flip: true, uniform: { 13: 0.5 } }, [4, 3], [-4, 3], [2, 2]],
    ['no flip', { flip: true, uniform: { 13: -0.5 } }, [4, 3], [4, 3], [2, 2]],
    ['no turn', { quarterTurn: true, uniform: { 14: -0.9 } }, [4, 3], [4, 3], [2, 2]],
    ['90° to the left', { quarterTurn: true, uniform: { 14: -0.1 } }, [4, 3], [3, -4], [2, 2]],
    ['180°', { quarterTurn: true, uniform: { 14: 0.1 } }, [4, 3], [-4, -3], [2, 2]],
    ['270° to the left', { quarterTurn: true, uniform: { 14: 0.9 } }, [4, 3], [-3, 4], [2, 2]],
    ['whole shift, 4 u rounded', { wholeShift: true, uniform: { 15: 0.8, 16: -0.6 } }, [4, 3], [7, 1], [2, 2]],
    ['scale 2^0.2', { scale: true, normal: { 0: 1 } }, [4, 3], [4.595, 3.446], [2.297, 2.297]],
    ['rotation by 36° to the left', { firstRotation: true, uniform: { 17: 0.2 } }, [5, 0], [4.045, -2.939], [2, 2]],
    ['rotation by 90° to the right', { secondRotation: true, uniform: { 18: -0.5 } }, [5, 0], [0, 5], [2, 2]],
    ['wider by 2^0.2', { stretch: true, normal: { 1: 1 } }, [4, 3], [4.595, 2.612], [2.297, 1.741]],
    ['shift by 4 z', { shift: true, normal: { 2: 0.6, 3: -0.8 } }, [4, 3], [6.4, -0.2], [2, 2]],
  ])('%s', async (_, row, from, to, extent) => {
    const { x, y, width, height } = await moved(row, from);
    expect(
      [x - to[0], y - to[1]].map(Math.abs).every(d => d < 0.15),
      `${[x, y]} for ${to}`,
    ).toBe(true);
    expect(
      [width - extent[0], height - extent[1]].map(Math.abs).every(d => d < 0.15),
      `${[width, height]}`,
    ).toBe(true);
  });

  test.each<[string, Row, number[], number[]]>([
    ['brightness', { brightness: true, normal: { 4: 1.5 } }, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]],
    ['contrast', { contrast: true, normal: { 5: 2 } }, [0.1, 0.2, 0.3], [0.2, 0.4, 0.6]],
    ['luma flip of grey', { lumaFlip: true, uniform: { 19: 0.5 } }, [0.3, 0.3, 0.3], [-0.3, -0.3, -0.3]],
    ['luma flip keeps chroma', { lumaFlip: true, uniform: { 19: 0.5 } }, [0.3, -0.3, 0], [0.3, -0.3, 0]],
    ['no luma flip', { lumaFlip: true, uniform: { 19: -0.5 } }, [0.3, 0.3, 0.3], [0.3, 0.3, 0.3]],
    ['hue by 120°: red to green', { hue: true, uniform: { 20: 2 / 3 } }, [1, 0.2, 0.1], [0.1, 1, 0.2]],
    ['hue by -120°: red to blue', { hue: true, uniform: { 20: -2 / 3 } }, [1, 0.2, 0.1], [0.2, 0.1, 1]],
    ['twice the saturation', { saturation: true, normal: { 6: 1 } }, [0.4, 0.3, 0.2], [0.5, 0.3, 0.1]],
  ])('%s', async (_, row, from, to) => {
    const { device } = gpu;
    const pipe = openPipe(0.5);
    const { uniform, normal } = forced([row]);
    const draws = { uniform: device.tensor(uniform[0], [1, 21]), normal: device.tensor(normal[0], [1, 7]) };
    const image = device.tensor(
      from.flatMap(x => new Array<number>(16).fill(x)),
      [1, 3, 4, 4],
    );
    const values = await pipe.transform(image, makeTransforms(draws, pipe.p.value, [4, 4])).read();
    values.forEach((value, i) => {
      expect(value).toBeCloseTo(to[Math.floor(i / 16)], 5);
    });
  });
});

describe('what is drawn', () => {
  const count = 4096;
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const deviation = (values: readonly number[]) => {
    const centre = mean(values);
    return Math.sqrt(mean(values.map(x => (x - centre) ** 2)));
  };

  async function transformsAt(p: number) {
    const { device } = gpu;
    const pipe = openPipe(p);
    const source = { seed: 4, stream: 'real', step: device.tensor([11], [1], 'u32') };
    const { maps, colours, offsets } = makeTransforms(
      drawTransforms(count, pipe.p.value, source),
      pipe.p.value,
      [16, 16],
    );
    const [m, c, o] = await Promise.all([maps.read(), colours.read(), offsets.read()]);
    return Array.from({ length: count }, (_, n) => ({
      map: [...m.slice(6 * n, 6 * n + 6)],
      colour: [...c.slice(9 * n, 9 * n + 9)],
      offset: o[3 * n],
    }));
  }

  test('is independent from column to column, from step to step and from stream to stream', async () => {
    const { device } = gpu;
    const draw = async (stream: string, step: number) => {
      const source = { seed: 4, stream, step: device.tensor([step], [1], 'u32') };
      const { uniform, normal } = drawTransforms(count, openPipe(0).p.value, source);
      const [u, z] = [await uniform.read(), await normal.read()];
      const column = (values: Float32Array, width: number, i: number, deviation: number) =>
        Array.from({ length: count }, (_, n) => values[n * width + i] / deviation);
      return [
        ...Array.from({ length: UNIFORM_DRAWS }, (_, i) => column(u, UNIFORM_DRAWS, i, Math.sqrt(1 / 3))),
        ...Array.from({ length: NORMAL_DRAWS }, (_, i) => column(z, NORMAL_DRAWS, i, 1)),
      ];
    };
    const columns = [...(await draw('real', 1)), ...(await draw('real', 2)), ...(await draw('fake', 1))];
    const limit = 5 / Math.sqrt(count);
    columns.forEach((a, i) => {
      expect(Math.abs(mean(a))).toBeLessThan(limit);
      columns.slice(0, i + 1).forEach((b, j) => {
        const product = a.reduce((sum, x, n) => sum + x * b[n], 0) / count;
        expect(Math.abs(product - (i === j ? 1 : 0)), `columns ${i} and ${j}`).toBeLessThan(2 * limit);
      });
    });
  });

  test('happens with probability p', async () => {
    const all = await transformsAt(0.3);
    const share = (is: (each: (typeof all)[number]) => boolean) => all.filter(is).length / count;
    const within = (got: number, want: number) =>
      expect(Math.abs(got - want), `${got} for ${want}`).toBeLessThan(4.5 * Math.sqrt((want * (1 - want)) / count));
    // Nothing of the geometry: whole shifts are up to 2 pixels and round to 0 in 1/4 of the cases on each axis.
    const still = 0.85 * (0.7 + 0.3 / 4) * (0.7 + 0.3 / 16) * 0.7 ** 4;
    within(
      share(({ map }) => map.every((x, i) => x === [1, 0, 0, 0, 1, 0][i])),
      still,
    );
    within(
      share(({ colour, offset }) => offset === 0 && colour.every((x, i) => x === (i % 4 === 0 ? 1 : 0))),
      0.85 * 0.7 ** 4,
    );
    within(
      share(({ map: [a, b, , c, d] }) => a * d - b * c < 0),
      0.15,
    );
    within(
      share(({ offset }) => offset !== 0),
      0.3,
    );
  });

  test('has the deviations of the paper where p = 1', async () => {
    const all = await transformsAt(1);
    const near = (values: readonly number[], wantedMean: number, wanted: number, tolerance = 0.05) => {
      expect(Math.abs(mean(values) - wantedMean)).toBeLessThan(5 * (wanted / Math.sqrt(count)));
      expect(Math.abs(deviation(values) / wanted - 1)).toBeLessThan(tolerance);
    };
    const determinants = all.map(({ map: [a, b, , c, d] }) => a * d - b * c);
    near(
      determinants.map(x => Math.log2(Math.abs(x))),
      0,
      0.4,
    ); // scale, on both axes
    near(determinants.map(Math.sign), 0, 1); // flip
    // Scale and stretch apart: the singular values of the map are s t and s / t.
    const spread = all.map(({ map: [a, b, , c, d] }, n) => {
      const squares = a * a + b * b + c * c + d * d;
      return (
        Math.log2((squares + Math.sqrt(squares ** 2 - 4 * determinants[n] ** 2)) / 2 / Math.abs(determinants[n])) / 2
      );
    });
    const half = Math.sqrt(2 / Math.PI) * 0.2; // the mean of |N(0, 0.2)|
    expect(Math.abs(mean(spread) - half)).toBeLessThan(0.05 * half);
    // Both shifts: uniform in ±2, rounded, and N(0, 2), in the output, which the map takes to the input.
    const shifts = all.map(({ map: [, b, x, , d, y] }, n) => (d * x - b * y) / determinants[n]);
    expect(Math.abs(mean(shifts))).toBeLessThan(0.25);
    expect(deviation(shifts)).toBeGreaterThan(2);
    expect(deviation(shifts)).toBeLessThan(3);
    const luma = all.map(({ colour }) => colour[0] + colour[1] + colour[2]);
    near(
      luma.map(x => Math.log2(Math.abs(x))),
      0,
      0.5,
    ); // contrast
    near(luma.map(Math.sign), 0, 1); // luma flip
    near(
      all.map(({ offset }, n) => offset / luma[n]),
      0,
      0.2,
    ); // brightness
    const chroma = all.map(({ colour: [a, b, c] }, n) => {
      const [along, across] = [a - luma[n] / 3, (c - b) / 2];
      return {
        angle: Math.atan2(across * Math.sqrt(3), along * 1.5),
        size: Math.hypot(along * 1.5, across * Math.sqrt(3)),
      };
    });
    near(
      chroma.map(({ angle }) => angle),
      0,
      Math.PI / Math.sqrt(3),
    ); // hue
    near(
      chroma.map(({ size }, n) => Math.log2(size / Math.abs(luma[n]))),
      0,
      1,
    ); // saturation
  });
});

describe('images over the binding limit', () => {
  const small = useDevice({ bindingLimit: 8192 });

  test('are resampled in parts, with the same results', async () => {
    const results = await Promise.all(
      [gpu.device, small.device].map(async device => {
        const draw = (name: string, shape: readonly number[]) =>
          random(device, shape, 'uniform', { seed: 1, stream: name, step: device.tensor([0], [1], 'u32') });
        const x = ops.variable(draw('images', [7, 3, 5, 4]));
        const margins = device.tensor([1, 4, 3, 2], [4], 'u32');
        const y = ops.affineSample(x, { maps: draw('maps', [7, 2, 3]), margins, filter: draw('filter', [12]) });
        expect(y.parts !== undefined).toBe(device === small.device);
        const [gradient] = ops.grad(y, [x], { gradient: draw('gradient', y.shape) });
        return [await y.read(), await gradient.read()];
      }),
    );
    expect(results[1]).toEqual(results[0]);
  });

  test('but one image alone over it is refused', () => {
    const x = small.device.empty([1, 3, 16, 16]);
    const map = { maps: small.device.empty([1, 2, 3]), margins: small.device.empty([4], 'u32') };
    expect(() => ops.affineSample(x, { ...map, filter: small.device.empty([12]) })).toThrow('over the binding limit');
  });
});

describe('derivatives', () => {
  const source = () => ({ seed: 6, stream: 'real', step: gpu.device.tensor([2], [1], 'u32') });
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i], 0);

  test('the gradient is the transposed map, at every p', async () => {
    const { device } = gpu;
    for (const p of [0, 0.4, 1]) {
      const pipe = openPipe(p);
      const x = ops.variable(noise([8, 3, 16, 12]));
      const y = pipe.forward(x, source());
      const g = ops.variable(noise(y.shape, 'gradient'));
      const [gradient] = ops.grad(y, [x], { gradient: g, createGraph: true });
      // y is affine in x: what it makes of 0 is not part of the map.
      const still = pipe.forward(device.tensor(new Float32Array(x.size), x.shape), source());
      const [again] = ops.grad(gradient, [g], { gradient: x });
      const [values, input, cotangent, pulled, pushed] = await Promise.all(
        [ops.sub(y, still), x, g, gradient, again].map(tensor => tensor.read()),
      );
      const scale = Math.sqrt(dot(values, values) * dot(cotangent, cotangent));
      expect(Math.abs(dot(values, cotangent) - dot(input, pulled)) / scale).toBeLessThan(1e-6);
      // And the transposed map of the transposed map is the map.
      values.forEach((value, i) => {
        expect(Math.abs(pushed[i] - value)).toBeLessThan(1e-5);
      });
    }
  });

  test('R1 goes through the augmentation to the image before it', async () => {
    // A smooth discriminator, as finite differences say nothing about leaky ReLU's masks.
    const { device } = gpu;
    const pipe = openPipe(0.8);
    const images = noise([4, 3, 8, 8]);
    const base = await noise([2, 3, 3, 3], 'weight').read();
    const direction = await noise([2, 3, 3, 3], 'direction').read();
    const penaltyAt = (weight: Float32Array) => {
      const w = ops.variable(device.tensor(weight, [2, 3, 3, 3]));
      const discriminate = (x: Tensor) =>
        ops.sum(ops.softplus(ops.conv2d(pipe.forward(x, source()), w)), { axes: [1, 2, 3] });
      const { penalty } = r1Penalty(discriminate, images);
      return { penalty, gradient: ops.grad(penalty, [w])[0] };
    };
    const step = 0.01;
    const at = (t: number) => penaltyAt(base.map((x, i) => x + t * direction[i])).penalty.item();
    const slope = ((await at(step)) - (await at(-step))) / (2 * step);
    const { penalty, gradient } = penaltyAt(base);
    expect(Math.abs(dot(await gradient.read(), direction) / slope - 1)).toBeLessThan(2e-3);
    // Without the augmentation it is another number.
    const plain = r1Penalty(
      x => ops.sum(ops.softplus(ops.conv2d(x, device.tensor(base, [2, 3, 3, 3]))), { axes: [1, 2, 3] }),
      images,
    );
    expect(Math.abs((await plain.penalty.item()) / (await penalty.item()) - 1)).toBeGreaterThan(0.05);
  });
});

test('recorded once, a program draws anew at every step and follows p', async () => {
  const { device } = gpu;
  const pipe = openPipe(0);
  const images = device.keep(noise([4, 3, 8, 8]));
  const step = device.keep(device.tensor([1], [1], 'u32'));
  const body = () => pipe.forward(images, { seed: 8, stream: 'fake', step });
  const program = device.record('augmented', body);
  const seen: string[] = [];
  for (const [number, p] of [
    [1, 0],
    [2, 0],
    [2, 0.9],
    [3, 0.9],
  ]) {
    device.write(step, [number]);
    device.write(pipe.p.value, [p]);
    program.run();
    const [recorded, eager] = [await program.result.read(), await body().read()];
    expect([...recorded]).toEqual([...eager]);
    seen.push(recorded.join());
  }
  expect(seen[1]).toBe(seen[0]);
  expect(new Set(seen).size).toBe(3);
  program.release();
});

describe('the heuristic', () => {
  async function opened({ p = 0.5, batch = 8, kimg = 0.1 } = {}) {
    const { device } = gpu;
    const ada = new AdaptiveAugmentation({ target: 0.6, kimg, batch });
    initialize(ada, device);
    device.write(ada.pipe.p.value, [p]);
    const show = async (positive: number, gate = 0, count = batch) => {
      const logits = Float32Array.from({ length: count }, (_, i) => (i < positive ? 0.1 + i : -3));
      ada.observe(device.tensor(logits, [count, 1]));
      applyEffects(device.tensor([gate], [1], 'u32'));
      return [await ada.pipe.p.value.item(), await ada.r.value.item()];
    };
    return { ada, show };
  }

  test('moves p every fourth step, by the images of four steps, up where r is above the goal', async () => {
    const { show } = await opened();
    for (let i = 0; i < 3; i++) expect(await show(8)).toEqual([0.5, 0]);
    const [p, r] = await show(6); // 30 of 32 are positive
    expect(r).toBeCloseTo(28 / 32, 6);
    expect(p).toBeCloseTo(0.5 + 32 / 100, 6);
    // A new window: the old signs are forgotten.
    for (let i = 0; i < 3; i++) expect(await show(0)).toEqual([p, r]);
    const [lower, all] = await show(0);
    expect([lower, all]).toEqual([expect.closeTo(0.5, 6), -1]);
  });

  test('does not move p where r is the goal, nor below 0; above 1 it may', async () => {
    const balanced = await opened({ batch: 5 });
    for (let i = 0; i < 3; i++) await balanced.show(4);
    expect(await balanced.show(4)).toEqual([0.5, expect.closeTo(0.6, 6)]);
    const low = await opened({ p: 0.1 });
    for (let i = 0; i < 3; i++) await low.show(0);
    expect(await low.show(0)).toEqual([0, -1]);
    const high = await opened({ p: 0.9 });
    for (let i = 0; i < 3; i++) await high.show(8);
    expect((await high.show(8))[0]).toBeCloseTo(0.9 + 32 / 100, 6);
  });

  test('only watches where p may not move', async () => {
    const { show } = await opened({ p: 0, kimg: Number.POSITIVE_INFINITY });
    for (let i = 0; i < 3; i++) await show(8);
    expect(await show(8)).toEqual([0, 1]);
  });

  test('counts a zero as neither, takes batches in pieces, and more of them than a workgroup has invocations', async () => {
    const { device } = gpu;
    const { show, ada } = await opened({ batch: 100 });
    for (let i = 0; i < 3; i++) await show(90, 0, 100);
    await show(40, 0, 50);
    const logits = device.tensor(new Float32Array(50), [50, 1]);
    ada.observe(logits);
    applyEffects(device.tensor([0], [1], 'u32'));
    expect(await ada.r.value.item()).toBeCloseTo((3 * 80 + 30) / 400, 6);
  });

  test('passes over a step that is not finite', async () => {
    const { show } = await opened();
    for (let i = 0; i < 3; i++) await show(8);
    expect(await show(0, 1)).toEqual([0.5, 0]);
    expect(await show(8)).toEqual([expect.closeTo(0.82, 6), 1]);
  });

  test('goes on in the middle of a window from what was saved', async () => {
    const one = await opened();
    for (let i = 0; i < 2; i++) await one.show(7);
    const saved = await readStateDict(one.ada);
    expect([...saved.keys()].sort()).toEqual(['augment_pipe.p', 'r', 'window']);
    const other = await opened({ p: 0 });
    loadStateDict(other.ada, saved, { source: 'the test' });
    for (const { show } of [one, other]) await show(8);
    const last = await one.show(2);
    expect(last[0]).not.toBe(0.5);
    expect(await other.show(2)).toEqual(last);
  });
});
