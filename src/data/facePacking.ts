import type { Rgb } from './faceDraws.ts';
import type { Face } from './faceParameters.ts';

/** Members of `struct Face` in shaders/faces.wgsl, in its order: those of four numbers first, then the scalars. */
export const FACE_VECTORS = [
  'right',
  'up',
  'toward',
  'light',
  'headLight',
  'lightColour',
  'skin',
  'lips',
  'hair',
  'brow',
  'iris',
  'cloth',
  'backdrop',
  'backdropFar',
  'hatColour',
  'glassesColour',
  'jewel',
] as const;
export const FACE_SCALARS = [
  'headWidth',
  'jawWidth',
  'jawY',
  'jawHeight',
  'chinY',
  'chinWidth',
  'cheekbone',
  'browRidge',
  'eyeX',
  'eyeY',
  'eyeWidth',
  'eyeUpper',
  'eyeLower',
  'eyeSlant',
  'eyeFold',
  'lash',
  'shadow',
  'gazeX',
  'gazeY',
  'browY',
  'browArch',
  'browThick',
  'browTilt',
  'browLength',
  'noseY',
  'noseZ',
  'noseTip',
  'noseWing',
  'noseBridge',
  'noseWingX',
  'mouthY',
  'mouthWidth',
  'lipUpper',
  'lipLower',
  'smile',
  'mouthOpen',
  'teeth',
  'age',
  'stubble',
  'beard',
  'moustache',
  'earSize',
  'earTilt',
  'freckles',
  'hairStyle',
  'hairThick',
  'hairTop',
  'hairline',
  'hairOpenWidth',
  'hairOpenPower',
  'hairPart',
  'hairSlope',
  'hairLength',
  'hairFlare',
  'hairCurl',
  'hairFrequency',
  'hat',
  'glasses',
  'glassesWidth',
  'glassesHeight',
  'glassesRound',
  'glassesThick',
  'earring',
  'necklace',
  'neckX',
  'neckY',
  'neckWidth',
  'collarY',
  'collarV',
  'identitySeed',
  'viewSeed',
  'recede',
] as const;

/** Numbers in one packed face. */
export const FACE_SIZE = FACE_VECTORS.length * 4 + FACE_SCALARS.length;

type Vector = [number, number, number, number];
const withFourth = (c: Rgb | readonly number[], fourth: number): Vector => [c[0]!, c[1]!, c[2]!, fourth];

/** Rows of the rotation head → image, roll ∘ yaw ∘ pitch. */
function rotation(yaw: number, pitch: number, roll: number): number[][] {
  const [cy, sy, cp, sp, cr, sr] = [
    Math.cos(yaw),
    Math.sin(yaw),
    Math.cos(pitch),
    Math.sin(pitch),
    Math.cos(roll),
    Math.sin(roll),
  ];
  const turned = [
    [cy, -sy * sp, sy * cp],
    [0, cp, sp],
    [-sy, -cy * sp, cy * cp],
  ];
  return [
    turned[0]!.map((x, i) => cr * x - sr * turned[1]![i]!),
    turned[0]!.map((x, i) => sr * x + cr * turned[1]![i]!),
    turned[2]!,
  ];
}

const apply = (rows: number[][], p: readonly number[]) =>
  rows.map(row => row[0]! * p[0]! + row[1]! * p[1]! + row[2]! * p[2]!);

/** The eye line's height in the image, −1 (bottom) to 1: 0.42 of the height from the top. */
const EYE_LINE = 1 - 2 * 0.42;
/** The point between eyes and mouth that alignment holds still, and the root of the neck, in head coordinates. */
const ANCHOR = [0, -0.22, 0.45] as const;
const NECK_ROOT = [0, -0.7, -0.25] as const;

function vectors({ person, photograph: view }: Face): Record<(typeof FACE_VECTORS)[number], Vector> {
  const rows = rotation(view.yaw, view.pitch, view.roll);
  const moved = apply(rows, ANCHOR);
  const shiftX = view.shiftX - 0.85 * view.scale * (moved[0]! - ANCHOR[0]);
  const shiftY = EYE_LINE + view.shiftY - 0.85 * view.scale * (moved[1]! - ANCHOR[1]);
  const flat = Math.cos(view.lightElevation);
  const light = [flat * Math.sin(view.lightAzimuth), Math.sin(view.lightElevation), flat * Math.cos(view.lightAzimuth)];
  const headLight = [0, 1, 2].map(i => rows[0]![i]! * light[0]! + rows[1]![i]! * light[1]! + rows[2]![i]! * light[2]!);
  const painted = [0, 1, 2].map(i => person.lips[i]! + view.lipstick * ([0.42, 0.035, 0.06][i]! - person.lips[i]!));
  return {
    right: withFourth(rows[0]!, shiftX),
    up: withFourth(rows[1]!, shiftY),
    toward: withFourth(rows[2]!, view.scale),
    light: withFourth(light, view.lightIntensity),
    headLight: withFourth(headLight, 0),
    lightColour: withFourth(view.lightColour, view.ambient),
    skin: withFourth(person.skin, person.blush),
    lips: withFourth(painted, 0.25 + 0.7 * view.lipstick),
    hair: withFourth(person.hairRgb, person.hair.grey),
    brow: withFourth(person.brow, person.bone.browDensity),
    iris: withFourth(person.iris, person.bone.irisRadius),
    cloth: withFourth(view.cloth, view.stripes),
    backdrop: withFourth(view.backdrop, view.backdropAngle),
    backdropFar: withFourth(view.backdropFar, view.blurredLights),
    hatColour: withFourth(view.hatRgb, view.hat > 0 ? view.hatLine : 9),
    glassesColour: withFourth(view.glassesRgb, view.glassesShape.tint),
    jewel: withFourth(view.jewel, 0.9),
  };
}

function scalars({ person, photograph: view }: Face): Record<(typeof FACE_SCALARS)[number], number> {
  const { bone, hair } = person;
  const neck = apply(rotation(view.yaw, view.pitch, view.roll), NECK_ROOT);
  // Expression moves bone and skin: the jaw drops, a smile widens the mouth, thins the lips and lifts the lower lids.
  const { smile, mouthOpen } = view;
  const grin = Math.max(smile, 0);
  return {
    ...bone,
    jawY: bone.jawY - 0.2 * mouthOpen,
    jawHeight: bone.jawHeight + 0.15 * mouthOpen,
    chinY: bone.chinY - 0.45 * mouthOpen,
    eyeUpper: bone.eyeUpper * view.eyeOpen,
    eyeLower: bone.eyeLower * (view.eyeOpen < 0.5 ? view.eyeOpen : 1 - 0.22 * grin),
    browY: bone.browY + 0.02 * view.browRaise,
    gazeX: view.gazeX,
    gazeY: view.gazeY,
    mouthY: bone.mouthY + 0.01 * grin,
    mouthWidth: bone.mouthWidth + 0.042 * smile - (smile < 0.3 ? 0.25 * mouthOpen : 0),
    lipUpper: bone.lipUpper * (1 - 0.25 * grin),
    lipLower: bone.lipLower * (1 - 0.2 * grin),
    smile,
    mouthOpen,
    teeth: Number(view.teeth),
    age: (person.age - 18) / 62,
    hairStyle: person.hairStyle,
    hairThick: hair.thick,
    hairTop: hair.top,
    hairline: hair.hairline,
    hairOpenWidth: hair.openWidth,
    hairOpenPower: hair.openPower,
    hairPart: hair.part,
    hairSlope: hair.slope,
    hairLength: hair.length,
    hairFlare: hair.flare,
    hairCurl: hair.curl,
    hairFrequency: hair.frequency,
    hat: view.hat,
    glasses: Number(view.glasses),
    glassesWidth: view.glassesShape.width,
    glassesHeight: view.glassesShape.height,
    glassesRound: view.glassesShape.round,
    glassesThick: view.glassesShape.thick,
    earring: Number(view.earrings),
    necklace: Number(view.necklace),
    neckX: neck[0]!,
    neckY: neck[1]! - NECK_ROOT[1],
    collarY: view.collarY,
    collarV: view.collarV,
    identitySeed: person.seed,
    viewSeed: view.seed,
    recede: hair.recede,
  };
}

/** The faces as the renderer reads them: [N, FACE_SIZE]. */
export function packFaces(faces: readonly Face[]): Float32Array {
  const packed = new Float32Array(faces.length * FACE_SIZE);
  faces.forEach((face, n) => {
    const v = vectors(face);
    const s = scalars(face);
    FACE_VECTORS.forEach((name, i) => {
      packed.set(v[name], n * FACE_SIZE + i * 4);
    });
    FACE_SCALARS.forEach((name, i) => {
      packed[n * FACE_SIZE + FACE_VECTORS.length * 4 + i] = s[name];
    });
  });
  return packed;
}
