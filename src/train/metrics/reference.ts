/** The real images that generated ones are compared with. */
import { faceInput, packFaces, renderFaces } from '../../data/faces.ts';
import { ImageFolder, openImages } from '../../data/imageFolder.ts';
import { writePlanes } from '../../data/imageSampler.ts';
import type { Device } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { heldOutFaces } from '../recipes/common.ts';

export interface Reference {
  /** What the images are. */
  readonly about: string;
  /** The same for the same images. */
  readonly key: string;
  /** How many there are, the damaged ones included. */
  readonly count: number;
  readonly batch: number;
  /** Gets the images ready, a batch at a time, from the first on; says how many each batch holds. */
  batches(): AsyncGenerator<number>;
  /** The batch that is ready, [batch, 3, S, S] in [-1, 1]; also in a program. */
  images(): Tensor;
}

export interface ReferenceOptions {
  readonly device: Device;
  /** 'faces', or the path of a folder or zip. */
  readonly data: string;
  readonly size: number;
  readonly batch: number;
  /** How many procedural faces; of a folder or zip all are taken. */
  readonly count: number;
  /** Told of each damaged image. */
  readonly message?: (text: string) => void;
}

/** @throws UserError where there are no images */
export async function openReference(options: ReferenceOptions): Promise<Reference> {
  return options.data === 'faces' ? faces(options) : photographs(options);
}

/** Procedural faces of people whom no training sees. */
function faces({ device, size, batch, count }: ReferenceOptions): Reference {
  const packed = faceInput(device, batch);
  return {
    about: `${count} procedural faces of people whom no training sees`,
    key: `faces ${size} ${count}`,
    count,
    batch,
    async *batches() {
      for (let first = 0; first < count; first += batch) {
        device.write(packed, packFaces(heldOutFaces(first, batch)));
        yield Math.min(batch, count - first);
      }
    },
    images: () => renderFaces(device, packed, size).image,
  };
}

/** All images of a folder or zip, as they are: not mirrored. */
async function photographs({ device, data, size, batch, message }: ReferenceOptions): Promise<Reference> {
  const entries = await openImages(data);
  const folder = new ImageFolder(entries, { size, onSkip: text => message?.(`image skipped: ${text}`) });
  const images = device.keep(device.empty([batch, 3, size, size], 'f32', 'real images'));
  const length = 3 * size * size;
  const planes = new Float32Array(batch * length);
  const decode = (first: number) =>
    Promise.all(entries.slice(first, first + batch).map((_, i) => folder.pixels(first + i)));
  return {
    about: `the ${entries.length} images of ${data}`,
    key: [data, size, ...entries.map(({ name }) => name)].join('\n'),
    count: entries.length,
    batch,
    async *batches() {
      let next = decode(0);
      for (let first = 0; first < entries.length; first += batch) {
        const decoded = (await next).filter(pixels => pixels !== undefined);
        next = decode(first + batch);
        next.catch(() => {}); // it is awaited when its turn comes
        decoded.forEach((pixels, i) => {
          writePlanes(pixels, planes.subarray(i * length, (i + 1) * length));
        });
        device.write(images, planes);
        yield decoded.length;
      }
    },
    images: () => images,
  };
}
