import type { StoredTensor } from '../../io/storedTensor.ts';
import type { Flat } from './flat.ts';

/** What a file of weights can be. */
export const KINDS = {
  stylegan2: 'StyleGAN2',
  psp: 'pSp encoder',
  e4e: 'e4e encoder',
  restyle: 'ReStyle encoder',
  e2style: 'E2Style encoders',
  hyperstyle: 'HyperStyle hypernetwork',
  recognition: 'face recognition network',
  parsing: 'face parsing U-Net',
  lpips: 'LPIPS',
  'lpips-linear': 'LPIPS linear layers',
  'lpips-like': 'trunk of LPIPS-like(self)',
  alexnet: 'AlexNet trunk',
  vgg16: 'VGG-16 trunk',
  squeezenet: 'SqueezeNet 1.1 trunk',
  resnet34: 'ResNet-34 trunk',
  resnet50: 'ResNet-50 trunk (MoCo v2)',
  inception: 'Inception-v3',
  direction: 'InterFaceGAN direction',
  ganspace: 'GANSpace directions',
  unknown: 'tensors of no network that wgrad knows',
} as const;

export type Kind = keyof typeof KINDS;

/** The weights in a file of another project, by wgrad's keys. */
export interface Foreign {
  readonly kind: Kind;
  /** What it is, in some words: the layout that it was found in, its size. */
  readonly about: string;
  /** By wgrad's keys, which are those of the official implementations. Values are read when they are asked for. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Texts to be kept with the tensors, as settings in JSON. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What was in the file and is not in `tensors`: how many tensors under which name. */
  readonly leftOut: ReadonlyMap<string, number>;
}

/** What a recogniser says of a file that it knows; `used` are the names that went into `tensors`. */
export interface Recognised extends Omit<Foreign, 'leftOut' | 'metadata'> {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly used: ReadonlySet<string>;
}

/** Undefined for a file that is something else; throws a UserError for one that is it, but damaged or unsupported. */
export type Recogniser = (flat: Flat) => Recognised | undefined;

/** Counts what no key took, by the first part of the name. */
export function leftOut({ tensors }: Flat, used: ReadonlySet<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of tensors.keys()) {
    if (used.has(key)) continue;
    const [group] = key.split('.');
    counts.set(group, (counts.get(group) ?? 0) + 1);
  }
  return counts;
}
