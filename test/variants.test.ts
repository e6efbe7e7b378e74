import { beforeAll, describe, expect, test } from 'vitest';
import type { Device } from '../src/runtime/device.ts';
import { gemmVariants } from '../src/runtime/gemm.ts';
import { cast } from '../src/runtime/kernels/cast.ts';
import { convTranspose2d } from '../src/runtime/kernels/conv.ts';
import { CONV2D, correlate, plainSteps } from '../src/runtime/kernels/convForward.ts';
import { CONV_TRANSPOSE2D } from '../src/runtime/kernels/convTransposed.ts';
import {
  allOf,
  conv2dReference,
  convTranspose2dReference,
  exactNumbers,
  firstWrong,
  spread as indicesOf,
} from '../src/runtime/reference.ts';
import { sizeOf } from '../src/runtime/shape.ts';
import {
  type Family,
  loadingLanes,
  parseVariant,
  sameVariant,
  type Variant,
  variantText,
} from '../src/runtime/variants.ts';
import { useDevice } from './device.ts';
import { convolution, familyProblems, transposed } from './variantProblems.ts';

interface Case {
  readonly family: Family<unknown>;
  readonly problem: unknown;
}

const cases = familyProblems.flatMap(([family, problems]) => problems.map(problem => ({ family, problem })));

/** A variant but for the lanes of a workgroup, which its sizes decide, and for split-K, which is no other pipeline. */
const pipelineOf = ({ kernel, tile: { SPLITS, WORKGROUP, ...tile } }: Variant) => variantText({ kernel, tile });

/**
 * Which variants each problem checks, as compiling takes a CPU driver up to a second: of each kernel those that were
 * checked least before, so that all problems go through all kernels; and what is left over where it is offered last.
 */
function spread(device: Device): Map<unknown, Variant[]> {
  const counts = new Map<string, number>();
  const chosen = new Map<unknown, Variant[]>();
  for (const { family, problem } of cases) {
    const name = (variant: Variant) => `${family.name} ${pipelineOf(variant)}`;
    const times = (variant: Variant) => counts.get(name(variant)) ?? 0;
    const variants = family.variants(problem, device);
    const others = cases
      .slice(cases.findIndex(one => one.problem === problem) + 1)
      .filter(one => one.family === family);
    const later = new Set(others.flatMap(one => family.variants(one.problem, device)).map(pipelineOf));
    const least = [...new Set(variants.map(({ kernel }) => kernel))].map(kernel =>
      variants.filter(one => one.kernel === kernel).reduce((a, b) => (times(b) < times(a) ? b : a)),
    );
    const last = variants.filter(one => times(one) === 0 && !later.has(pipelineOf(one)));
    const names = new Set([...least, ...last].map(pipelineOf));
    for (const each of names) counts.set(`${family.name} ${each}`, (counts.get(`${family.name} ${each}`) ?? 0) + 1);
    chosen.set(
      problem,
      variants.filter(one => names.has(pipelineOf(one))),
    );
  }
  return chosen;
}

async function check(device: Device, { family, problem }: Case, variants: readonly Variant[]): Promise<void> {
  const shapes = family.operands(problem);
  const dtype = family.dtype(problem);
  const values = shapes.map((shape, i) => exactNumbers(sizeOf(shape), i + 1));
  const reference = family.reference(problem, values);
  const operands = device.scope('operands', () =>
    shapes.map((shape, i) => device.keep(cast(device.tensor(values[i], shape), dtype))),
  );
  const results = variants.map(variant =>
    device.scope('variant', () => cast(family.run(operands, problem, variant), 'f32').read()),
  );
  for (const [i, variant] of variants.entries()) {
    const result = await results[i];
    expect(result.length).toBe(sizeOf(reference.shape));
    expect(firstWrong(reference, result, dtype === 'f16' ? 2 ** -11 : 0), variantText(variant)).toBeUndefined();
  }
  for (const operand of operands) device.discard(operand);
}

/** Of each kernel the first variant. */
function ofEachKernel(variants: readonly Variant[]): Variant[] {
  return variants.filter(({ kernel }, i) => variants.findIndex(one => one.kernel === kernel) === i);
}

describe('every variant computes what the formula says', () => {
  const on = useDevice();
  let chosen: Map<unknown, Variant[]>;
  beforeAll(() => {
    chosen = spread(on.device);
  });

  const named = cases.map(one => ({ name: `${one.family.name} ${one.family.shapeClass(one.problem)}`, ...one }));
  test.each(named)('$name', one => check(on.device, one, chosen.get(one.problem)!));

  test('and each has been checked, no name stands for two', () => {
    for (const [family, problems] of familyProblems) {
      const offered = problems.map(problem => family.variants(problem, on.device).map(variantText));
      for (const names of offered) expect(new Set(names).size).toBe(names.length);
      const checked = new Set(problems.flatMap(problem => chosen.get(problem)!.map(pipelineOf)));
      const all = problems.flatMap(problem => family.variants(problem, on.device).map(pipelineOf));
      expect(new Set(all)).toEqual(checked);
    }
  });

  test('input gradients of stride 1 in groups, with the weight turned round', async () => {
    const { device } = on;
    const geometry = { stride: [1, 1], padding: [1, 1], groups: 2 } as const;
    const sizes = { n: 2, c: 8, height: 9, width: 16, o: 24, outHeight: 9, outWidth: 16, kh: 3, kw: 3, half: false };
    const values = [exactNumbers(2 * 8 * 9 * 16, 1), exactNumbers(8 * 12 * 9, 2)];
    // At these sizes the plain convolution that computes it has the same ones.
    const problem = { ...sizes, ...geometry };
    const expected = Float32Array.from(allOf(convTranspose2dReference(problem, values)));
    for (const variant of ofEachKernel(CONV2D.variants(problem, device))) {
      device.choices.set(`conv2d ${CONV2D.shapeClass(problem)}`, variant);
      const result = device.scope('input gradient', () => {
        const [x, w] = [device.tensor(values[0], [2, 8, 9, 16]), device.tensor(values[1], [8, 12, 3, 3])];
        return convTranspose2d(x, w, geometry, [9, 16]).read();
      });
      expect(await result, variantText(variant)).toEqual(expected);
      expect(device.choices.used()[`conv2d ${CONV2D.shapeClass(problem)}`]).toBe(variantText(variant));
    }
  });

  test('styles, demodulation, noise, bias and activation around conv2d', async () => {
    const { device } = on;
    const sizes = convolution({ x: [2, 6, 3, 5], o: 20, k: [3, 3], p: [1, 1], g: 2 });
    const [pixels, styles, scale] = [2 * 6 * 15, 2 * 6, 2 * 20].map((size, i) => exactNumbers(size, i + 1));
    const [filters, bias, noise] = [20 * 3 * 9, 20, 2 * 15].map((size, i) => exactNumbers(size, i + 4));
    const styled = pixels.map((value, i) => value * styles[Math.floor(i / 15)]);
    const expected = allOf(conv2dReference(sizes, [styled, filters])).map((sum, i) => {
      const map = Math.floor(i / 15);
      const v = sum * scale[map] + 0.5 * noise[Math.floor(map / 20) * 15 + (i % 15)] + bias[map % 20];
      return 2 * (v > 0 ? v : v / 4);
    });
    for (const variant of ofEachKernel(CONV2D.variants({ ...sizes, fused: true }, device))) {
      const result = device.scope('styled convolution', () => {
        const map = { map: device.tensor(noise, [2, 1, 3, 5]), strength: device.tensor([0.5], [1]) };
        const epilogue = { bias: device.tensor(bias, [20]), slope: 0.25, gain: 2 };
        return correlate(
          {
            x: device.tensor(pixels, [2, 6, 3, 5]),
            w: device.tensor(filters, [20, 3, 3, 3]),
            sizes,
            steps: plainSteps(sizes),
            epilogue: { ...epilogue, scale: device.tensor(scale, [2, 20]), noise: map },
            styles: device.tensor(styles, [2, 6]),
          },
          variant,
        ).read();
      });
      expect(Float64Array.from(await result), variantText(variant)).toEqual(expected);
    }
  });

  test.each([
    {
      family: CONV2D,
      rows: (height: number, o: number) => convolution({ x: [1, 1, height, 1], o, k: [1, 1] }),
    },
    {
      family: CONV_TRANSPOSE2D,
      rows: (height: number, o: number) => transposed({ x: [1, o, 2 * height, 1], o: 1, k: [2, 1], s: [2, 1] }),
    },
  ])('more patches of $family.name than workgroups stand in a row', async ({ family, rows }) => {
    const { device } = on;
    const lanes = loadingLanes(device);
    // A line of pixels is a patch, and as many channels as a subgroup has lanes are a block.
    const isOneLine = ({ tile }: Variant) => tile.ROWS === 1 && tile.VECTORS === 1;
    const variants = ofEachKernel(family.variants(rows(8, Math.max(lanes, 1)), device).filter(isOneLine));
    expect(variants.map(({ kernel }) => kernel)).toEqual(lanes > 0 ? ['subgroup', 'direct'] : ['direct']);
    for (const variant of variants) {
      const { LANES = 1, WORKGROUP = 1 } = variant.tile;
      const problem = rows(65_538 * WORKGROUP, LANES);
      const values = family.operands(problem).map((shape, i) => exactNumbers(sizeOf(shape), i + 1));
      const result = await device.scope('rows', () => {
        const operands = family.operands(problem).map((shape, i) => device.tensor(values[i], shape));
        return family.run(operands, problem, variant).read();
      });
      const reference = family.reference(problem, values);
      const some = indicesOf(sizeOf(reference.shape), 20_011);
      expect(firstWrong(reference, result, 0, some), variantText(variant)).toBeUndefined();
    }
  });
});

describe('default limits', () => {
  const on = useDevice({ limits: 'default' });

  const first = familyProblems.map(([family, [problem]]) => ({ name: family.name, family, problem }));
  test.each(first)('$name', async ({ family, problem }) => {
    const { device } = on;
    const variants = family.variants(problem, device);
    await check(device, { family, problem }, [variants[0], variants[variants.length - 1]]);
  });
});

describe('variants', () => {
  const on = useDevice({ limits: 'default' });

  test('none asks for more than the limits allow', () => {
    const { device } = on;
    const allowed = { maxComputeInvocationsPerWorkgroup: 64, maxComputeWorkgroupStorageSize: 4096 };
    const limits = { ...allowed, maxComputeWorkgroupSizeX: 256, maxBufferSize: 2 ** 28 };
    const small: Device = Object.create(device, { limits: { value: limits } });
    const extent = { count: 1, rows: 512, columns: 512, inner: 512, half: false };
    const [all, fitting] = [gemmVariants(extent, device), gemmVariants(extent, small)];
    expect(fitting.length).toBeGreaterThan(0);
    expect(fitting.length).toBeLessThan(all.length);
    expect(gemmVariants({ ...extent, half: true }, device)).toEqual([]); // no shader-f16 among the default limits
    const size = ({ tile: { TILE_M, TILE_N, TILE_K, ROWS, COLUMNS } }: Variant) => ({
      lanes: (TILE_M * TILE_N) / ROWS / COLUMNS,
      bytes: 4 * (TILE_M + TILE_N) * TILE_K,
    });
    for (const { lanes, bytes } of fitting.map(size)) expect(lanes <= 64 && bytes <= 4096).toBe(true);
    for (const { lanes, bytes } of all.map(size)) expect(lanes <= 256 && bytes <= 16384).toBe(true);
    for (const { family, problem } of cases) {
      if (family.dtype(problem) === 'f16') continue;
      for (const { tile } of family.variants(problem, device)) expect(tile.WORKGROUP ?? 0).toBeLessThanOrEqual(256);
    }
  });

  test.each<Variant>([
    { kernel: 'direct', tile: {} },
    { kernel: 'gemm', tile: { TILE_M: 64, SPLITS: 1 } },
  ])('%j is written as text and read again', variant => {
    expect(sameVariant(parseVariant(variantText(variant))!, variant)).toBe(true);
  });

  test.each(['', 'gemm ', 'gemm TILE_M', 'gemm TILE_M=x', 'gemm A=1 B=2', '../x'])('%j is no variant', text => {
    expect(parseVariant(text)).toBeUndefined();
  });
});
