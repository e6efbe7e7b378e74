/** Weights go to PyTorch and come from it, and compute the same there: the largest relative errors are printed. */
import { execFileSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { type StoredTensor, tensorOf } from '../../src/io/storedTensor.ts';
import { streamTorch } from '../../src/io/torch/write.ts';
import type { Foreign } from '../../src/models/foreign/kinds.ts';
import { foreignState, readForeign } from '../../src/models/foreign/read.ts';
import { foreignToTorch, type Layout } from '../../src/models/foreign/write.ts';
import { initialize, loadStateDict, readStateDict, release } from '../../src/models/module.ts';
import type { StyleGan2Config } from '../../src/models/stylegan2/config.ts';
import { Discriminator } from '../../src/models/stylegan2/discriminator.ts';
import { Generator } from '../../src/models/stylegan2/generator.ts';
import { useDevice } from '../device.ts';

const fixtures = join(import.meta.dirname, '..', 'fixtures', 'foreign');
const folder = mkdtempSync(join(tmpdir(), 'wgrad-torch-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A Python that has torch: Debian's, or the first on the path. */
const python = ['/usr/bin/python3', 'python3'].find(candidate => {
  try {
    execFileSync(candidate, ['-c', 'import torch, numpy'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});
if (!python) console.log('skipped: no python3 with torch is here (apt-get install python3-torch)');
const run = (...args: string[]) => execFileSync(python!, args, { encoding: 'utf8' });

const config: StyleGan2Config = { size: 32, channels: { 4: 24, 8: 20, 16: 16, 32: 12 }, wDim: 16, mappingLayers: 3 };

interface Numbers {
  readonly images: number[];
  readonly logits: number[];
}

/** The largest difference, relative to the largest value. */
function relativeError(found: ArrayLike<number>, wanted: readonly number[]): number {
  const scale = Math.max(...wanted.map(Math.abs));
  return wanted.reduce((worst, value, i) => Math.max(worst, Math.abs(found[i] - value)), 0) / scale;
}

describe.skipIf(!python)('beside PyTorch', () => {
  const context = useDevice();
  if (python) run(join(fixtures, 'reference.py'), 'write', folder);
  const inputs = python
    ? (JSON.parse(readFileSync(join(folder, 'inputs.json'), 'utf8')) as { z: number[] } & Record<Layout, Numbers>)
    : undefined;

  /** What our networks with these tensors give. */
  async function compute(networks: { generator: Generator; discriminator: Discriminator }) {
    const { device } = context;
    const { generator, discriminator } = networks;
    return device.scope('networks', () => {
      const z = device.tensor(inputs!.z, [4, 16]);
      const images = Float32Array.from({ length: 4 * 3 * 32 * 32 }, (_, i) => Math.sin(i * 0.37));
      const made = generator.forward(generator.mapping.forward(z));
      const logits = discriminator.forward(device.tensor(images, [4, 3, 32, 32]));
      return Promise.all([made.read(), logits.read()]);
    });
  }

  function networks() {
    const made = { generator: new Generator(config), discriminator: new Discriminator(config) };
    for (const module of Object.values(made)) {
      module.freeze();
      initialize(module, context.device, { seed: 3 });
    }
    return made;
  }

  test.each([
    ['nvlabs', 'snapshot.pkl'],
    ['rosinality', 'rosinality.pt'],
  ] as const)('from %s to wgrad', async (layout, file) => {
    const foreign = await readForeign(join(folder, file));
    const made = networks();
    loadStateDict(made.generator, await foreignState(foreign, 'g_ema.'));
    loadStateDict(made.discriminator, await foreignState(foreign, 'd.'));
    const [images, logits] = await compute(made);
    const errors = [relativeError(images, inputs![layout].images), relativeError(logits, inputs![layout].logits)];
    console.log(`from ${layout}: images ${errors[0].toExponential(1)}, logits ${errors[1].toExponential(1)}`);
    expect(Math.max(...errors)).toBeLessThan(1e-5);
    for (const module of Object.values(made)) release(module);
  });

  test.each(['nvlabs', 'rosinality'] as const)('from wgrad to %s', async layout => {
    const made = networks();
    const [images, logits] = await compute(made);
    const tensors = new Map<string, StoredTensor>();
    for (const [prefix, module] of [
      ['g_ema.', made.generator],
      ['d.', made.discriminator],
    ] as const) {
      for (const [key, { data, shape }] of await readStateDict(module))
        tensors.set(prefix + key, tensorOf(data, shape));
    }
    const foreign: Foreign = { kind: 'stylegan2', about: '', tensors, metadata: {}, leftOut: new Map() };
    const path = join(folder, `ours-${layout}.pt`);
    await pipeline(foreignToTorch(foreign, { layout }), createWriteStream(path));
    run(join(fixtures, 'reference.py'), 'run', folder, path, layout);
    const theirs = JSON.parse(readFileSync(join(folder, 'outputs.json'), 'utf8')) as Numbers;
    const errors = [relativeError(images, theirs.images), relativeError(logits, theirs.logits)];
    console.log(`to ${layout}: images ${errors[0].toExponential(1)}, logits ${errors[1].toExponential(1)}`);
    expect(Math.max(...errors)).toBeLessThan(1e-5);
    for (const module of Object.values(made)) release(module);
  });

  test('every fixture comes back through our .pt as torch.load has it, bit by bit', async () => {
    const script = join(folder, 'compare.py');
    writeFileSync(script, COMPARE);
    for (const [file, path] of [
      ['tensors-legacy.pt', 'state'],
      ['rosinality.pt', 'g_ema'],
      ['rosinality.pt', 'd'],
      ['psp.pt', 'state_dict'],
      ['e2style.pt', 'state_dict'],
      ['hyperstyle.pt', 'state_dict'],
      ['recognition.pth', ''],
      ['parsing.pth', ''],
    ]) {
      const out = join(folder, 'ours.pt');
      await pipeline(foreignToTorch(await readForeign(join(fixtures, file))), createWriteStream(out));
      expect(run(script, join(fixtures, file), out, path).trim(), file).toMatch(/^same \d+$/);
    }
  });

  test('a file of over 4 GiB, written in pieces', async () => {
    const zeros = new Uint8Array(1 << 24);
    const pieces = 257;
    const large: StoredTensor = {
      ...{ dtype: 'U8', shape: [pieces, zeros.length], identity: 'large' },
      async *chunks() {
        for (let i = 0; i < pieces; i++) yield zeros.fill(i);
      },
    };
    const path = join(folder, 'large.pt');
    const small = tensorOf(Float32Array.of(1, 2, 3), [3]);
    await pipeline(
      streamTorch(
        new Map([
          ['large', large],
          ['small', small],
        ]),
      ),
      createWriteStream(path),
    );
    const script = `import torch; x = torch.load('${path}'); print(x['large'][:, -1].tolist() == [i % 256 for i in range(${pieces})], x['small'].tolist())`;
    expect(run('-c', script).trim()).toBe('True [1.0, 2.0, 3.0]');
    const { tensors } = await readForeign(path);
    let at = 0;
    for await (const piece of tensors.get('large')!.chunks()) {
      expect(piece[piece.length - 1]).toBe(at++ % 256);
    }
    expect(at).toBe(pieces);
  }, 600_000);
});

/** compare.py THEIRS OURS PART: the same tensors of the same types, and of the same values. */
const COMPARE = `
import sys
import torch

theirs = torch.load(sys.argv[1])
ours = torch.load(sys.argv[2], weights_only=True)
if sys.argv[3]:
    theirs = theirs[sys.argv[3]]
    ours = ours[sys.argv[3]] if sys.argv[3] in ours else {k[len(sys.argv[3]) + 1:]: v for k, v in ours.items() if k.startswith(sys.argv[3] + '.')}
assert sorted(theirs) == sorted(ours), (sorted(theirs), sorted(ours))
narrow = {torch.float64: torch.float32, torch.int16: torch.int32, torch.int8: torch.int32}
for key, value in theirs.items():
    want = value.detach().to(narrow.get(value.dtype, value.dtype))
    assert ours[key].dtype == want.dtype, key
    assert ours[key].shape == want.shape, key
    assert torch.equal(ours[key], want), key
print('same', len(theirs))
`;
