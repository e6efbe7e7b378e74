import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { GoldenCase } from '../src/cli/goldens/format.ts';
import { verifyCase } from '../src/cli/goldens/verify.ts';
import { useDevice } from './device.ts';

const { cases } = JSON.parse(readFileSync(new URL('./goldens/ops.json', import.meta.url), 'utf8')) as {
  cases: GoldenCase[];
};

for (const limits of ['adapter', 'default'] as const) {
  describe(`operations against PyTorch, ${limits} limits`, () => {
    const gpu = useDevice({ limits });
    test.each(cases.map(golden => [golden.name, golden] as const))('%s', async (_, golden) => {
      const result = await verifyCase(gpu.device, golden);
      if (result.error === undefined) return;
      expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
    });
  });
}
