import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { v } from '../src/cli/goldens/format.ts';
import { BareParameters, type OptimizerCase } from '../src/cli/goldens/optimizers.ts';
import { verifyCase } from '../src/cli/goldens/verify.ts';
import { initialize, loadStateDict, type Module, placementOf, readStateDict, release } from '../src/models/module.ts';
import type { Device } from '../src/runtime/device.ts';
import { full } from '../src/runtime/kernels/copy.ts';
import { sizeOf } from '../src/runtime/shape.ts';
import { Adam, checkFinite, type Optimizer, Ranger, replaceNonFinite, Sgd } from '../src/train/optimizers.ts';
import { useDevice } from './device.ts';

const { cases } = JSON.parse(readFileSync(new URL('./goldens/optimizers.json', import.meta.url), 'utf8')) as {
  cases: OptimizerCase[];
};

for (const limits of ['adapter', 'default'] as const) {
  describe(`optimisers against PyTorch, ${limits} limits`, () => {
    const gpu = useDevice({ limits });
    test.each(cases.map(golden => [golden.name, golden] as const))('%s', async (_, golden) => {
      const { error, worst } = await verifyCase(gpu.device, golden);
      expect(error, worst).toBeLessThanOrEqual(golden.tolerance);
    });
  });
}

type Shapes = Readonly<Record<string, readonly number[]>>;

/** A module of parameters v(i, k), k = 1, 2, … */
function parametersOf(device: Device, shapes: Shapes): Module {
  const module = new BareParameters(shapes);
  initialize(module, device);
  const values = Object.entries(shapes).map(([key, shape], k) => [key, { shape, data: fill(shape, k + 1) }] as const);
  loadStateDict(module, new Map(values));
  return module;
}

function fill(shape: readonly number[], seed: number): Float32Array {
  return Float32Array.from({ length: sizeOf(shape) }, (_, i) => v(i, seed));
}

/** One step with the gradients v(i, 100 (k + 1) + t); parameters that `skip` names get none. */
function step(optimizer: Optimizer, t: number, { rate = 0.1, gate = 0, skip = [] as number[] } = {}): void {
  const { device } = optimizer;
  device.scope('step', () => {
    optimizer.collect(
      optimizer.variables.map(({ shape }, k) =>
        skip.includes(k) ? undefined : device.tensor(fill(shape, 100 * (k + 1) + t), shape),
      ),
    );
    optimizer.step(device.tensor([rate], [1]), device.tensor([gate], [1], 'u32'));
  });
}

async function values(module: Module): Promise<Record<string, number[]>> {
  const state = await readStateDict(module);
  return Object.fromEntries([...state].map(([key, { data }]) => [key, [...data]]));
}

const shapes: Shapes = { a: [2, 3], b: [3], c: [4, 5, 3, 3], d: [130], e: [] };

const rules: Record<string, (module: Module) => Optimizer> = {
  Adam: module => new Adam(module),
  'Adam, lazily corrected': module => new Adam(module, { betas: [0, 0.99], lazyInterval: 4 }),
  Ranger: module => new Ranger(module),
  SGD: module => new Sgd(module, { momentum: 0.9, weightDecay: 0.01 }),
};

describe('optimisers', () => {
  const gpu = useDevice();

  test('Ranger: the trace of a scalar with gradient 1', async () => {
    const { device } = gpu;
    const module = new BareParameters({ p: [] });
    initialize(module, device);
    loadStateDict(module, new Map([['p', { shape: [], data: [1] }]]));
    const optimizer = new Ranger(module);
    const rate = device.tensor([1e-4], [1]);
    const gate = device.tensor([0], [1], 'u32');
    const trace: number[] = [];
    for (let t = 1; t <= 7; t++) {
      optimizer.collect([device.tensor([1], [])]);
      optimizer.step(rate, gate);
      trace.push((await values(module)).p[0]);
    }
    const want = [0.9999, 0.9998, 0.9997, 0.9996, 0.9995, 0.9997487091, 0.9997454356];
    trace.forEach((value, i) => {
      expect(Math.abs(value - want[i])).toBeLessThan(2e-7);
    });
  });

  test('Ranger: a matrix and a vector over 14 steps', async () => {
    const module = parametersOf(gpu.device, { p1: [2, 3], p2: [3] });
    const optimizer = new Ranger(module);
    const want: Record<number, number[]> = {
      1: [0.5819573, -0.1055816, -0.7931204, 0.2901612, -0.3973776, 0.9150835, -0.8308519, 0.2816094, -0.4059295],
      5: [0.5863194, -0.2125966, -0.6904675, 0.3092583, -0.4896577, 0.9882665, -0.6969497, 0.2224178, -0.4166767],
      6: [0.6218672, -0.1593542, -0.7792774, 0.3376493, -0.4434638, 0.9136823, -0.8078642, 0.2693928, -0.4318804],
      7: [0.621358, -0.1605965, -0.777555, 0.3376643, -0.4439955, 0.9142499, -0.8068903, 0.2682761, -0.4318452],
      12: [0.6195987, -0.1607976, -0.7755139, 0.3382511, -0.4445796, 0.9143205, -0.8066403, 0.2668945, -0.4340608],
      14: [0.6188374, -0.1608359, -0.7747034, 0.3398045, -0.4461961, 0.9145878, -0.8068983, 0.2646433, -0.4360564],
    };
    for (let t = 1; t <= 14; t++) {
      step(optimizer, t);
      if (!want[t]) continue;
      const { p1, p2 } = await values(module);
      [...p1, ...p2].forEach((value, i) => {
        expect(Math.abs(value - want[t][i]), `step ${t}, element ${i}`).toBeLessThan(2e-6);
      });
    }
  });

  test('Ranger: the rectification holds its digits at any step', async () => {
    // With equal gradients m = 1 - β₁ᵗ and v = 1 - β₂ᵗ times g and g², so that a step is rate · r / √(1 - β₂ᵗ).
    const module = new BareParameters({ p: [1] });
    initialize(module, gpu.device);
    const optimizer = new Ranger(module, { betas: [0, 0.999], period: 1e9, epsilon: 0 });
    for (const t of [6, 7, 10, 100, 999, 1001, 10000]) {
      optimizer.load(
        new Map([
          ['m.p', { shape: [1], data: Float32Array.of(0) }],
          ['v.p', { shape: [1], data: Float32Array.of(1) }],
          ['slow.p', { shape: [1], data: Float32Array.of(0) }],
          ['t', { shape: [1], data: Uint32Array.of(t - 1) }],
        ]),
      );
      loadStateDict(module, new Map([['p', { shape: [1], data: [0] }]]));
      optimizer.collect([gpu.device.tensor([1], [1])]);
      optimizer.step(gpu.device.tensor([1], [1]), gpu.device.tensor([0], [1], 'u32'));
      const [n0, power] = [1999, 0.999 ** t];
      const n = n0 - (2 * t * power) / (1 - power);
      const r = Math.sqrt((((1 - power) * (n - 4)) / (n0 - 4)) * ((n - 2) / n) * (n0 / (n0 - 2)));
      expect(-(await values(module)).p[0] / r, `step ${t}`).toBeCloseTo(1, 5);
    }
  });

  test('lazy correction scales the rate and raises the betas', async () => {
    const corrected = parametersOf(gpu.device, shapes);
    const byHand = parametersOf(gpu.device, shapes);
    const lazy = new Adam(corrected, { betas: [0, 0.99], lazyInterval: 4 });
    const plain = new Adam(byHand, { betas: [0, 0.9919919678228657] });
    for (let t = 1; t <= 5; t++) {
      step(lazy, t, { rate: 0.002 });
      step(plain, t, { rate: 0.0016 });
    }
    const [a, b] = [await values(corrected), await values(byHand)];
    for (const key of Object.keys(a)) {
      a[key].forEach((value, i) => {
        expect(value).toBeCloseTo(b[key][i], 6);
      });
    }
  });

  test('SGD decays matrices and kernels only, unless told otherwise', async () => {
    const module = parametersOf(gpu.device, { weight: [2, 2], bias: [2] });
    const start = await values(module);
    const optimizer = new Sgd(module, { weightDecay: 0.5 });
    const { device } = gpu;
    optimizer.collect(optimizer.variables.map(({ shape }) => device.tensor(new Float32Array(sizeOf(shape)), shape)));
    optimizer.step(device.tensor([0.1], [1]), device.tensor([0], [1], 'u32'));
    const end = await values(module);
    expect(end.bias).toEqual(start.bias);
    end.weight.forEach((value, i) => {
      expect(value).toBeCloseTo(0.95 * start.weight[i], 6);
    });
  });

  for (const [name, build] of Object.entries(rules)) {
    test(`${name}: a resumed run equals an uninterrupted one bit for bit`, async () => {
      const { device } = gpu;
      const skip = (t: number) => (t % 3 === 0 ? [1] : t === 4 ? [0, 2] : []);
      const whole = parametersOf(device, shapes);
      const optimizer = build(whole);
      for (let t = 1; t <= 9; t++) step(optimizer, t, { skip: skip(t), gate: t === 5 ? 1 : 0 });

      const before = parametersOf(device, shapes);
      const first = build(before);
      for (let t = 1; t <= 7; t++) step(first, t, { skip: skip(t), gate: t === 5 ? 1 : 0 });
      const [parameters, state] = [await readStateDict(before), await first.state()];
      const after = parametersOf(device, shapes);
      loadStateDict(after, parameters);
      const second = build(after);
      second.load(state);
      for (let t = 8; t <= 9; t++) step(second, t, { skip: skip(t) });
      expect(await values(after)).toEqual(await values(whole));
      expect(await second.state()).toEqual(await optimizer.state());
      expect([...(await second.state()).get('t')!.data]).toEqual([7, 5, 7, 8, 8]);
    });

    test(`${name}: a gated step changes nothing, and a skipped parameter keeps its place`, async () => {
      const module = parametersOf(gpu.device, shapes);
      const optimizer = build(module);
      step(optimizer, 1);
      const [before, state] = [await values(module), await optimizer.state()];
      step(optimizer, 2, { gate: 1 });
      expect(await values(module)).toEqual(before);
      expect(await optimizer.state()).toEqual(state);
      step(optimizer, 3, { skip: [0] });
      const after = await values(module);
      expect(after.a).toEqual(before.a);
      expect(after.c).not.toEqual(before.c);
      expect([...(await optimizer.state()).get('t')!.data]).toEqual([1, 2, 2, 2, 2]);
    });
  }

  test('the same number of dispatches for any number of parameters', () => {
    const count = (parameters: number) => {
      const module = parametersOf(
        gpu.device,
        Object.fromEntries(Array.from({ length: parameters }, (_, i) => [`p${i}`, [3, 3]])),
      );
      const optimizer = new Ranger(module);
      const before = gpu.device.dispatches;
      step(optimizer, 1);
      return gpu.device.dispatches - before;
    };
    expect(count(40)).toBe(count(2));
    expect(count(40)).toBe(3);
  });

  test('Ranger: each row that is centralised counts its operations once', () => {
    const { device } = gpu;
    const rows = { a: [2, 3], b: [3], c: [4, 5, 3, 3], d: [2, 8], e: [6, 1200] };
    const optimizer = new Ranger(parametersOf(device, rows));
    const [rate, gate] = [device.keep(device.tensor([0.1], [1])), device.keep(device.tensor([0], [1], 'u32'))];
    const program = device.record('step', () => {
      optimizer.collect(optimizer.variables.map(({ shape }) => full(device, shape, 1)));
      optimizer.step(rate, gate);
    });
    const flops = program.commands.flatMap(command =>
      'kernel' in command && command.kernel.name === 'centralize_gradient' ? [command.work!.flop] : [],
    );
    // Rows of vectors, then the others: a sum and a difference for each element.
    expect(flops).toEqual([2 * (16 + 7200), 2 * (6 + 180)]);
    program.release();
    optimizer.release();
    for (const tensor of [rate, gate]) device.discard(tensor);
  });

  test('replaceNonFinite puts 0 for NaN and ±1e5 for infinities, and keeps everything else', async () => {
    const { device } = gpu;
    const values = Array.from({ length: 600 }, (_, i) => i - 300.5);
    const changed = {
      3: Number.NaN,
      299: Number.POSITIVE_INFINITY,
      599: Number.NEGATIVE_INFINITY,
      4: 3.4e38,
      5: 1e-40,
    };
    Object.assign(values, changed);
    const result = device.scope('gradients', () => {
      const gradient = device.tensor(values, [values.length]);
      replaceNonFinite([gradient]);
      return gradient.read();
    });
    const expected = Object.assign([...values], { 3: 0, 299: 1e5, 599: -1e5 });
    expect([...(await result)]).toEqual(expected.map(Math.fround));
  });

  test('checkFinite sees an infinity or NaN anywhere, also in flat gradients, and nothing else', async () => {
    const { device } = gpu;
    const seen = async (values: ArrayLike<number>) => {
      const gate = device.tensor([0], [1], 'u32');
      checkFinite([device.tensor([1], [1]), device.tensor(values, [values.length])], gate);
      return (await device.readU32(gate))[0];
    };
    for (const size of [1, 63, 64, 1024, 1025, 5000]) {
      const values = fill([size], 1).map(x => x * 3e38);
      expect(await seen(values)).toBe(0);
      for (const [at, bad] of [
        [0, Number.NaN],
        [size - 1, Number.POSITIVE_INFINITY],
        [size >> 1, Number.NEGATIVE_INFINITY],
      ]) {
        expect(await seen(values.map((x, i) => (i === at ? bad : x)))).toBe(1);
      }
    }
    const module = parametersOf(device, shapes);
    const optimizer = new Adam(module);
    const start = await values(module);
    const gradients = optimizer.variables.map(({ shape }) => device.tensor(fill(shape, 1), shape));
    const gate = device.tensor([0], [1], 'u32');
    optimizer.collect([device.tensor(fill([2, 3], 1).fill(Number.NaN, 5), [2, 3]), ...gradients.slice(1)]);
    checkFinite(optimizer.gradients, gate);
    optimizer.step(device.tensor([0.1], [1]), gate);
    expect(await values(module)).toEqual(start);
    // The next step is a good one, without a gradient where the bad one was.
    device.write(gate, [0]);
    optimizer.collect([undefined, ...gradients.slice(1)]);
    checkFinite(optimizer.gradients, gate);
    optimizer.step(device.tensor([0.1], [1]), gate);
    const end = await values(module);
    expect((await device.readU32(gate))[0]).toBe(0);
    expect(end.a).toEqual(start.a);
    expect(end.b).not.toEqual(start.b);
  });

  test('a state of another model or optimiser is refused', async () => {
    const adam = new Adam(parametersOf(gpu.device, { a: [2] }));
    const other = await new Adam(parametersOf(gpu.device, { a: [3] })).state();
    const named = { source: 'optimizer.safetensors' };
    expect(() => adam.load(other, named)).toThrow('optimizer.safetensors: "m.a" is [3], the optimiser wants [2]');
    expect(() => adam.load(new Map(), named)).toThrow('optimizer.safetensors: no tensor "t"');
    expect(() => adam.step(gpu.device.tensor([1], [1]), gpu.device.tensor([0], [1], 'u32'))).toThrow('collect()');
  });

  test('release gives the memory back', () => {
    const { device } = gpu;
    const module = parametersOf(device, shapes);
    const before = device.memory.lentBytes;
    for (const build of Object.values(rules)) {
      const optimizer = build(module);
      step(optimizer, 1);
      optimizer.release();
    }
    expect(device.memory.lentBytes).toBe(before);
    release(module);
  });
});

describe('optimisers over three chunks', () => {
  // 2 KiB a binding: 512 elements. The parameter w alone is in two parts.
  const small = useDevice({ bindingLimit: 2048 });
  const plain = useDevice();
  const many: Shapes = { a: [4, 60], w: [12, 50], b: [7] };

  for (const [name, build] of Object.entries(rules)) {
    test(name, async () => {
      const inParts = parametersOf(small.device, many);
      expect(placementOf(inParts).chunks.length).toBe(3);
      const whole = parametersOf(plain.device, many);
      const [a, b] = [build(inParts), build(whole)];
      for (let t = 1; t <= 7; t++) {
        for (const optimizer of [a, b]) step(optimizer, t, { skip: t === 2 ? [1] : [] });
      }
      expect(await values(inParts)).toEqual(await values(whole));
      expect(await a.state()).toEqual(await b.state());
      const again = build(parametersOf(small.device, many));
      again.load(await b.state());
      expect(await again.state()).toEqual(await b.state());
    });
  }
});
