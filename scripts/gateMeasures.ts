/** What scripts/gates.ts measures of the networks in weights/. */
import { FACE_CLASSES, faceParameters, HELD_OUT_IDENTITIES, renderFaces } from '../src/data/faces.ts';
import type { RecognitionNetwork } from '../src/models/arcface.ts';
import type { LpipsLike } from '../src/models/lpips.ts';
import type { ParsingUNet } from '../src/models/parsing.ts';
import type { Generator } from '../src/models/stylegan2/generator.ts';
import type { Device } from '../src/runtime/device.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { cropFace } from '../src/train/losses.ts';
import { FeatureCollector } from '../src/train/metrics/featureCollector.ts';
import { type Features, frechetDistance, Gaussian } from '../src/train/metrics/frechet.ts';
import { samples } from '../src/train/metrics/generator.ts';
import { kernelDistance } from '../src/train/metrics/kernelDistance.ts';
import { perceptualFeatures } from '../src/train/metrics/networks.ts';
import { products } from '../src/train/metrics/products.ts';
import { pairSimilarities, similarityGap, verificationAccuracy } from '../src/train/metrics/recognition.ts';
import { labelMap, meanIoU } from '../src/train/metrics/segmentation.ts';
import { heldOutFaces } from '../src/train/recipes/common.ts';
import type { Compute } from '../src/train/training.ts';
import { BATCH, inBatches } from './networks.ts';

/** Images [count, 3, S, S] in [-1, 1], from the number `first` on. */
export type Images = (first: number, count: number) => Tensor;

/** Pixels of faces where nothing else is said: the recognition networks see them in 24. */
export const SIZE = 32;

/** Held-out faces, from the number `offset` on. */
export function realImages(device: Device, { size = SIZE, offset = 0 } = {}): Images {
  return (first, count) => renderFaces(device, heldOutFaces(offset + first, count), size).image;
}

/** Samples of a generator with fresh noise and without truncation. */
export function samplesOf(device: Device, generator: Generator): Images {
  return (first, count) => {
    const step = device.tensor([first], [1], 'u32');
    return samples(generator, { seed: 1, stream: 'gate', batch: count })(step);
  };
}

// The generator

/** The features of FID-like(self): 64 an image. */
export async function features(device: Device, trunk: LpipsLike, images: Images, count: number): Promise<Features> {
  const collector = new FeatureCollector(device, perceptualFeatures(trunk, 'perceptual-32'), eager);
  for (let first = 0; first < count; first += BATCH) {
    const size = Math.min(BATCH, count - first);
    await collector.add('images', () => images(first, size), size);
  }
  return collector.features;
}

export interface Distances {
  readonly fid: number;
  readonly kid: number;
}

/** FID-like(self) and KID-like(self). */
export async function distances(device: Device, a: Features, b: Features): Promise<Distances> {
  const multiply = products(device, a.values.length / a.rows)(eager);
  return { fid: frechetDistance(new Gaussian(a), new Gaussian(b)), kid: await kernelDistance(multiply, a, b) };
}

/** What is computed differs from call to call, so nothing is recorded. */
const eager: Compute = async (_, body) => body();

/** Shares of label maps [N, S, S] in which skin and mouth are found, and both eyes. */
export interface FoundParts {
  /** Both eyes by their own classes. */
  readonly eyes: number;
  /** Both eyes, or glasses, whose class hides the eyes behind them. */
  readonly eyesOrGlasses: number;
}

/** A part is found if `least` pixels are of its class; the mouth, if they are of its inside or of a lip. */
export function foundParts(maps: ArrayLike<number>, images: number, least = 1): FoundParts {
  const id = (name: (typeof FACE_CLASSES)[number]) => FACE_CLASSES.indexOf(name);
  const pixels = maps.length / images;
  let [eyes, eyesOrGlasses] = [0, 0];
  for (let n = 0; n < images; n++) {
    const area = new Uint32Array(FACE_CLASSES.length);
    for (let p = 0; p < pixels; p++) area[maps[n * pixels + p]]++;
    const found = (name: (typeof FACE_CLASSES)[number]) => area[id(name)] >= least;
    if (!found('skin') || !(found('mouth') || found('u_lip') || found('l_lip'))) continue;
    const both = found('l_eye') && found('r_eye');
    if (both) eyes++;
    if (both || found('eye_g')) eyesOrGlasses++;
  }
  return { eyes: eyes / images, eyesOrGlasses: eyesOrGlasses / images };
}

/** The parser's label maps of images of `size` pixels, [count, size, size]. */
export async function parsedMaps(
  device: Device,
  parser: ParsingUNet,
  images: Images,
  { count, size }: { readonly count: number; readonly size: number },
): Promise<Uint8Array> {
  const { values } = await inBatches(device, count, (first, rows) => parser.forward(images(first, rows)));
  return labelMap(values, [count, FACE_CLASSES.length, size, size]);
}

/** The exact label maps of the held-out faces. */
export function exactMaps(
  device: Device,
  { count, size }: { readonly count: number; readonly size: number },
): Promise<Uint32Array> {
  return device.scope('exact maps', () => device.readU32(renderFaces(device, heldOutFaces(0, count), size).labels));
}

export function parsingScore(predicted: ArrayLike<number>, truth: ArrayLike<number>) {
  return meanIoU(predicted, truth, FACE_CLASSES.length);
}

// Recognition

const VIEWS = 4;

/**
 * Verification of people whom no training has seen, in `pairs` pairs of photographs: as many of one person (views 1 and 2, 3 and 4) as of two (a
 * view of each and of the next).
 */
export async function verification(
  device: Device,
  network: RecognitionNetwork,
  pairs: number,
): Promise<{ accuracy: number; gap: number }> {
  const people = pairs / VIEWS;
  const embeddings = await inBatches(device, people * VIEWS, (first, count) => {
    const faces = Array.from({ length: count }, (_, i) =>
      faceParameters(HELD_OUT_IDENTITIES.first + Math.floor((first + i) / VIEWS), (first + i) % VIEWS),
    );
    return network.forward(cropFace(renderFaces(device, faces, SIZE).image, network.inputSize));
  });
  const chosen: [number, number][] = [];
  for (let person = 0; person < people; person++) {
    const own = person * VIEWS;
    const next = ((person + 1) % people) * VIEWS;
    chosen.push([own, own + 1], [own + 2, own + 3], [own, next + 1], [own + 2, next + 3]);
  }
  const similarities = pairSimilarities(embeddings, chosen);
  const same = chosen.map((_, i) => i % 4 < 2);
  return {
    accuracy: verificationAccuracy({ similarities, same }),
    gap: similarityGap({ similarities, same }),
  };
}
