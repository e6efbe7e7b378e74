import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { GoldenCase } from '../src/cli/goldens/format.ts';
import { builders } from '../src/cli/goldens/modules.ts';
import { verifyCase } from '../src/cli/goldens/verify.ts';
import { useDevice } from './device.ts';

const { cases } = JSON.parse(readFileSync(new URL('./goldens/stylegan2.json', import.meta.url), 'utf8')) as {
  cases: GoldenCase[];
};
const named = cases.map(golden => [golden.name, golden] as const);

/** The case of published width costs 8 GFLOP: test/long. */
const light = named.filter(([name]) => name !== 'stylegan2.generator.full32');

describe('StyleGAN2 against PyTorch', () => {
  const gpu = useDevice();
  test.each(light)('%s', async (_, golden) => {
    const result = await verifyCase(gpu.device, golden);
    expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
  });
});

describe('StyleGAN2 against PyTorch, on a device with default limits', () => {
  const gpu = useDevice({ limits: 'default' });
  const some = light.filter(([name]) => /generator.small32|r1.micro16|pathLength.micro16/.test(name));
  test.each(some)('%s', async (_, golden) => {
    const result = await verifyCase(gpu.device, golden);
    expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
  });
});

test.each(named)('%s: keys and shapes of the state are the official ones', (_, golden) => {
  const { module, naming } = builders[golden.module!]!(golden);
  const listed = [...golden.state!, ...(golden.constants ?? [])].map(
    ([key, shape]) => [key, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) }] as const,
  );
  const official = new Map(naming ? naming.convert(new Map(listed)) : listed);
  official.delete('latent_avg');
  const shapes = (state: ReadonlyMap<string, { readonly shape: readonly number[] }>) =>
    Object.fromEntries([...state].map(([key, { shape }]) => [key, shape]));
  expect(shapes(module!.state())).toEqual(shapes(official));
});
