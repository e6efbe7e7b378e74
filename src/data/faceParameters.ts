import { philox4x32 } from '../runtime/philox.ts';

/**
 * Who a face is and how it is seen: the sampling of the procedural faces' parameters on the host, so that labels are known
 * without a device and are identical everywhere. Lengths are in head units (a head is 1.7 high, 23 cm), the eye line is y = 0.
 */

export type Rgb = readonly [number, number, number];

export const HAIR_STYLES = ['bald', 'short', 'long', 'bun', 'curly'] as const;
export const HAIR_COLOURS = [
  'black',
  'dark brown',
  'brown',
  'chestnut',
  'red',
  'dark blond',
  'blond',
  'grey',
  'white',
] as const;

/** What belongs to the person: equal for every view of an identity. */
export interface FaceIdentity {
  bone: Record<
    | 'headWidth'
    | 'jawWidth'
    | 'jawY'
    | 'jawHeight'
    | 'chinY'
    | 'chinWidth'
    | 'cheekbone'
    | 'browRidge'
    | 'eyeX'
    | 'eyeY'
    | 'eyeWidth'
    | 'eyeUpper'
    | 'eyeLower'
    | 'eyeSlant'
    | 'eyeFold'
    | 'lash'
    | 'shadow'
    | 'browY'
    | 'browArch'
    | 'browThick'
    | 'browTilt'
    | 'browLength'
    | 'browDensity'
    | 'noseY'
    | 'noseZ'
    | 'noseTip'
    | 'noseWing'
    | 'noseBridge'
    | 'noseWingX'
    | 'mouthY'
    | 'mouthWidth'
    | 'lipUpper'
    | 'lipLower'
    | 'irisRadius'
    | 'earSize'
    | 'earTilt'
    | 'freckles'
    | 'neckWidth'
    | 'stubble'
    | 'beard'
    | 'moustache',
    number
  >;
  hair: Record<
    | 'thick'
    | 'top'
    | 'hairline'
    | 'openWidth'
    | 'openPower'
    | 'part'
    | 'slope'
    | 'length'
    | 'flare'
    | 'curl'
    | 'frequency'
    | 'recede'
    | 'grey',
    number
  >;
  hairStyle: number;
  hairColour: number;
  /** Years, 18 to 80. */
  age: number;
  skin: Rgb;
  blush: number;
  lips: Rgb;
  hairRgb: Rgb;
  brow: Rgb;
  iris: Rgb;
  /** Drives textures: mottling, strands, freckles. */
  seed: number;
}

/** What belongs to the photograph. Angles are in radians. */
export interface FaceView {
  yaw: number;
  pitch: number;
  roll: number;
  gazeX: number;
  gazeY: number;
  smile: number;
  mouthOpen: number;
  teeth: boolean;
  browRaise: number;
  eyeOpen: number;
  lightAzimuth: number;
  lightElevation: number;
  lightIntensity: number;
  ambient: number;
  lightColour: Rgb;
  backdrop: Rgb;
  backdropFar: Rgb;
  backdropAngle: number;
  blurredLights: number;
  shiftX: number;
  shiftY: number;
  scale: number;
  /** 0 none, 1 knitted cap, 2 brimmed hat. */
  hat: number;
  hatRgb: Rgb;
  hatLine: number;
  glasses: boolean;
  glassesRgb: Rgb;
  glassesShape: { width: number; height: number; round: number; thick: number; tint: number };
  earrings: boolean;
  necklace: boolean;
  jewel: Rgb;
  cloth: Rgb;
  stripes: number;
  collarY: number;
  collarV: number;
  lipstick: number;
  seed: number;
}

/** A stream of Philox draws; the counter is (identity, view, block, part), the key (seed, a constant of this data set). */
class Draws {
  private block = 0;
  private left: number[] = [];
  constructor(
    private readonly identity: number,
    private readonly view: number,
    private readonly part: number,
    private readonly seed: number,
  ) {}

  /** Uniform in [low, high). */
  uniform(low = 0, high = 1): number {
    if (this.left.length === 0) {
      this.left = philox4x32([this.identity, this.view, this.block++, this.part], [this.seed, 0xface5]);
    }
    return low + ((high - low) * this.left.pop()!) / 4294967296;
  }

  /** Normal by the sum of twelve uniforms' shorter kin: four, scaled to unit variance, so it is bounded by ±3.5. */
  normal(mean: number, deviation: number): number {
    const sum = this.uniform() + this.uniform() + this.uniform() + this.uniform();
    return mean + deviation * (sum - 2) * Math.sqrt(3);
  }

  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** An index drawn with the given weights. */
  weighted(weights: readonly number[]): number {
    let at = this.uniform() * weights.reduce((a, b) => a + b, 0);
    for (let i = 0; i < weights.length - 1; i++) {
      at -= weights[i]!;
      if (at < 0) return i;
    }
    return weights.length - 1;
  }
}

const clamp = (x: number, low: number, high: number) => Math.min(high, Math.max(low, x));
const mixNumber = (a: number, b: number, t: number) => a + (b - a) * t;
const mixRgb = (a: Rgb, b: Rgb, t: number): Rgb => [
  mixNumber(a[0], b[0], t),
  mixNumber(a[1], b[1], t),
  mixNumber(a[2], b[2], t),
];
const scaleRgb = (c: Rgb, k: number): Rgb => [c[0] * k, c[1] * k, c[2] * k];

/** A colour given in sRGB bytes, as linear light. */
function srgb(r: number, g: number, b: number): Rgb {
  const linear = (byte: number) => {
    const c = byte / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return [linear(r), linear(g), linear(b)];
}

/** A colour by hue (0..1), saturation and value, as linear light. */
function hsv(h: number, s: number, v: number): Rgb {
  const channel = (n: number) => {
    const k = (n + h * 6) % 6;
    return 255 * (v - v * s * clamp(Math.min(k, 4 - k), 0, 1));
  };
  return srgb(channel(5), channel(3), channel(1));
}

/** Skin from light to deep. */
const SKIN: Rgb[] = [
  srgb(246, 212, 192),
  srgb(238, 194, 168),
  srgb(226, 176, 144),
  srgb(206, 152, 116),
  srgb(178, 122, 88),
  srgb(146, 96, 66),
  srgb(112, 72, 50),
  srgb(82, 52, 38),
];
const HAIR: Rgb[] = [
  srgb(28, 23, 22),
  srgb(52, 37, 29),
  srgb(88, 60, 42),
  srgb(112, 66, 40),
  srgb(158, 78, 40),
  srgb(150, 116, 78),
  srgb(206, 170, 112),
  srgb(136, 133, 130),
  srgb(214, 210, 204),
];
const IRIS: Rgb[] = [
  srgb(62, 38, 24),
  srgb(94, 60, 34),
  srgb(128, 98, 52),
  srgb(98, 116, 72),
  srgb(92, 128, 148),
  srgb(126, 142, 150),
];

function sampleIdentity(identity: number, seed: number): FaceIdentity {
  const d = new Draws(identity, 0, 0, seed);
  // One hidden axis from −1 to 1 along which brows, jaw, lips, beard and hair length vary together, as they do in people.
  const axis = clamp(d.normal(0, 0.75), -1, 1) + (d.chance(0.5) ? 0.25 : -0.25);
  const soft = clamp((axis + 1) / 2, 0, 1);
  const hard = 1 - soft;
  const full = d.normal(0, 1);
  const age = Math.round(clamp(18 + 62 * d.uniform() ** 1.5, 18, 80));
  const aged = (age - 18) / 62;

  const depth = d.uniform(0, SKIN.length - 1.001);
  const stop = Math.floor(depth);
  const undertone = d.normal(0, 0.035);
  const base = mixRgb(SKIN[stop]!, SKIN[stop + 1]!, depth - stop);
  const skin: Rgb = [base[0] * (1 + 0.4 * undertone), base[1], base[2] * (1 - 1.4 * undertone)];
  const dark = depth / (SKIN.length - 1);

  const fair = clamp(1 - dark * 2.2, 0, 1);
  let hairColour = d.weighted([3 + 9 * dark, 3.5, 1 + 3 * fair, 1.6 * fair, 0.9 * fair, 1.8 * fair, 1.8 * fair, 0, 0]);
  if (d.uniform() < (aged - 0.42) * 1.7) hairColour = aged > 0.75 && d.chance(0.6) ? 8 : 7;
  const grey = hairColour >= 7 ? 0 : clamp((aged - 0.3) * d.uniform(0, 1.3), 0, 0.7);
  const hairRgb = scaleRgb(HAIR[hairColour]!, d.uniform(0.8, 1.25));
  const iris = d.weighted([3 + 14 * dark, 3, 1.6 * fair + 0.2, 1.4 * fair, 2.6 * fair, 1.2 * fair]);

  const hairStyle = d.weighted([
    hard * hard * (0.25 + 0.9 * aged),
    0.35 + 3.2 * hard,
    0.12 + 4.2 * soft,
    1.3 * soft,
    0.25 + 0.9 * dark,
  ]);
  const hair = sampleHair(d, hairStyle, aged, hard);
  hair.grey = grey;

  const cut = hard > 0.5 ? d.weighted([3.4, 1.6, 1, 0.7, 1.1]) : 0;
  const jaw = d.normal(0, 1);
  const long = d.normal(0, 1);
  const eyeSize = d.normal(0, 1);
  const noseLong = d.normal(0, 1);
  const wide = d.normal(0.9 * (dark - 0.4), 0.7);
  const lipFull = d.normal(0.6 * soft + 0.8 * dark - 0.6, 0.6);
  const brow = mixRgb(
    hairColour >= 7 ? mixRgb(HAIR[1]!, HAIR[7]!, d.uniform(0.3, 1)) : HAIR[hairColour]!,
    HAIR[1]!,
    hairColour === 6 ? 0.6 : 0.25,
  );
  return {
    bone: {
      headWidth: 0.565 + 0.018 * full + 0.01 * d.normal(0, 1),
      jawWidth: 0.47 + 0.025 * full + 0.03 * (hard - 0.5) + 0.022 * jaw,
      jawY: -0.3 - 0.02 * long,
      jawHeight: 0.53 + 0.03 * long + 0.02 * hard,
      chinY: -0.84 - 0.035 * long - 0.015 * hard,
      chinWidth: 0.13 + 0.07 * hard + 0.025 * d.normal(0, 1),
      cheekbone: clamp(0.045 + 0.02 * full + 0.03 * d.normal(0, 1), -0.02, 0.1),
      browRidge: clamp(0.012 + 0.05 * (hard - 0.5) + 0.015 * d.normal(0, 1), -0.02, 0.06),
      eyeX: 0.24 + 0.011 * d.normal(0, 1),
      eyeY: 0.006 * d.normal(0, 1),
      eyeWidth: 0.118 + 0.008 * eyeSize + 0.003 * d.normal(0, 1),
      eyeUpper: clamp(0.053 + 0.006 * eyeSize + 0.007 * d.normal(0, 1) + 0.006 * soft - 0.006 * aged, 0.034, 0.075),
      eyeLower: clamp(0.03 + 0.004 * d.normal(0, 1), 0.02, 0.042),
      eyeSlant: clamp(0.05 + 0.06 * d.normal(0, 1) - 0.05 * aged, -0.13, 0.2),
      eyeFold: clamp(0.034 + 0.012 * d.normal(0, 1), 0.006, 0.06),
      lash: 0.009 + 0.01 * soft + 0.002 * d.normal(0, 1),
      shadow: clamp(0.05 + 0.5 * (soft - 0.45) + 0.18 * d.normal(0, 1), 0, 0.7),
      browY: 0.135 + 0.012 * d.normal(0, 1) + 0.022 * soft,
      browArch: clamp(0.02 + 0.012 * d.normal(0, 1) + 0.012 * soft, 0, 0.06),
      browThick: clamp(0.018 + 0.011 * hard + 0.005 * d.normal(0, 1), 0.009, 0.04),
      browTilt: clamp(0.02 * d.normal(0, 1) - 0.004, -0.05, 0.05),
      browLength: 0.285 + 0.015 * d.normal(0, 1),
      browDensity: clamp(0.72 + 0.14 * d.normal(0, 1), 0.4, 0.95),
      noseY: -0.335 - 0.028 * noseLong,
      noseZ: 0.715 + 0.02 * noseLong + 0.02 * d.normal(0, 1) + 0.015 * hard,
      noseTip: clamp(0.068 + 0.008 * d.normal(0, 1) + 0.006 * hard + 0.008 * wide, 0.05, 0.095),
      noseWing: clamp(0.042 + 0.006 * wide + 0.003 * d.normal(0, 1), 0.03, 0.06),
      noseBridge: clamp(0.046 + 0.006 * d.normal(0, 1) + 0.006 * wide + 0.006 * hard, 0.03, 0.07),
      noseWingX: clamp(0.082 + 0.012 * wide + 0.006 * hard, 0.062, 0.115),
      mouthY: -0.545 - 0.02 * noseLong - 0.014 * long + 0.01 * d.normal(0, 1),
      mouthWidth: 0.185 + 0.016 * d.normal(0, 1) + 0.008 * wide,
      lipUpper: clamp(0.041 + 0.013 * lipFull - 0.012 * aged, 0.016, 0.075),
      lipLower: clamp(0.056 + 0.014 * lipFull - 0.012 * aged, 0.025, 0.095),
      irisRadius: 0.0515 + 0.002 * d.normal(0, 1),
      earSize: clamp(0.185 + 0.018 * d.normal(0, 1) + 0.03 * aged, 0.14, 0.24),
      earTilt: clamp(0.015 + 0.02 * d.normal(0, 1), -0.015, 0.06),
      freckles: d.chance(0.18) ? fair * d.uniform(0.3, 1) : 0,
      neckWidth: 0.31 + 0.07 * hard + 0.012 * full,
      stubble: hard > 0.5 ? d.uniform(0.15, 0.8) : 0,
      beard: [0, 0, 0.25 + 0.2 * d.uniform(), 0, 0.7 + 0.3 * d.uniform()][cut]!,
      moustache: [0, 0, 0.75, 0.9, 0.9][cut]!,
    },
    hair,
    hairStyle,
    hairColour,
    age,
    skin,
    blush: clamp(d.uniform(0.35, 1.1) + 0.2 * soft, 0, 1.2),
    lips: mixRgb(skin, mixRgb(srgb(188, 92, 92), srgb(104, 52, 50), dark), 0.62),
    hairRgb,
    brow: scaleRgb(brow, 0.7),
    iris: scaleRgb(IRIS[iris]!, d.uniform(0.85, 1.3)),
    seed: Math.floor(d.uniform(0, 65536)),
  };
}

function sampleHair(d: Draws, style: number, aged: number, hard: number): FaceIdentity['hair'] {
  const name = HAIR_STYLES[style]!;
  const fringe = d.chance(name === 'long' ? 0.3 : name === 'short' ? 0.3 : 0.1);
  const parted = d.chance(0.6);
  const hair = {
    thick: 0.05,
    top: 0.09,
    openWidth: 0.52,
    openPower: d.uniform(2.6, 4.5),
    part: 0,
    hairline: fringe ? d.uniform(0.25, 0.33) : d.uniform(0.42, 0.52) + 0.06 * aged * hard,
    slope: fringe ? d.normal(0, 0.14) : d.normal(0, 0.06),
    length: 0,
    flare: 0,
    curl: d.uniform(0.0, 0.05),
    frequency: d.uniform(15, 30),
    recede: 0,
    grey: 0,
  };
  if (name === 'short') {
    hair.thick = d.uniform(0.025, 0.085);
    hair.top = hair.thick + d.uniform(0.01, 0.14);
    hair.part = d.normal(0, 0.12);
    hair.curl = d.uniform(0.01, 0.09);
    hair.openWidth = d.uniform(0.5, 0.55);
    if (d.chance(0.12 + 0.4 * aged)) hair.recede = d.uniform(0.15, 0.85) * hard;
  } else if (name === 'long') {
    hair.thick = d.uniform(0.09, 0.19);
    hair.top = d.uniform(0.09, 0.19);
    hair.length = d.weighted([2, 1.2, 3]) === 0 ? d.uniform(0.75, 1.1) : d.uniform(1.1, 1.9);
    hair.flare = d.uniform(-0.05, 0.26);
    hair.part = parted ? d.uniform(-0.3, 0.3) : 0;
    hair.openPower = fringe ? d.uniform(3, 5) : d.uniform(1.35, 2.6);
    if (!fringe) hair.hairline = d.uniform(0.46, 0.58);
    hair.openWidth = d.uniform(0.42, 0.56);
    hair.curl = d.uniform(0, 0.14);
  } else if (name === 'bun') {
    hair.thick = d.uniform(0.02, 0.05);
    hair.top = d.uniform(0.03, 0.08);
    hair.part = d.uniform(-0.25, 0.25);
    hair.openWidth = d.uniform(0.5, 0.54);
    hair.openPower = d.uniform(2, 3);
  } else if (name === 'curly') {
    hair.thick = d.uniform(0.1, 0.34);
    hair.top = hair.thick + d.uniform(0, 0.08);
    hair.curl = d.uniform(0.1, 0.2);
    hair.length = d.chance(0.5) ? d.uniform(0.6, 1.2) : 0;
    hair.flare = d.uniform(-0.1, 0.1);
  }
  return hair;
}

function sampleView(identity: number, view: number, seed: number, who: FaceIdentity): FaceView {
  const d = new Draws(identity, view, 1, seed);
  const yaw = clamp(d.normal(0, 0.27), -0.75, 0.75);
  const pitch = clamp(d.normal(0, 0.12), -0.32, 0.32);
  const smile = d.chance(0.55) ? d.uniform(0.4, 1) : d.uniform(-0.3, 0.4);
  const opens = d.chance(smile > 0.4 ? 0.65 : 0.22);
  const mouthOpen = opens ? (smile > 0.4 ? d.uniform(0.035, 0.105) : d.uniform(0.03, 0.19)) : 0;
  const warm = d.normal(0, 0.05);
  const lightIntensity = d.uniform(0.75, 1.25);
  const backHue = d.uniform();
  const backSaturation = 0.5 * d.uniform() ** 1.5;
  const backValue = d.uniform(0.15, 0.85);
  const backdrop = hsv(backHue, backSaturation, backValue);
  const far = hsv(
    (backHue + d.normal(0, 0.08) + 1) % 1,
    clamp(backSaturation + d.normal(0, 0.1), 0, 0.7),
    clamp(backValue + d.normal(0, 0.22), 0.06, 0.95),
  );
  const covered = who.hairStyle === 2 || (who.hairStyle === 4 && who.hair.length > 0);
  const hat = d.chance(0.09) ? 1 + d.weighted([1.4, 1]) : 0;
  const glasses = d.chance(0.14 + 0.2 * ((who.age - 18) / 62));
  const sun = d.chance(0.16);
  const height = d.uniform(0.075, 0.14);
  return {
    yaw,
    pitch,
    roll: clamp(d.normal(0, 0.07) - 0.1 * yaw * d.uniform(), -0.22, 0.22),
    gazeX: clamp(d.normal(-yaw * 0.6, 0.3), -1, 1),
    gazeY: clamp(d.normal(-pitch * 0.6, 0.22), -1, 1),
    smile,
    mouthOpen,
    teeth: opens && d.chance(smile > 0.3 ? 0.97 : 0.75),
    browRaise: d.normal(0.1 * (mouthOpen > 0.1 ? 1 : 0), 0.35),
    eyeOpen: d.chance(0.03) ? d.uniform(0.1, 0.3) : clamp(d.normal(1, 0.1) - 0.12 * Math.max(smile, 0), 0.6, 1.25),
    lightAzimuth: clamp(d.normal(0, 0.65), -1.3, 1.3),
    lightElevation: d.uniform(0.1, 1.0),
    lightIntensity,
    ambient: d.uniform(0.3, 0.62) + 0.12 * (1 - lightIntensity),
    lightColour: [1 + warm, 1, 1 - 1.3 * warm],
    backdrop,
    backdropFar: far,
    backdropAngle: d.uniform(0, 6.283),
    blurredLights: d.chance(0.5) ? d.uniform(0.1, 0.55) : 0,
    shiftX: d.normal(0, 0.018),
    shiftY: d.normal(0, 0.018),
    scale: 0.92 * (1 + d.normal(0, 0.03)),
    hat,
    hatRgb: hsv(d.uniform(), d.uniform(0.05, 0.7), d.uniform(0.12, 0.85)),
    hatLine: d.uniform(0.3, 0.4),
    glasses,
    glassesRgb: d.chance(0.65)
      ? scaleRgb([0.03, 0.028, 0.027], d.uniform(0.4, 1.6))
      : mixRgb(srgb(120, 72, 40), srgb(190, 160, 100), d.uniform()),
    glassesShape: {
      width: d.uniform(0.165, 0.195),
      height,
      round: clamp(height * d.uniform(0.35, 1), 0.03, 0.14),
      thick: d.uniform(0.009, 0.021),
      tint: sun ? d.uniform(0.8, 0.96) : d.uniform(0, 0.06),
    },
    earrings: !covered && Math.abs(yaw) < 0.6 && d.chance(who.hairStyle === 3 ? 0.6 : 0.12),
    necklace: d.chance(covered || who.hairStyle === 3 ? 0.3 : 0.06),
    jewel: d.chance(0.6) ? srgb(226, 186, 104) : srgb(214, 216, 222),
    cloth: hsv(d.uniform(), 0.75 * d.uniform() ** 1.3, d.uniform(0.1, 0.92)),
    stripes: d.chance(0.16) ? d.uniform(0.3, 0.8) : 0,
    collarY: d.uniform(-1.34, -1.12),
    collarV: d.chance(0.45) ? d.uniform(0.5, 0.95) : d.uniform(0, 0.2),
    lipstick: clamp(who.bone.shadow * d.uniform(0, 1.6), 0, 0.9),
    seed: Math.floor(d.uniform(0, 65536)),
  };
}

/** What can be asked of a face: the targets of recognition, attribute and pose networks. Angles in radians. */
export interface FaceAttributes {
  /** The identity's number. */
  identity: number;
  /** Positive turns the nose to the right of the image. */
  yaw: number;
  /** Positive looks up. */
  pitch: number;
  /** Positive turns counter-clockwise in the image. */
  roll: number;
  /** −1 (left of the image) to 1, relative to the head. */
  gazeX: number;
  /** −1 (down) to 1. */
  gazeY: number;
  /** −0.3 (sullen) to 1. */
  smile: number;
  /** Height of the gap between the lips, 0 to 0.19 head units. */
  mouthOpen: number;
  teeth: boolean;
  /** Years. */
  age: number;
  glasses: boolean;
  beard: boolean;
  hairStyle: (typeof HAIR_STYLES)[number];
  hairColour: (typeof HAIR_COLOURS)[number];
  hat: boolean;
  earrings: boolean;
  necklace: boolean;
  lightAzimuth: number;
  lightElevation: number;
  lightIntensity: number;
}

/** A face to be rendered. */
export interface Face {
  identity: number;
  view: number;
  person: FaceIdentity;
  photograph: FaceView;
  attributes: FaceAttributes;
}

/**
 * The face of person `identity` in photograph `view`: a pure function of (identity, view, seed), u32 all. Every view of an
 * identity has the same `person`.
 */
export function faceParameters(identity: number, view: number, options: { seed?: number } = {}): Face {
  const seed = options.seed ?? 0;
  const person = sampleIdentity(identity, seed);
  const photograph = sampleView(identity, view, seed, person);
  const { yaw, pitch, roll, gazeX, gazeY, smile, mouthOpen, teeth, glasses, earrings, necklace } = photograph;
  const { lightAzimuth, lightElevation, lightIntensity } = photograph;
  return {
    identity,
    view,
    person,
    photograph,
    attributes: {
      identity,
      yaw,
      pitch,
      roll,
      gazeX,
      gazeY,
      smile,
      mouthOpen,
      teeth,
      age: person.age,
      glasses,
      beard: person.bone.beard > 0,
      hairStyle: HAIR_STYLES[person.hairStyle]!,
      hairColour: HAIR_COLOURS[person.hairColour]!,
      hat: photograph.hat > 0,
      earrings,
      necklace,
      lightAzimuth,
      lightElevation,
      lightIntensity,
    },
  };
}
