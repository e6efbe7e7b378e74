import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { GoldenCase } from '../../src/cli/goldens/format.ts';
import { verifyCase } from '../../src/cli/goldens/verify.ts';
import { useDevice } from '../device.ts';

describe('encoders of published size against PyTorch', () => {
  const gpu = useDevice();
  for (const file of ['irse', 'encoders-psp', 'e2style-encoder', 'inception']) {
    const url = new URL(`../goldens/${file}.json`, import.meta.url);
    const { cases } = JSON.parse(readFileSync(url, 'utf8')) as { cases: GoldenCase[] };
    const long = cases.filter(({ gflop }) => gflop! >= 5);
    test.each(long.map(golden => [golden.name, golden] as const))(
      '%s',
      async (_, golden) => {
        const result = await verifyCase(gpu.device, golden);
        gpu.device.trim();
        expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
      },
      600_000,
    );
  }
});
