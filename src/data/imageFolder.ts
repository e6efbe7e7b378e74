/**
 * Real photographs as training data: the images of a folder or a zip, of any size, as they lie there.
 *
 * An image is decoded, cropped to its central square (of the shorter side), resized as Pillow's bilinear does, and
 * scaled to v / 127.5 - 1. All but the last runs ahead of the training and off the main thread: in Node on worker
 * threads. A browser decodes on threads of its own; there the resizing is left to the Worker that trains: 0.1 ms for an
 * image of 64×64, some 15 ms for one of 1024×1024.
 */
import { decodeSquare } from '#decoder';
import { UserError } from '../io/errors.ts';
import { BlobFile, openFile, openFolder, pathKind } from '../io/files.ts';
import { readZip } from '../io/zip.ts';
import { ImageSampler, type ImageSamplerOptions } from './imageSampler.ts';

/** An image file that has not been read yet. */
export interface ImageEntry {
  /** Its path inside the folder or zip. */
  readonly name: string;
  /** The first folder of that path; '' for a file that lies in none. */
  readonly label: string;
  read(): Promise<Uint8Array>;
}

/**
 * The JPEG, PNG and WebP files of a folder (with its sub-folders) or a zip, sorted by path. Hidden files are left out.
 * @param source the path of a folder or a .zip; in a page also a zip that the user chose, as a File
 * @throws UserError where there is no such folder or zip, or no image in it
 */
export async function openImages(source: string | Blob): Promise<ImageEntry[]> {
  const name = nameOf(source);
  const files =
    typeof source === 'string' && (await pathKind(source)) !== 'file'
      ? await folderFiles(source)
      : await readZip(typeof source === 'string' ? await openFile(source) : new BlobFile(source), name);
  const entries = files
    .filter(file => /\.(jpe?g|png|webp)$/i.test(file.name) && !/(^|\/)(\.|__MACOSX\/)/.test(file.name))
    .map(file => ({ ...file, label: file.name.includes('/') ? file.name.slice(0, file.name.indexOf('/')) : '' }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  if (entries.length === 0) throw new UserError(`${name} holds no .jpg, .jpeg, .png or .webp files: check the path`);
  return entries;
}

export interface LoadImagesOptions {
  /** As openImages takes it. */
  source: string | Blob;
  /** Side of the square images, in pixels. */
  size: number;
  /**
   * Called once for every image that is damaged or cannot be read, with a line that names it and says what is wrong.
   */
  onSkip?: (message: string) => void;
}

/**
 * Opens the images for training.
 * @throws UserError as openImages does, and where no image of them can be decoded
 */
export async function loadImages(options: LoadImagesOptions): Promise<ImageFolder> {
  const images = new ImageFolder(await openImages(options.source), options);
  for (let index = 0; index < images.entries.length; index++) {
    if (await images.pixels(index)) return images;
  }
  throw new UserError(`${nameOf(options.source)}: none of its ${images.entries.length} images can be decoded`);
}

/** The images of a folder or zip, decoded when they are asked for. */
export class ImageFolder {
  readonly entries: readonly ImageEntry[];
  readonly size: number;
  readonly #onSkip: ((message: string) => void) | undefined;
  readonly #skipped = new Set<number>();

  constructor(entries: readonly ImageEntry[], { size, onSkip }: Omit<LoadImagesOptions, 'source'>) {
    this.entries = entries;
    this.size = size;
    this.#onSkip = onSkip;
  }

  /** How many damaged images have been met so far. */
  get skipped(): number {
    return this.#skipped.size;
  }

  /**
   * The image as bytes, size × size × RGB, or undefined where it is damaged: it is then reported, once, and counted.
   */
  async pixels(index: number): Promise<Uint8Array | undefined> {
    if (this.#skipped.has(index)) return undefined;
    const entry = this.entries[index];
    try {
      return await decodeSquare(await entry.read(), entry.name, this.size);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (!this.#skipped.has(index)) this.#onSkip?.(error.message);
      this.#skipped.add(index);
      return undefined;
    }
  }

  /** An endless stream of batches in an order that depends on the seed alone. */
  sampler(options: ImageSamplerOptions): ImageSampler {
    return new ImageSampler(this, options);
  }
}

async function folderFiles(path: string): Promise<Omit<ImageEntry, 'label'>[]> {
  const folder = await openFolder(path);
  const unreadable = (name: string) => (error: Error) => {
    throw new UserError(`${name} cannot be read: ${error.message}`);
  };
  return (await folder.listFiles()).map(name => ({ name, read: () => folder.read(name).catch(unreadable(name)) }));
}

const nameOf = (source: string | Blob): string =>
  typeof source === 'string' ? source : source instanceof File ? source.name : 'the zip';
