import { HAIR_COLOURS, HAIR_STYLES, type Person, samplePerson } from './facePerson.ts';
import { type Photograph, samplePhotograph } from './facePhotograph.ts';

/**
 * The parameters of the procedural faces are drawn on the host, so that labels are known without a device and are
 * identical everywhere.
 */

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
  person: Person;
  photograph: Photograph;
  attributes: FaceAttributes;
}

/**
 * The face of person `identity` in photograph `view`: a pure function of (identity, view, seed), u32 all. Every view of
 * an identity has the same `person`.
 */
export function faceParameters(identity: number, view: number, options: { seed?: number } = {}): Face {
  const seed = options.seed ?? 0;
  const person = samplePerson(identity, seed);
  const photograph = samplePhotograph(identity, view, seed, person);
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
