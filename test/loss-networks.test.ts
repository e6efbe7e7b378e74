import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { writeSafetensors } from '../src/io/safetensors.ts';
import { type StoredTensor, tensorOf } from '../src/io/storedTensor.ts';
import { streamTorch } from '../src/io/torch/write.ts';
import { Lpips, LpipsLike, type PerceptualDistance } from '../src/models/lpips.ts';
import { initialize, readStateDict, release } from '../src/models/module.ts';
import { random } from '../src/runtime/kernels/random.ts';
import { openLpips, openParsing, openRecognition } from '../src/train/recipes/lossNetworks.ts';
import { useDevice } from './device.ts';

const fixtures = join(import.meta.dirname, 'fixtures', 'foreign');
const folder = mkdtempSync(join(tmpdir(), 'wgrad-loss-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** torchvision's SqueezeNet with random values, and linear layers for it. */
async function files(): Promise<{ trunk: string; linear: string; values: Map<string, Float32Array> }> {
  const values = new Map<string, Float32Array>();
  const [trunk, linear] = [new Map<string, StoredTensor>(), new Map<string, StoredTensor>()];
  for (const [key, { shape, size }] of new Lpips({ net: 'squeeze' }).state()) {
    if (key.startsWith('scaling')) continue;
    const data = Float32Array.from({ length: size }, () => Math.random());
    values.set(key, data);
    if (key.startsWith('lin')) linear.set(key, tensorOf(data, shape));
    else trunk.set(key.replace(/^net\.slice\d+/, 'features'), tensorOf(data, shape));
  }
  const write = async (name: string, state: Map<string, StoredTensor>) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of streamTorch(state)) pieces.push(piece);
    writeFileSync(join(folder, name), Buffer.concat(pieces));
    return join(folder, name);
  };
  return { trunk: await write('squeeze.pth', trunk), linear: await write('lin.pth', linear), values };
}

describe('loss networks of files', () => {
  const context = useDevice();

  test('LPIPS of a trunk and its linear layers, in either order', async () => {
    const { trunk, linear, values } = await files();
    for (const given of [`${trunk},${linear}`, `${linear}, ${trunk}`]) {
      const lpips = await openLpips(context.device, given);
      const state = await readStateDict(lpips);
      for (const [key, data] of values) {
        const found = state.get(key)!.data;
        expect(
          data.every((value, i) => value === found[i]),
          key,
        ).toBe(true);
      }
      expect([...state.get('scaling_layer.shift')!.data]).toEqual([...Float32Array.of(-0.03, -0.088, -0.188)]);
      expect(lpips.title).toBe('LPIPS');
      release(lpips);
    }
    await expect(openLpips(context.device, trunk)).rejects.toThrow(
      'found SqueezeNet 1.1 trunk; give LPIPS, or a trunk',
    );
    await expect(openLpips(context.device, `${trunk},${join(fixtures, 'lpips-alex.pth')}`)).rejects.toThrow(
      'the model wants [64, 3, 11, 11]',
    );
  });

  test('LPIPS-like(self) of a run, by its own width, under its own title', async () => {
    const { device } = context;
    const trained = new LpipsLike({ width: 4 });
    initialize(trained, device, { seed: 3 });
    const file = join(folder, 'perceptual.safetensors');
    writeFileSync(file, Buffer.concat(writeSafetensors(await readStateDict(trained))));
    const network = await openLpips(device, file);
    expect(network.title).toBe('LPIPS-like(self)');
    const step = device.tensor([0], [1], 'u32');
    const [a, b] = [1, 2].map(seed => random(device, [1, 3, 64, 64], 'uniform', { seed, stream: 'images', step }));
    const distance = (of: PerceptualDistance) => of.distance(of.features(a), of.features(b)).read();
    expect(await distance(network)).toEqual(await distance(trained));
    await expect(openLpips(device, `${file},${file}`)).rejects.toThrow(
      'found trunk of LPIPS-like(self) and trunk of LPIPS-like(self); give LPIPS',
    );
  });

  test('a recognition network and a parsing network, by their own sizes', async () => {
    const recognition = await openRecognition(context.device, join(fixtures, 'recognition.pth'));
    expect(recognition.inputSize).toBe(32);
    release(recognition);
    release(await openRecognition(context.device, join(fixtures, 'curricular.pth')));
    const parsing = await openParsing(context.device, join(fixtures, 'parsing.pth'));
    expect((await readStateDict(parsing)).get('conv1.conv1.0.weight')!.shape).toEqual([1, 3, 3, 3]);
    release(parsing);
    await expect(openRecognition(context.device, join(fixtures, 'parsing.pth'))).rejects.toThrow(
      'parsing.pth: found face parsing U-Net, wanted a face recognition network',
    );
    await expect(openParsing(context.device, join(fixtures, 'psp.pt'))).rejects.toThrow('found pSp encoder');
  });
});
