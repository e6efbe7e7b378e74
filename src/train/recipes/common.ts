import { faceInput, HELD_OUT_IDENTITIES, packFaces, renderFaces, sampleFaces } from '../../data/faces.ts';
import { loadImages } from '../../data/imageFolder.ts';
import { type ImageSampler, writePlanes } from '../../data/imageSampler.ts';
import { UserError } from '../../io/errors.ts';
import { shippedWeights } from '../../io/weights.ts';
import { initialize, loadStateDict, type Module } from '../../models/module.ts';
import type { Device } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { RING } from '../ring.ts';

/** Images [B, 3, S, S] in [-1, 1] for a training, and others that it never sees. */
export interface ImageSource {
  /** What the images are, for the report. */
  readonly about: string;
  /** Gets the images of a step ready; awaited before the step. */
  prepare(step: number): Promise<void> | void;
  /** Takes one of the rounds that the prepared step's images come in; the first where this is not called. */
  select(round: number): void;
  /** The images of that round; also in a phase. */
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
  /** Images of a round. */
  readonly batch: number;
  /** Rounds of a step. Default 1. */
  readonly rounds?: number;
  /** Take every image mirrored too. Default false. */
  readonly mirror?: boolean;
  readonly seed: number;
  /** Told of each damaged image. */
  readonly message?: (text: string) => void;
}

export async function openSource(options: SourceOptions): Promise<ImageSource> {
  if (options.data !== 'faces') return openFolderSource(options);
  if (options.mirror) {
    throw new UserError('--mirror: is for folders and zips of images; the procedural faces are never the same twice');
  }
  return new FacesSource(options);
}

/** The procedural faces, rendered on the device as they are needed: a step's batch depends on its number alone. */
class FacesSource implements ImageSource {
  readonly about = 'procedural faces';
  readonly heldOutAbout = 'procedural faces of people whom the training never sees';
  readonly skipped = 0;
  private readonly faces: Rounds;

  constructor(private readonly options: SourceOptions) {
    const { device, batch, rounds = 1 } = options;
    this.faces = new Rounds(() => faceInput(device, batch), rounds);
  }

  prepare(step: number): void {
    const { batch, rounds = 1, seed } = this.options;
    const faces = sampleFaces(step, batch * rounds, { seed });
    this.faces.write(round => packFaces(faces.slice(round * batch, (round + 1) * batch)));
  }

  select(round: number): void {
    this.faces.select(round);
  }

  images(): Tensor {
    return renderFaces(this.options.device, this.faces.current, this.options.size).image;
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

/** Bytes of decoded images that are kept ahead: of small ones a ring of steps, which the trainer queues in one go. */
const AHEAD_BYTES = 2 ** 26;

/** Every twentieth image of a folder is held out. */
const HELD_OUT_EVERY = 20;

async function openFolderSource(options: SourceOptions): Promise<ImageSource> {
  const { device, data, size, batch, rounds = 1, mirror = false, seed, message } = options;
  const folder = await loadImages({ source: data, size, onSkip: text => message?.(`image skipped: ${text}`) });
  const all = folder.entries.map((_, i) => i);
  const heldOut = all.filter(i => i % HELD_OUT_EVERY === 0);
  const indices = all.filter(i => i % HELD_OUT_EVERY !== 0);
  if (indices.length < batch * rounds) {
    throw new UserError(
      `${data}: ${all.length} images are too few for batches of ${batch * rounds} beside the held-out ones; lower --batch`,
    );
  }
  const prefetch = Math.min(RING, Math.max(2, Math.floor(AHEAD_BYTES / (batch * rounds * 3 * size * size))));
  const sampling = { batch: batch * rounds, seed, indices, mirror, prefetch };
  let sampler: ImageSampler = folder.sampler(sampling);
  const images = new Rounds(() => device.keep(device.empty([batch, 3, size, size], 'f32', 'images')), rounds);
  return {
    about: `${all.length} images of ${data}`,
    async prepare() {
      const { images: all } = await sampler.next();
      const length = all.length / rounds;
      images.write(round => all.subarray(round * length, (round + 1) * length));
    },
    select: round => images.select(round),
    images: () => images.current,
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
      sampler = folder.sampler({ ...sampling, state: state as typeof sampler.state });
    },
  };
}

/** What a step's rounds take one after the other from one place, so that a program can be recorded for all of them. */
class Rounds {
  readonly current: Tensor;
  private readonly each: readonly Tensor[];

  constructor(make: () => Tensor, rounds: number) {
    this.current = make();
    this.each = rounds === 1 ? [this.current] : Array.from({ length: rounds }, make);
  }

  write(values: (round: number) => ArrayLike<number>): void {
    for (const [round, tensor] of this.each.entries()) tensor.device.write(tensor, values(round));
    this.select(0);
  }

  select(round: number): void {
    if (this.each.length > 1) this.current.device.copy(this.each[round], this.current);
  }
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
