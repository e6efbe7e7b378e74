import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { GoldenCase } from '../src/cli/goldens/format.ts';
import { builders } from '../src/cli/goldens/modules.ts';
import { verifyCase } from '../src/cli/goldens/verify.ts';
import { useDevice } from './device.ts';

/** The cases of published size take seconds to minutes each: test/long. */
const isOfficial = ({ config }: GoldenCase) => config?.numLayers === 50;

for (const file of ['irse', 'encoders-psp', 'e2style-encoder']) {
  const url = new URL(`./goldens/${file}.json`, import.meta.url);
  const { cases } = JSON.parse(readFileSync(url, 'utf8')) as { cases: GoldenCase[] };
  const named = cases.map(golden => [golden.name, golden] as const);

  describe(`${file} against PyTorch`, () => {
    const gpu = useDevice();
    test.each(named.filter(([, golden]) => !isOfficial(golden)))('%s', async (_, golden) => {
      const result = await verifyCase(gpu.device, golden);
      expect(result.error, result.worst).toBeLessThanOrEqual(result.tolerance);
    });
  });

  test.each(named)('%s lists its state in the official order', (_, golden) => {
    const official = [...golden.state!].sort((a, b) => a[4] - b[4]).map(([key, shape]) => ({ key, shape }));
    const { module } = builders[golden.module!]!(golden);
    expect([...module!.state()].map(([key, { shape }]) => ({ key, shape }))).toEqual(official);
  });
}
