import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { GoldenCase } from '../src/cli/goldens/format.ts';
import { builders } from '../src/cli/goldens/modules.ts';
import { verifyCase } from '../src/cli/goldens/verify.ts';
import { useDevice } from './device.ts';

/** The others are in test/long. */
const isShort = ({ gflop }: GoldenCase) => gflop! < 5;

for (const file of ['irse', 'encoders-psp', 'e2style-encoder', 'inception']) {
  const url = new URL(`./goldens/${file}.json`, import.meta.url);
  const { cases } = JSON.parse(readFileSync(url, 'utf8')) as { cases: GoldenCase[] };
  const named = cases.map(golden => [golden.name, golden] as const);

  describe(`${file} against PyTorch`, () => {
    const gpu = useDevice();
    test.each(named.filter(([, golden]) => isShort(golden)))('%s', async (_, golden) => {
      const result = await verifyCase(gpu.device, golden);
      gpu.device.trim();
      expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
    });
  });

  test.each(named)('%s lists its state in the official order', (_, golden) => {
    const official = [...golden.state!].sort((a, b) => a[4] - b[4]).map(([key, shape]) => ({ key, shape }));
    const { module } = builders[golden.module!]!(golden);
    // The cases leave the counters out.
    const state = [...module!.state()].filter(([, { isOptional }]) => !isOptional);
    expect(state.map(([key, { shape }]) => ({ key, shape }))).toEqual(official);
  });
}
