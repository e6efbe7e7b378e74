import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { GoldenCase } from '../../src/cli/goldens/format.ts';
import { verifyCase } from '../../src/cli/goldens/verify.ts';
import { useDevice } from '../device.ts';

const { cases } = JSON.parse(readFileSync(new URL('../goldens/stylegan2.json', import.meta.url), 'utf8')) as {
  cases: GoldenCase[];
};
const gpu = useDevice();

test('a generator of published width against PyTorch', async () => {
  const result = await verifyCase(gpu.device, cases.find(({ name }) => name === 'stylegan2.generator.full32')!);
  expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
}, 600_000);
