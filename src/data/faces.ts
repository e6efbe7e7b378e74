import mainSource from '../../shaders/faces.wgsl';
import hairSource from '../../shaders/facesHair.wgsl';
import headSource from '../../shaders/facesHead.wgsl';
import type { Device, Shader } from '../runtime/device.ts';
import { philox4x32 } from '../runtime/philox.ts';
import { Tensor } from '../runtime/tensor.ts';
import { FACE_SIZE, packFaces } from './facePacking.ts';
import { type Face, faceParameters } from './faceParameters.ts';
import { HAIR_COLOURS, HAIR_STYLES } from './facePerson.ts';

export { packFaces } from './facePacking.ts';
export { type Face, type FaceAttributes, faceParameters } from './faceParameters.ts';
export { HAIR_COLOURS, HAIR_STYLES } from './facePerson.ts';

/**
 * The 19 classes of CelebAMask-HQ (Lee et al. 2020) in the order of its U-Net; a class's id is its index. `l_` and `r_`
 * are the left and right of the image, as one looks at it: `l_eye` has the smaller x.
 */
export const FACE_CLASSES = [
  'background',
  'skin',
  'nose',
  'eye_g',
  'l_eye',
  'r_eye',
  'l_brow',
  'r_brow',
  'l_ear',
  'r_ear',
  'mouth',
  'u_lip',
  'l_lip',
  'hair',
  'hat',
  'ear_r',
  'neck_l',
  'neck',
  'cloth',
] as const;

/** The class that each class becomes when the image is mirrored. */
export const MIRRORED_CLASSES = [0, 1, 2, 3, 5, 4, 7, 6, 9, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18] as const;

/** The colours in which label maps are shown, sRGB bytes by class id. */
export const FACE_PALETTE: readonly (readonly [number, number, number])[] = [
  [0, 0, 0],
  [204, 0, 0],
  [76, 153, 0],
  [204, 204, 0],
  [51, 51, 255],
  [204, 0, 204],
  [0, 255, 255],
  [255, 204, 204],
  [102, 51, 0],
  [255, 0, 0],
  [102, 204, 0],
  [255, 255, 0],
  [0, 0, 153],
  [0, 0, 204],
  [255, 51, 153],
  [0, 204, 204],
  [0, 51, 0],
  [255, 153, 51],
  [0, 204, 0],
];

/** A range of identities: disjoint ranges never share a person. */
export interface IdentityRange {
  readonly first: number;
  readonly count: number;
}
export const TRAINING_IDENTITIES: IdentityRange = { first: 0, count: 60_000 };
export const HELD_OUT_IDENTITIES: IdentityRange = { first: 1_000_000, count: 10_000 };

export interface SampleOptions {
  /** Which people to draw from; by default those for training. */
  identities?: IdentityRange;
  seed?: number;
}

/**
 * The batch of a training step: `count` faces of random identities in random views, a pure function of (step, options),
 * so that a resumed run sees the same images.
 */
export function sampleFaces(step: number, count: number, options: SampleOptions = {}): Face[] {
  const { identities = TRAINING_IDENTITIES, seed = 0 } = options;
  return Array.from({ length: count }, (_, i) => {
    const [who, view] = philox4x32([step, i, 0, 2], [seed, 0xface5]);
    return faceParameters(identities.first + Math.floor((who / 2 ** 32) * identities.count), view, { seed });
  });
}

/** Yes-or-no attributes, in the order of the columns of FaceTargets.binary. */
export const BINARY_ATTRIBUTES = ['teeth', 'glasses', 'beard', 'hat', 'earrings', 'necklace'] as const;
/**
 * Attributes that are numbers, in the order of the columns of FaceTargets.continuous, each with its typical deviation.
 */
export const CONTINUOUS_ATTRIBUTES = [
  ['yaw', 0.27],
  ['pitch', 0.12],
  ['roll', 0.08],
  ['gazeX', 0.35],
  ['gazeY', 0.25],
  ['smile', 0.4],
  ['mouthOpen', 0.05],
  ['age', 17],
  ['lightAzimuth', 0.6],
  ['lightElevation', 0.26],
  ['lightIntensity', 0.16],
] as const;

/** A batch's labels as arrays for a loss. */
export interface FaceTargets {
  /** [N] */
  identity: Uint32Array;
  /** [N], index into HAIR_STYLES and HAIR_COLOURS. */
  hairStyle: Uint32Array;
  hairColour: Uint32Array;
  /** [N, BINARY_ATTRIBUTES], 0 or 1. */
  binary: Float32Array;
  /** [N, CONTINUOUS_ATTRIBUTES], divided by the typical deviation. */
  continuous: Float32Array;
}

export function faceTargets(faces: readonly Face[]): FaceTargets {
  const labels = faces.map(face => face.attributes);
  return {
    identity: Uint32Array.from(labels, l => l.identity),
    hairStyle: Uint32Array.from(labels, l => HAIR_STYLES.indexOf(l.hairStyle)),
    hairColour: Uint32Array.from(labels, l => HAIR_COLOURS.indexOf(l.hairColour)),
    binary: Float32Array.from(labels.flatMap(l => BINARY_ATTRIBUTES.map(name => Number(l[name])))),
    continuous: Float32Array.from(labels.flatMap(l => CONTINUOUS_ATTRIBUTES.map(([name, scale]) => l[name] / scale))),
  };
}

const SHADER: Shader = { name: 'faces', source: [mainSource, headSource, hairSource].join('\n') };

/**
 * Memory for the parameters of `count` faces, to be filled with packFaces before each run of a program that renders
 * them.
 */
export function faceInput(device: Device, count: number): Tensor {
  return device.keep(device.empty([count, FACE_SIZE], 'f32', 'faces'));
}

/**
 * Renders faces, given as such or as their packed parameters [N, FACE_SIZE], on the device (shaders/faces*.wgsl):
 * `image` [N, 3, size, size] f32, sRGB in [−1, 1], and `labels` [N, size, size] u32, ids of FACE_CLASSES. Nothing is
 * read back; the tensors belong to the scope that is open.
 *
 * A pixel is the mean of 3×3 samples (2×2 from 128 pixels on), its label the class of most of them, ties to the higher
 * id.
 */
export function renderFaces(
  device: Device,
  faces: readonly Face[] | Tensor,
  size: number,
): { image: Tensor; labels: Tensor } {
  const packed = faces instanceof Tensor ? faces : device.tensor(packFaces(faces), [faces.length, FACE_SIZE]);
  const count = packed.shape[0];
  const image = device.empty([count, 3, size, size], 'f32', 'faces.image');
  const labels = device.empty([count, size, size], 'u32', 'faces.labels');
  const tiles = Math.ceil(size / 8);
  device.dispatch(
    device.kernel(SHADER),
    [packed, image, labels],
    [count, size, size, size < 128 ? 3 : 2],
    [tiles, tiles, count],
  );
  return { image, labels };
}
