import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { GoldenCase } from '../src/cli/goldens/format.ts';
import { verifyCase } from '../src/cli/goldens/verify.ts';
import { useDevice } from './device.ts';

/** Cases of more than 5 GFLOP are in test/long. */
const HEAVY = ['lpips.vgg', 'idLoss.official', 'e2style.idLoss.official'];

for (const file of ['losses', 'e2style-losses']) {
  const url = new URL(`./goldens/${file}.json`, import.meta.url);
  const { cases } = JSON.parse(readFileSync(url, 'utf8')) as { cases: GoldenCase[] };

  describe(`${file} against PyTorch`, () => {
    const gpu = useDevice();
    const light = cases.filter(({ name }) => !HEAVY.includes(name));
    test.each(light.map(golden => [golden.name, golden] as const))('%s', async (_, golden) => {
      const result = await verifyCase(gpu.device, golden);
      expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
    });
  });
}
