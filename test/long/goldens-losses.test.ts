import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { GoldenCase } from '../../src/cli/goldens/format.ts';
import { verifyCase } from '../../src/cli/goldens/verify.ts';
import { useDevice } from '../device.ts';

/** The cases of more than 5 GFLOP. */
const HEAVY = ['lpips.vgg', 'idLoss.official', 'e2style.idLoss.official'];

describe('losses of published size against PyTorch', () => {
  const gpu = useDevice();
  const files = ['losses', 'e2style-losses'].map(file => new URL(`../goldens/${file}.json`, import.meta.url));
  const cases = files.flatMap(url => JSON.parse(readFileSync(url, 'utf8')).cases as GoldenCase[]);
  const heavy = cases.filter(({ name }) => HEAVY.includes(name));
  test.each(heavy.map(golden => [golden.name, golden] as const))('%s', async (_, golden) => {
    const result = await verifyCase(gpu.device, golden);
    expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
  });
});
