import { faceInput, HELD_OUT_IDENTITIES, packFaces, renderFaces, sampleFaces } from '../../data/faces.ts';
import { loadImages } from '../../data/imageFolder.ts';
import { type ImageSampler, writePlanes } from '../../data/imageSampler.ts';
import { UserError } from '../../io/errors.ts';
import { shippedWeights } from '../../io/weights.ts';
import { initialize, loadStateDict, type Module } from '../../models/module.ts';
import type { Device } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';

/** Images [B, 3, S, S] in [-1, 1] for a training, and others that it never sees. */
export interface ImageSource {
  /** What the images are, for the report. */
  readonly about: string;
  /** Gets the images of a step ready; awaited before the step. */
  prepare(step: number): Promise<void> | void;
  /** The images of the prepared step; also in a phase. */
  images(): Tensor;
  /** The first `count` held-out images, or all where there are fewer; the same for every call. */
  heldOut(count: number): Promise<Tensor>;
  /** What those are, for the report. */
  readonly heldOutAbout: string;
  /** How long steps have waited for images, where they come from a disk. */
  readonly waitedMs?: number;
  /** Damaged images that were passed over so far. */
  readonly skipped: number;
  state(): unknown;
  restore(state: unknown): void;
}

export interface SourceOptions {
  readonly device: Device;
  /** 'faces', or the path of a folder or zip. */
  readonly data: string;
  readonly size: number;
  readonly batch: number;
  readonly seed: number;
  /** Told of each damaged image. */
  readonly message?: (text: string) => void;
}

export async function openSource(options: SourceOptions): Promise<ImageSource> {
  return options.data === 'faces' ? new FacesSource(options) : openFolderSource(options);
}

/** The procedural faces, rendered on the device as they are needed: a step's batch depends on its number alone. */
class FacesSource implements ImageSource {
  readonly about = 'procedural faces';
  readonly heldOutAbout = 'procedural faces of people whom the training never sees';
  readonly skipped = 0;
  private readonly faces: Tensor;

  constructor(private readonly options: SourceOptions) {
    this.faces = faceInput(options.device, options.batch);
  }

  prepare(step: number): void {
    const { device, batch, seed } = this.options;
    device.write(this.faces, packFaces(sampleFaces(step, batch, { seed })));
  }

  images(): Tensor {
    return renderFaces(this.options.device, this.faces, this.options.size).image;
  }

  async heldOut(count: number): Promise<Tensor> {
    const { device, size } = this.options;
    return device.scope('held-out faces', () => renderFaces(device, heldOutFaces(0, count), size).image);
  }

  state(): unknown {
    return null;
  }

  restore(): void {}
}

/** Faces of people whom no training sees: number `first` and those behind it, the same for every run. */
export function heldOutFaces(first: number, count: number) {
  const faces = [];
  for (let i = first; i < first + count; i++)
    faces.push(...sampleFaces(i, 1, { identities: HELD_OUT_IDENTITIES, seed: 77 }));
  return faces;
}

/** Every twentieth image of a folder is held out. */
const HELD_OUT_EVERY = 20;

async function openFolderSource({ device, data, size, batch, seed, message }: SourceOptions): Promise<ImageSource> {
  const folder = await loadImages({ source: data, size, onSkip: text => message?.(`image skipped: ${text}`) });
  const all = folder.entries.map((_, i) => i);
  const heldOut = all.filter(i => i % HELD_OUT_EVERY === 0);
  const indices = all.filter(i => i % HELD_OUT_EVERY !== 0);
  if (indices.length < batch) {
    throw new UserError(
      `${data}: ${all.length} images are too few for batches of ${batch} beside the held-out ones; lower --batch`,
    );
  }
  let sampler: ImageSampler = folder.sampler({ batch, seed, indices });
  const images = device.keep(device.empty([batch, 3, size, size], 'f32', 'images'));
  return {
    about: `${all.length} images of ${data}`,
    async prepare() {
      device.write(images, (await sampler.next()).images);
    },
    images: () => images,
    heldOutAbout: 'images that the training never sees',
    async heldOut(count) {
      const found: Uint8Array[] = [];
      for (const index of heldOut) {
        if (found.length === count) break;
        const one = await folder.pixels(index);
        if (one) found.push(one);
      }
      if (found.length === 0) {
        throw new UserError(`${data}: none of the ${heldOut.length} held-out images can be decoded; replace some`);
      }
      const values = new Float32Array(found.length * 3 * size * size);
      found.forEach((one, i) => {
        writePlanes(one, values.subarray(i * one.length));
      });
      return device.tensor(values, [found.length, 3, size, size]);
    },
    get waitedMs() {
      return sampler.waitedMs;
    },
    get skipped() {
      return folder.skipped;
    },
    state: () => sampler.state,
    restore(state) {
      sampler = folder.sampler({ batch, seed, indices, state: state as typeof sampler.state });
    },
  };
}

/** A number that changes from step to step, as a tensor [1]: a learning rate, the rate of an average. */
export class Schedule {
  readonly tensor: Tensor;
  private current = Number.NaN;

  constructor(
    private readonly device: Device,
    private readonly at: (step: number) => number,
  ) {
    this.tensor = device.keep(device.empty([1], 'f32', 'schedule'));
  }

  prepare(step: number): void {
    const value = Math.fround(this.at(step));
    if (value === this.current) return;
    this.device.write(this.tensor, [value]);
    this.current = value;
  }
}

/** From `rate` down to 0 along half a cosine (Loshchilov and Hutter 2017), after a linear rise over `warmup` steps. */
export function cosine(rate: number, steps: number, warmup = 0): (step: number) => number {
  return step => {
    const rise = warmup > 0 ? Math.min(1, step / warmup) : 1;
    return rise * rate * 0.5 * (1 + Math.cos((Math.PI * Math.min(step, steps)) / steps));
  };
}

/** A network with the weights of the package (its keys in the file behind `prefix`), frozen and in evaluation mode. */
export async function shippedNetwork<T extends Module>(
  network: T,
  file: string,
  device: Device,
  prefix = '',
): Promise<T> {
  const entries = [...(await shippedWeights(file))].filter(([key]) => key.startsWith(prefix));
  const values = new Map(entries.map(([key, value]) => [key.slice(prefix.length), value]));
  network.freeze().eval();
  initialize(network, device);
  loadStateDict(network, values, { source: `weights/${file}.safetensors`, ignoreUnknown: true });
  return network;
}
