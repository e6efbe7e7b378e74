/** Batches of images in a random order that can be left and taken up again, decoded ahead of their use. */
import { UserError } from '../io/errors.ts';
import { philox4x32 } from '../runtime/philox.ts';
import type { ImageFolder } from './imageFolder.ts';

export interface ImageSamplerOptions {
  /** Images in a batch. */
  batch: number;
  seed: number;
  /** Which images to take, by their index in the folder (a part that is held out from training); all by default. */
  indices?: readonly number[];
  /** Every epoch shows every image twice: as it is, and mirrored. Default false. */
  mirror?: boolean;
  /** Batches that are decoded ahead of the one asked for. */
  prefetch?: number;
  /** Where another sampler of the same options stood; the beginning by default. */
  state?: ImageSamplerState;
}

/** The place in the stream: the next image to be looked at is the `position`-th of the epoch's order. */
export interface ImageSamplerState {
  readonly epoch: number;
  readonly position: number;
}

export interface ImageBatch {
  /** [batch, 3, size, size] in [-1, 1]. */
  readonly images: Float32Array;
  /** Each image's index in the folder. */
  readonly indices: readonly number[];
}

/** As many as the threads on which Node decodes; a file's pixels are large, so no more are held at a time. */
const decodersAtOnce = 4;

/**
 * Every epoch is a permutation of the images, by (seed, epoch); damaged images are passed over, and a batch that
 * reaches the end of an epoch goes on into the next.
 */
export class ImageSampler {
  readonly #folder: ImageFolder;
  readonly #options: Required<Pick<ImageSamplerOptions, 'batch' | 'seed' | 'prefetch'>>;
  /** What an epoch shows once: 2 · index, and one more for the mirrored image. */
  readonly #views: readonly number[];
  readonly #order: { epoch: number; views: Uint32Array };
  /** Decoding or decoded, in the order of the stream. */
  readonly #ahead: { view: number; after: ImageSamplerState; pixels: Promise<Uint8Array | undefined> }[] = [];
  /** Where the next image is to be sent to the decoder. */
  #reading: ImageSamplerState;
  #delivered: ImageSamplerState;
  #waitedMs = 0;
  readonly #decoders = new Semaphore(decodersAtOnce);

  constructor(folder: ImageFolder, options: ImageSamplerOptions) {
    const { batch, seed, prefetch = 2, mirror = false, indices = folder.entries.map((_, i) => i) } = options;
    const { epoch, position } = options.state ?? { epoch: 0, position: 0 };
    if (indices.length === 0) throw new UserError('A sampler needs at least one image: the part to take is empty');
    this.#views = indices.map(index => 2 * index).concat(mirror ? indices.map(index => 2 * index + 1) : []);
    if (!isCount(epoch) || !isCount(position) || position >= this.#views.length) {
      const place = `epoch ${epoch}, image ${position}`;
      throw new UserError(
        `The images are not those that were trained on: resuming at ${place} of ${this.#views.length}`,
      );
    }
    this.#folder = folder;
    this.#options = { batch, seed, prefetch };
    this.#order = { epoch: -1, views: new Uint32Array(0) };
    this.#reading = { epoch, position };
    this.#delivered = this.#reading;
  }

  /** The place after the last batch delivered; what has been decoded ahead does not count. */
  get state(): ImageSamplerState {
    return this.#delivered;
  }

  /** How long next() has waited for decoders, in milliseconds, all calls together. */
  get waitedMs(): number {
    return this.#waitedMs;
  }

  /**
   * The next batch; one call at a time.
   * @throws UserError where a whole epoch holds no image that can be decoded
   */
  async next(): Promise<ImageBatch> {
    const started = performance.now();
    const { batch } = this.#options;
    const { size } = this.#folder;
    const images = new Float32Array(batch * 3 * size * size);
    const indices: number[] = [];
    for (let passedOver = 0; indices.length < batch; ) {
      this.#readAhead();
      const { view, after, pixels: decoding } = this.#ahead.shift()!;
      const pixels = await decoding;
      this.#delivered = after;
      if (pixels) {
        const planes = images.subarray(indices.length * pixels.length);
        writePlanes(pixels, planes, view % 2 === 1 ? size : undefined);
        indices.push(view >> 1);
        passedOver = 0;
      } else if (++passedOver === 2 * this.#views.length) {
        // Fewer in a row may be the end of one epoch and the beginning of the next.
        throw new UserError(`None of the ${new Set(this.#views.map(view => view >> 1)).size} images can be decoded`);
      }
    }
    this.#readAhead();
    this.#waitedMs += performance.now() - started;
    return { images, indices };
  }

  #readAhead(): void {
    const { batch, prefetch, seed } = this.#options;
    while (this.#ahead.length < batch * Math.max(1, prefetch)) {
      const { epoch, position } = this.#reading;
      if (this.#order.epoch !== epoch) {
        this.#order.epoch = epoch;
        this.#order.views = permutation(this.#views, seed, epoch);
      }
      const view = this.#order.views[position];
      this.#reading =
        position + 1 < this.#views.length ? { epoch, position: position + 1 } : { epoch: epoch + 1, position: 0 };
      const pixels = this.#decoders.run(() => this.#folder.pixels(view >> 1));
      pixels.catch(() => {}); // next() throws it when the image's turn comes
      this.#ahead.push({ view, after: this.#reading, pixels });
    }
  }
}

/** Bytes of interleaved RGB to planes in [-1, 1]; given the width, each row from right to left. */
export function writePlanes(pixels: Uint8Array, planes: Float32Array, mirrorWidth?: number): void {
  const area = pixels.length / 3;
  for (let i = 0; i < area; i++) {
    const to = mirrorWidth === undefined ? i : i + mirrorWidth - 1 - 2 * (i % mirrorWidth);
    for (let channel = 0; channel < 3; channel++) planes[channel * area + to] = pixels[3 * i + channel] / 127.5 - 1;
  }
}

/** Fisher and Yates's shuffle; the draws are Philox's at (i, epoch), keyed by the seed and this stream's name. */
function permutation(views: readonly number[], seed: number, epoch: number): Uint32Array {
  const shuffled = Uint32Array.from(views);
  for (let i = shuffled.length - 1; i > 0; i--) {
    const [draw] = philox4x32([i, epoch, 0, 0], [seed >>> 0, streamName]);
    const j = Math.floor((draw / 2 ** 32) * (i + 1));
    [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
  }
  return shuffled;
}

/** 'imgs' */
const streamName = 0x696d6773;

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** Lets at most `free` tasks run at a time, in the order in which they came. */
class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(free: number) {
    this.#free = free;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>(resolve => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
