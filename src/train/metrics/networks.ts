/** The networks whose features distributions of images are compared by. */
import * as ops from '../../autograd/index.ts';
import { UserError } from '../../io/errors.ts';
import { pathKind } from '../../io/files.ts';
import { foreignState, readForeign } from '../../models/foreign/read.ts';
import { Inception, type InceptionVariant } from '../../models/inception.ts';
import { LpipsLike } from '../../models/lpips.ts';
import { initialize, loadStateDict, type Module, readStateDict, type StateDict } from '../../models/module.ts';
import type { Device } from '../../runtime/device.ts';
import { unary } from '../../runtime/kernels/elementwise.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { shippedNetwork } from '../recipes/common.ts';

/** A network whose features images are compared by. */
export interface FeatureNetwork {
  readonly name: string;
  /** Length of a feature vector. */
  readonly length: number;
  /** Images that it takes at a time at most. */
  readonly batch: number;
  /** How many images there are by convention. */
  readonly count: number;
  /** What a metric is called that was measured with this network: FID is the name of one network alone. */
  title(metric: string): string;
  /** Tells its weights from others. */
  fingerprint(): Promise<string>;
  /** The features [N, length] of images [N, 3, S, S] in [-1, 1]. */
  forward(images: Tensor): Tensor;
}

/** Images as they are when they have been saved: x in [-1, 1] at the nearest of 256 values. */
export function quantized(images: Tensor): Tensor {
  return unary(images, 'floor(clamp(127.5 * x + 128.0, ELEMENT(0.0), ELEMENT(255.0))) / 127.5 - 1.0');
}

/** Side of the images that the perceptual trunk was trained on. */
const PERCEPTUAL_SIZE = 32;

/** The trunk of LPIPS-like(self), for images of its size; others are resized to it. */
export interface PerceptualNetwork extends FeatureNetwork {
  /** LPIPS-like(self), [N]. */
  distance(a: Tensor, b: Tensor): Tensor;
}

/**
 * The trunk that the project trained itself on the procedural faces. Its features are the last tap averaged over the
 * pixels, as FID takes Inception's last pooling. What is measured with it ends in `-like(self)`.
 */
export async function perceptualNetwork(device: Device): Promise<PerceptualNetwork> {
  const name = `perceptual-${PERCEPTUAL_SIZE}`;
  return perceptualFeatures(await shippedNetwork(new LpipsLike(), name, device), name);
}

/** The same of a trunk of one's own, frozen and in evaluation mode. */
export function perceptualFeatures(trunk: LpipsLike, name: string): PerceptualNetwork {
  const resized = (images: Tensor) =>
    images.shape[2] === PERCEPTUAL_SIZE
      ? images
      : ops.interpolate(images, [PERCEPTUAL_SIZE, PERCEPTUAL_SIZE], 'bilinear-antialias');
  return {
    name,
    length: trunk.channels.at(-1)!,
    batch: 64,
    count: 5_000,
    title: metric => `${metric}-like(self)`,
    fingerprint: () => fingerprint(trunk),
    forward: images => ops.mean(trunk.taps(resized(images)).at(-1)!, { axes: [2, 3] }),
    distance: (a, b) => trunk.distance(trunk.features(resized(a)), trunk.features(resized(b))),
  };
}

/**
 * The tensors of a file with weights of Inception-v3: PyTorch's, or safetensors.
 * @throws UserError where there is no such file, or a damaged one
 */
export async function readInception(source: string): Promise<{ values: StateDict; source: string }> {
  if ((await pathKind(source)) !== 'file') {
    throw new UserError(
      `--inception ${source}: there is no such file; give weights of Inception-v3, .pth or .safetensors`,
    );
  }
  return { source, values: await foreignState(await readForeign(source)) };
}

/** Classes that each network tells. */
const VARIANTS: ReadonlyMap<number, InceptionVariant> = new Map([
  [1008, 'fid'],
  [1000, 'torchvision'],
]);

/**
 * Inception-v3 with the user's weights, under torchvision's keys: pytorch-fid's pt_inception-2015-12-05, with which the
 * metrics are FID and KID, or torchvision's own, with which they are `(torchvision)`. The last layer, which is not
 * used, tells which they are.
 * @throws UserError that says key, found and wanted, where `values` are of another network
 */
export function inceptionNetwork(device: Device, values: StateDict, { source }: { source: string }): FeatureNetwork {
  const classes = values.get('fc.weight')?.shape[0];
  if (classes === undefined) {
    throw new UserError(`${source}: no tensor "fc.weight"; wanted the weights of Inception-v3 as pytorch-fid has them`);
  }
  const variant = VARIANTS.get(classes);
  if (!variant) {
    const wanted = `${[...VARIANTS.keys()].join(' or ')} as pytorch-fid's and torchvision's`;
    throw new UserError(`${source}: "fc.weight" has ${classes} rows, wanted ${wanted}`);
  }
  const network = new Inception({ variant });
  network.freeze().eval();
  initialize(network, device);
  const own = new Map([...values].filter(([key]) => !key.startsWith('fc.')));
  loadStateDict(network, own, { source });
  const isFid = variant === 'fid';
  return {
    name: isFid ? 'Inception-v3' : 'Inception-v3 (torchvision)',
    length: Inception.features,
    // The largest maps of 16 images stay below the binding limit of 128 MiB that many devices have.
    batch: 16,
    count: 50_000,
    title: metric => (isFid ? metric : `${metric}(torchvision)`),
    fingerprint: () => fingerprint(network),
    forward: images => network.forward(images),
  };
}

/** FNV-1a over the words of all parameters and buffers. */
async function fingerprint(module: Module): Promise<string> {
  let h = 0x811c9dc5;
  for (const { data } of (await readStateDict(module)).values()) {
    for (const word of new Uint32Array(data.buffer, data.byteOffset, data.length)) h = Math.imul(h ^ word, 0x01000193);
  }
  return (h >>> 0).toString(16).padStart(8, '0');
}
