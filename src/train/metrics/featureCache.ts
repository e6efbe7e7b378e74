/** The features of the real images, kept in a run's folder: they are the same for every evaluation. */
import type { Folder } from '../../io/files.ts';
import { readSafetensors, writeSafetensors } from '../../io/safetensors.ts';
import type { Features } from './frechet.ts';
import type { FeatureNetwork } from './networks.ts';
import type { Reference } from './reference.ts';

/**
 * The features of the images of a data set as this network has them: those kept in `folder`/metrics/, or else computed,
 * and kept there. A file that is not whole is computed anew. Images that are replaced by others of the same names are
 * not noticed: remove metrics/ then.
 */
export async function cachedFeatures(
  folder: Folder | undefined,
  network: FeatureNetwork,
  { key }: Reference,
  compute: () => Promise<Features>,
): Promise<Features> {
  if (!folder) return compute();
  const name = `metrics/real-${await digest([network.name, await network.fingerprint(), key].join('\n'))}.safetensors`;
  const kept = (await folder.exists(name)) ? read(await folder.read(name), name, network.length) : undefined;
  if (kept) return kept;
  const features = await compute();
  const data = Float32Array.from(features.values);
  const tensors = new Map([['features', { shape: [features.rows, network.length], data }]]);
  await folder.folder('metrics');
  await folder.write(name, writeSafetensors(tensors));
  return features;
}

function read(bytes: Uint8Array, name: string, length: number): Features | undefined {
  try {
    const entry = readSafetensors(bytes, { name }).get('features');
    const values = entry?.data();
    if (!(values instanceof Float32Array) || entry?.shape.length !== 2 || entry.shape[1] !== length) return undefined;
    return { rows: entry.shape[0], values };
  } catch {
    return undefined;
  }
}

/** 64 bits of the SHA-256 of a text, in hexadecimal. */
async function digest(text: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash, 0, 8), byte => byte.toString(16).padStart(2, '0')).join('');
}
