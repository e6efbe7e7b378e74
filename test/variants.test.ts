import { beforeAll, describe, expect, test } from 'vitest';
import type { Device } from '../src/runtime/device.ts';
import { gemmVariants } from '../src/runtime/gemm.ts';
import { cast } from '../src/runtime/kernels/cast.ts';
import { convTranspose2d } from '../src/runtime/kernels/conv.ts';
import { CONV2D } from '../src/runtime/kernels/convForward.ts';
import { allOf, convTranspose2dReference, exactNumbers, firstWrong } from '../src/runtime/reference.ts';
import { sizeOf } from '../src/runtime/shape.ts';
import { type Family, parseVariant, sameVariant, type Variant, variantText } from '../src/runtime/variants.ts';
import { useDevice } from './device.ts';
import { familyProblems } from './variantProblems.ts';

interface Case {
  readonly family: Family<unknown>;
  readonly problem: unknown;
}

const cases = familyProblems.flatMap(([family, problems]) => problems.map(problem => ({ family, problem })));

/** A variant but for split-K, which is no other pipeline. */
const pipelineOf = ({ kernel, tile: { SPLITS, ...tile } }: Variant) => variantText({ kernel, tile });

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

  test('the input gradient goes through those of conv2d, with the weight turned round', async () => {
    const { device } = on;
    const sizes = { n: 2, c: 12, height: 9, width: 8, o: 8, outHeight: 9, outWidth: 8, kh: 3, kw: 3 };
    const geometry = { stride: [1, 1], padding: [1, 1], groups: 2 } as const;
    const values = [exactNumbers(2 * 12 * 9 * 8, 1), exactNumbers(12 * 4 * 9, 2)];
    const expected = Float32Array.from(allOf(convTranspose2dReference({ ...sizes, ...geometry, half: false }, values)));
    // At these sizes the plain convolution that computes it has the same ones.
    const problem = { ...sizes, ...geometry, half: false };
    const variants = CONV2D.variants(problem, device);
    for (const variant of [variants[0], variants[variants.length - 1]]) {
      device.choices.set(`conv2d ${CONV2D.shapeClass(problem)}`, variant);
      const result = device.scope('input gradient', () => {
        const [x, w] = [device.tensor(values[0], [2, 12, 9, 8]), device.tensor(values[1], [12, 4, 3, 3])];
        return convTranspose2d(x, w, geometry, [9, 8]).read();
      });
      expect(await result, variantText(variant)).toEqual(expected);
      expect(device.choices.used()[`conv2d ${CONV2D.shapeClass(problem)}`]).toBe(variantText(variant));
    }
  });

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
