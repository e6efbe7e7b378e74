import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import type { GoldenCase } from '../src/cli/goldens/format.ts';
import { verifyCase } from '../src/cli/goldens/verify.ts';
import { useDevice } from './device.ts';

const { cases } = JSON.parse(readFileSync(new URL('./goldens/ops.json', import.meta.url), 'utf8')) as {
  cases: GoldenCase[];
};

/** What no system of the project needs: these ops, and these uses of others. All else must pass. */
const UNKNOWN_OPS = [
  ...['einsum', 'silu', 'elu', 'sin', 'cos', 'erf', 'gelu', 'log1p', 'expm1', 'instance_norm', 'layer_norm'],
  ...['group_norm', 'adaptive_max_pool2d', 'binary_cross_entropy_with_logits', 'l1_loss', 'smooth_l1_loss', 'max'],
  ...['min', 'argmax', 'argmin', 'std', 'norm', 'prod', 'gather', 'scatter_add', 'index_select', 'embedding', 'roll'],
  ...['repeat', 'repeat_interleave', 'cumsum', 'maximum', 'minimum', 'where', 'scaled_dot_product_attention'],
  ...['pixel_shuffle', 'unfold', 'grid_sample'],
];
const UNKNOWN_USES = [
  /^op\.conv2d\.dilated/,
  /^op\.matmul\.(7|10|12|13)$/, // four axes, or one
  /^op\.pow\.7$/, // a tensor as the exponent
  /^op\.avg_pool2d\.[2-6]$/, // padding, partial windows
  /^op\.interpolate\.bicubic/,
  /^op\.cross_entropy\.[235]$/, // other reductions, label smoothing
  /^op\.pad\.[2-4]$/, // values other than 0
];
const isUnknown = ({ op, name }: GoldenCase) =>
  UNKNOWN_OPS.includes(op!) || UNKNOWN_USES.some(pattern => pattern.test(name));

for (const limits of ['adapter', 'default'] as const) {
  describe(`operations against PyTorch, ${limits} limits`, () => {
    const gpu = useDevice({ limits });
    test.each(cases.map(golden => [golden.name, golden] as const))('%s', async (_, golden) => {
      const result = await verifyCase(gpu.device, golden);
      if (isUnknown(golden)) expect(result.worst).toBe('unknown');
      else expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
    });
  });
}

describe('convolutions and products against PyTorch, through tiles in workgroup memory', () => {
  const gpu = useDevice();
  const kernel = 'gemm';
  beforeAll(() => gpu.device.choices.prefer(kernel));
  const families = ['conv2d', 'conv_transpose2d', 'matmul', 'linear'];
  const chosen = cases.filter(golden => families.includes(golden.op!) && !isUnknown(golden));
  test.each(chosen.map(golden => [golden.name, golden] as const))('%s', async (_, golden) => {
    const result = await verifyCase(gpu.device, golden);
    expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
  });

  test('they were taken wherever they are offered', () => {
    const { device } = gpu;
    expect(device.choices.met.size).toBeGreaterThan(20);
    for (const { family, problem, variant } of device.choices.met.values()) {
      const offered = family.variants(problem, device).some(one => one.kernel === kernel);
      expect(variant.kernel === kernel).toBe(offered);
    }
  });
});
