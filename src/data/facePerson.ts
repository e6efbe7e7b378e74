import { clamp, Draws, mixRgb, type Rgb, scaleRgb, srgb } from './faceDraws.ts';

/** Who a face is. Lengths are in head units (a head is 1.6 high, about 22 cm); the eye line is y = 0. */

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
export interface Person {
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
/** Skin from light to deep. */
const SKIN: Rgb[] = [
  srgb(240, 193, 166),
  srgb(232, 178, 146),
  srgb(219, 160, 124),
  srgb(201, 140, 103),
  srgb(178, 118, 84),
  srgb(150, 98, 68),
  srgb(124, 80, 57),
  srgb(98, 64, 48),
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
  srgb(196, 192, 186),
];
const IRIS: Rgb[] = [
  srgb(62, 38, 24),
  srgb(94, 60, 34),
  srgb(128, 98, 52),
  srgb(98, 116, 72),
  srgb(92, 128, 148),
  srgb(126, 142, 150),
];

/** The person of this number: a pure function of (identity, seed). */
export function samplePerson(identity: number, seed: number): Person {
  const d = new Draws(identity, 0, 0, seed);
  // One hidden axis from −1 to 1 along which brows, jaw, lips, beard and hair length vary together, as they do in
  // people.
  const axis = clamp(d.normal(0, 0.75), -1, 1) + (d.chance(0.5) ? 0.25 : -0.25);
  const soft = clamp((axis + 1) / 2, 0, 1);
  const hard = 1 - soft;
  const full = d.normal(0, 1);
  const age = Math.round(clamp(18 + 62 * d.uniform() ** 1.8, 18, 80));
  const aged = (age - 18) / 62;

  const depth = (SKIN.length - 1.001) * d.uniform() ** 1.25;
  const stop = Math.floor(depth);
  const undertone = d.normal(0, 0.035);
  const base = mixRgb(SKIN[stop]!, SKIN[stop + 1]!, depth - stop);
  const skin: Rgb = [base[0] * (1 + 0.4 * undertone), base[1], base[2] * (1 - 1.4 * undertone)];
  const dark = depth / (SKIN.length - 1);

  const fair = clamp(1 - dark * 2.2, 0, 1);
  let hairColour = d.weighted([3 + 9 * dark, 3.5, 1 + 3 * fair, 1.6 * fair, 0.9 * fair, 1.8 * fair, 1.8 * fair, 0, 0]);
  if (d.uniform() < (aged - 0.5) * 1.5) hairColour = aged > 0.75 && d.chance(0.6) ? 8 : 7;
  const grey = hairColour >= 7 ? 0 : clamp((aged - 0.3) * d.uniform(0, 1.3), 0, 0.7);
  const hairRgb = scaleRgb(HAIR[hairColour]!, d.uniform(0.8, 1.25));
  const iris = d.weighted([3 + 14 * dark, 3, 1.6 * fair + 0.2, 1.4 * fair, 2.6 * fair, 1.2 * fair]);

  const hairStyle = d.weighted([
    hard * hard * (0.25 + 0.9 * aged),
    0.35 + 3.2 * hard,
    0.1 + 5.5 * soft * soft,
    1.3 * soft,
    0.25 + 0.9 * dark,
  ]);
  const hair = sampleHair(d, hairStyle, aged, hard);
  hair.grey = grey;

  const cut = hard > 0.55 ? d.weighted([3.4, 1.6, 1, 0.7, 1.1]) : 0;
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
      jawWidth: 0.448 + 0.025 * full + 0.03 * (hard - 0.5) + 0.022 * jaw,
      jawY: -0.3 - 0.02 * long,
      jawHeight: 0.5 + 0.03 * long + 0.02 * hard,
      chinY: -0.8 - 0.035 * long - 0.015 * hard,
      chinWidth: 0.13 + 0.07 * hard + 0.025 * d.normal(0, 1),
      cheekbone: clamp(0.045 + 0.02 * full + 0.03 * d.normal(0, 1), -0.02, 0.1),
      browRidge: clamp(0.012 + 0.05 * (hard - 0.5) + 0.015 * d.normal(0, 1), -0.02, 0.06),
      eyeX: 0.245 + 0.011 * d.normal(0, 1),
      eyeY: 0.006 * d.normal(0, 1),
      eyeWidth: 0.132 + 0.008 * eyeSize + 0.003 * d.normal(0, 1),
      eyeUpper: clamp(0.062 + 0.006 * eyeSize + 0.007 * d.normal(0, 1) + 0.006 * soft - 0.006 * aged, 0.042, 0.085),
      eyeLower: clamp(0.034 + 0.004 * d.normal(0, 1), 0.02, 0.042),
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
      noseY: -0.322 - 0.028 * noseLong,
      noseZ: 0.715 + 0.02 * noseLong + 0.02 * d.normal(0, 1) + 0.015 * hard,
      noseTip: clamp(0.068 + 0.008 * d.normal(0, 1) + 0.006 * hard + 0.008 * wide, 0.05, 0.095),
      noseWing: clamp(0.042 + 0.006 * wide + 0.003 * d.normal(0, 1), 0.03, 0.06),
      noseBridge: clamp(0.046 + 0.006 * d.normal(0, 1) + 0.006 * wide + 0.006 * hard, 0.03, 0.07),
      noseWingX: clamp(0.082 + 0.012 * wide + 0.006 * hard, 0.062, 0.115),
      mouthY: -0.52 - 0.02 * noseLong - 0.014 * long + 0.01 * d.normal(0, 1),
      mouthWidth: 0.195 + 0.016 * d.normal(0, 1) + 0.008 * wide,
      lipUpper: clamp(0.047 + 0.013 * lipFull - 0.012 * aged, 0.016, 0.075),
      lipLower: clamp(0.066 + 0.014 * lipFull - 0.012 * aged, 0.025, 0.095),
      irisRadius: 0.057 + 0.002 * d.normal(0, 1),
      earSize: clamp(0.185 + 0.018 * d.normal(0, 1) + 0.03 * aged, 0.14, 0.24),
      earTilt: clamp(0.015 + 0.02 * d.normal(0, 1), -0.015, 0.06),
      freckles: d.chance(0.18) ? fair * d.uniform(0.3, 1) : 0,
      neckWidth: 0.265 + 0.065 * hard + 0.012 * full,
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
    lips: mixRgb(skin, mixRgb(srgb(178, 70, 74), srgb(96, 40, 42), dark), 0.7),
    hairRgb,
    brow: scaleRgb(brow, 0.7),
    iris: scaleRgb(IRIS[iris]!, d.uniform(0.85, 1.3)),
    seed: Math.floor(d.uniform(0, 65536)),
  };
}

function sampleHair(d: Draws, style: number, aged: number, hard: number): Person['hair'] {
  const name = HAIR_STYLES[style]!;
  const fringe = d.chance(name === 'long' ? 0.3 : name === 'short' ? 0.3 : 0.1);
  const parted = d.chance(0.6);
  const hair = {
    thick: 0.05,
    top: 0.09,
    openWidth: 0.52,
    openPower: d.uniform(2.6, 4.5),
    part: 0,
    hairline: fringe ? d.uniform(0.26, 0.36) : d.uniform(0.52, 0.62) + 0.06 * aged * hard,
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
    if (d.chance(0.1 + 0.5 * aged) && hard > 0.6) {
      hair.recede = d.uniform(0.4, 1);
      hair.hairline = Math.max(hair.hairline, 0.54);
    }
  } else if (name === 'long') {
    hair.thick = d.uniform(0.09, 0.19);
    hair.top = d.uniform(0.09, 0.19);
    hair.length = d.weighted([2, 1.2, 3]) === 0 ? d.uniform(0.75, 1.1) : d.uniform(1.1, 1.9);
    hair.flare = d.uniform(-0.05, 0.26);
    hair.part = parted ? d.uniform(-0.3, 0.3) : 0;
    hair.openPower = fringe ? d.uniform(3, 5) : d.uniform(1.35, 2.6);
    if (!fringe) hair.hairline = d.uniform(0.56, 0.68);
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
