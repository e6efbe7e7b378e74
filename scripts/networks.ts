/** The networks of a folder of weights, and pictures made with them, for the scripts beside this file. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { withoutEffects } from '../src/autograd/effects.ts';
import { noGrad } from '../src/autograd/index.ts';
import { UserError } from '../src/io/errors.ts';
import type { Rgb8 } from '../src/io/images.ts';
import { readSafetensors } from '../src/io/safetensors.ts';
import { initialize, loadStateDict, type Module, type StateDict } from '../src/models/module.ts';
import type { Device } from '../src/runtime/device.ts';
import type { Tensor } from '../src/runtime/tensor.ts';

/** Images a forward pass. */
export const BATCH = 50;

/** A network with the weights of FOLDER/FILE.safetensors (its keys behind `prefix`), frozen and in evaluation mode. */
export function readNetwork<T extends Module>(
  device: Device,
  network: T,
  { folder, file, prefix = '' }: { folder: string; file: string; prefix?: string },
): T {
  const path = join(folder, `${file}.safetensors`);
  if (!existsSync(path)) throw new UserError(`${path} is not there; weights/README.md says how it is made`);
  const values = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>();
  for (const [key, tensor] of readSafetensors(readFileSync(path), { name: path })) {
    if (!key.startsWith(prefix)) continue;
    values.set(key.slice(prefix.length), { shape: tensor.shape, data: tensor.data() as ArrayLike<number> });
  }
  network.freeze().eval();
  initialize(network, device);
  loadStateDict(network, values satisfies StateDict, { source: path });
  return network;
}

/** Calls `forward` for the images `first` to `first + count` of each batch and joins what it returns, an image a row. */
export async function inBatches(
  device: Device,
  count: number,
  forward: (first: number, count: number) => Tensor,
): Promise<{ rows: number; values: Float32Array }> {
  const parts: Float32Array[] = [];
  for (let first = 0; first < count; first += BATCH) {
    const size = Math.min(BATCH, count - first);
    const read = device.scope('batch', () => noGrad(() => withoutEffects(() => forward(first, size).read())));
    parts.push(await read);
  }
  return { rows: count, values: concatenate(parts) };
}

export function concatenate(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Writes a picture as PNG, each pixel `zoom` pixels wide. */
export async function writePng(path: string, { width, height, data }: Rgb8, zoom = 3): Promise<void> {
  const png = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize(width * zoom, height * zoom, { kernel: 'nearest' })
    .png()
    .toBuffer();
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, png);
  console.error(path);
}
