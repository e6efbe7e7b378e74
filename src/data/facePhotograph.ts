import { clamp, Draws, hsv, mixRgb, type Rgb, scaleRgb, srgb } from './faceDraws.ts';
import type { Person } from './facePerson.ts';

/** How a face is seen: pose, expression, light, background, camera and what the person wears. */

/** What belongs to the photograph. Angles are in radians. */
export interface Photograph {
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
/** The photograph of this number of a person: a pure function of (identity, view, seed). */
export function samplePhotograph(identity: number, view: number, seed: number, who: Person): Photograph {
  const d = new Draws(identity, view, 1, seed);
  const yaw = clamp(d.normal(0, 0.27), -0.75, 0.75);
  const pitch = clamp(d.normal(0, 0.12), -0.32, 0.32);
  const smile = d.chance(0.55) ? d.uniform(0.4, 1) : d.uniform(-0.25, 0.45);
  const opens = d.chance(smile > 0.4 ? 0.65 : 0.22);
  const mouthOpen = opens ? (smile > 0.4 ? d.uniform(0.045, 0.125) : d.uniform(0.035, 0.2)) : 0;
  const warm = d.normal(0, 0.05);
  const lightIntensity = d.uniform(0.85, 1.4);
  const backHue = d.chance(0.7) ? d.uniform(0.02, 0.16) + (d.chance(0.5) ? 0.5 : 0) : d.uniform();
  const backSaturation = 0.42 * d.uniform() ** 1.7;
  const backValue = d.uniform(0.15, 0.85);
  const backdrop = hsv(backHue, backSaturation, backValue);
  const far = hsv(
    (backHue + d.normal(0, 0.08) + 1) % 1,
    clamp(backSaturation + d.normal(0, 0.07), 0, 0.45),
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
    ambient: d.uniform(0.36, 0.66) + 0.12 * (1 - lightIntensity),
    lightColour: [1 + warm, 1, 1 - 1.3 * warm],
    backdrop,
    backdropFar: far,
    backdropAngle: d.uniform(0, 6.283),
    blurredLights: d.chance(0.5) ? d.uniform(0.1, 0.55) : 0,
    shiftX: d.normal(0, 0.018),
    shiftY: d.normal(0, 0.018),
    scale: 0.985 * (1 + d.normal(0, 0.03)),
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
    earrings:
      !covered && Math.abs(yaw) < 0.6 && d.chance(who.hairStyle === 3 ? 0.6 : who.bone.stubble > 0 ? 0.06 : 0.4),
    necklace: d.chance(who.bone.stubble > 0 ? 0.04 : 0.3),
    jewel: d.chance(0.6) ? srgb(226, 186, 104) : srgb(214, 216, 222),
    cloth: hsv(d.uniform(), 0.62 * d.uniform() ** 1.3, d.uniform(0.1, 0.92)),
    stripes: d.chance(0.16) ? d.uniform(0.3, 0.8) : 0,
    collarY: d.uniform(-1.34, -1.12),
    collarV: d.chance(0.45) ? d.uniform(0.5, 0.95) : d.uniform(0, 0.2),
    lipstick: clamp(who.bone.shadow * d.uniform(0, 1.6), 0, 0.9),
    seed: Math.floor(d.uniform(0, 65536)),
  };
}
