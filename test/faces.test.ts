import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FACE_SCALARS, FACE_VECTORS } from '../src/data/facePacking.ts';
import {
  BINARY_ATTRIBUTES,
  CONTINUOUS_ATTRIBUTES,
  FACE_CLASSES,
  type Face,
  faceParameters,
  faceTargets,
  HELD_OUT_IDENTITIES,
  MIRRORED_CLASSES,
  renderFaces,
  sampleFaces,
  TRAINING_IDENTITIES,
} from '../src/data/faces.ts';
import { Device } from '../src/runtime/device.ts';

const id = (name: (typeof FACE_CLASSES)[number]) => FACE_CLASSES.indexOf(name);

let device: Device;
beforeAll(async () => {
  device = await Device.open({ limits: 'default' });
});
afterAll(() => device.destroy());

async function render(faces: Face[], size: number) {
  const { image, labels } = device.scope('test', () => {
    const made = renderFaces(device, faces, size);
    return { image: device.keep(made.image), labels: device.keep(made.labels) };
  });
  const result = { pixels: await device.read(image), classes: await device.readU32(labels) };
  device.discard(image);
  device.discard(labels);
  return result;
}

/** A face looking straight ahead in plain light, with nothing worn, changed as stated. */
function plainFace(identity: number, changes: Partial<Face['photograph']> = {}): Face {
  const face = faceParameters(identity, 0);
  const plain = {
    yaw: 0,
    pitch: 0,
    roll: 0,
    gazeX: 0,
    gazeY: 0,
    smile: 0,
    mouthOpen: 0,
    eyeOpen: 1,
    shiftX: 0,
    shiftY: 0,
    scale: 0.985,
    hat: 0,
    glasses: false,
    earrings: false,
    necklace: false,
    lightAzimuth: 0,
    collarY: -1.2,
  };
  return { ...face, photograph: { ...face.photograph, ...plain, ...changes } };
}

/** Number of pixels of a class in one label map, and their mean column and row in 0..1. */
function where(classes: Uint32Array, size: number, wanted: number, n = 0) {
  let [count, x, y] = [0, 0, 0];
  for (let i = 0; i < size * size; i++) {
    if (classes[n * size * size + i] !== wanted) continue;
    count++;
    x += ((i % size) + 0.5) / size;
    y += (Math.floor(i / size) + 0.5) / size;
  }
  return { count, x: x / count, y: y / count };
}

describe('parameters', () => {
  test('the packed record has the layout of the shader', () => {
    const source = readFileSync('shaders/faces.wgsl', 'utf8');
    const body = source.slice(source.indexOf('struct Face {'), source.indexOf('}', source.indexOf('struct Face {')));
    const members = [...body.matchAll(/(\w+): (vec4f|f32)/g)];
    expect(members.filter(m => m[2] === 'vec4f').map(m => m[1])).toEqual([...FACE_VECTORS]);
    expect(members.filter(m => m[2] === 'f32').map(m => m[1])).toEqual([...FACE_SCALARS]);
    // WGSL rounds the size of the structure up to its alignment, 16 bytes.
    expect(FACE_SCALARS.length % 4).toBe(0);
  });

  test('two views of an identity share the person, not the photograph', () => {
    const [a, b, other] = [faceParameters(7, 0), faceParameters(7, 1), faceParameters(8, 0)];
    expect(a.person).toEqual(b.person);
    expect(a.photograph).not.toEqual(b.photograph);
    expect(a.person).not.toEqual(other.person);
    expect(faceParameters(7, 0, { seed: 1 }).person).not.toEqual(a.person);
    expect(faceParameters(7, 0)).toEqual(a);
  });

  test('every parameter is finite and packs', () => {
    for (let i = 0; i < 2000; i++) {
      const { person, photograph } = faceParameters(i, 0);
      const numbers = [...Object.values(person.bone), ...Object.values(person.hair), ...Object.values(photograph)];
      expect(numbers.filter(x => typeof x === 'number').every(Number.isFinite)).toBe(true);
    }
  });

  test('a batch is a function of its step, and held-out people are never drawn for training', () => {
    expect(sampleFaces(3, 8)).toEqual(sampleFaces(3, 8));
    expect(sampleFaces(3, 8)).not.toEqual(sampleFaces(4, 8));
    const { first, count } = TRAINING_IDENTITIES;
    for (const face of sampleFaces(0, 500)) {
      expect(face.identity).toBeGreaterThanOrEqual(first);
      expect(face.identity).toBeLessThan(first + count);
    }
    for (const face of sampleFaces(0, 500, { identities: HELD_OUT_IDENTITIES })) {
      expect(face.identity).toBeGreaterThanOrEqual(first + count);
    }
  });

  test('targets have a row a face', () => {
    const faces = sampleFaces(0, 5);
    const targets = faceTargets(faces);
    expect(targets.identity).toEqual(Uint32Array.from(faces, f => f.identity));
    expect(targets.binary).toHaveLength(5 * BINARY_ATTRIBUTES.length);
    expect(targets.continuous).toHaveLength(5 * CONTINUOUS_ATTRIBUTES.length);
    expect(targets.continuous[0]).toBeCloseTo(faces[0].attributes.yaw / 0.27, 5);
    expect(targets.binary[1 * 6 + 1]).toBe(Number(faces[1].attributes.glasses));
  });

  test('mirroring classes twice changes nothing', () => {
    for (const c of MIRRORED_CLASSES) expect(MIRRORED_CLASSES[MIRRORED_CLASSES[c]]).toBe(c);
    expect(MIRRORED_CLASSES[id('l_eye')]).toBe(id('r_eye'));
    expect(MIRRORED_CLASSES[id('l_brow')]).toBe(id('r_brow'));
    expect(MIRRORED_CLASSES[id('l_ear')]).toBe(id('r_ear'));
  });
});

describe('images', () => {
  test('same parameters, same pixels, wherever in the batch', async () => {
    const faces = sampleFaces(1, 6);
    const together = await render(faces, 32);
    const again = await render(faces, 32);
    const alone = await render([faces[4]], 32);
    expect(again.pixels).toEqual(together.pixels);
    expect(again.classes).toEqual(together.classes);
    expect(alone.pixels).toEqual(together.pixels.slice(4 * 3 * 1024, 5 * 3 * 1024));
    expect(alone.classes).toEqual(together.classes.slice(4 * 1024, 5 * 1024));
  });

  test('400 faces: values in range and spread, all 19 classes', async () => {
    const { pixels, classes } = await render(sampleFaces(2, 400), 32);
    let [sum, squares] = [0, 0];
    for (const x of pixels) {
      if (!(x >= -1 && x <= 1)) throw new Error(`value ${x}`);
      sum += x;
      squares += x * x;
    }
    const mean = sum / pixels.length;
    expect(Math.abs(mean)).toBeLessThan(0.35);
    expect(Math.sqrt(squares / pixels.length - mean * mean)).toBeGreaterThan(0.3);
    const counts = new Array(19).fill(0);
    for (const c of classes) counts[c]++;
    for (const [c, count] of counts.entries()) expect(count, FACE_CLASSES[c]).toBeGreaterThan(30);
  });

  test('the eyes are at 0.42 of the height, left and right as seen, and the face fills the identity crop', async () => {
    const size = 64;
    const faces = [3, 4, 5, 6, 9, 12].map(identity => plainFace(identity));
    const { classes } = await render(faces, size);
    for (let n = 0; n < faces.length; n++) {
      const at = (name: (typeof FACE_CLASSES)[number]) => where(classes, size, id(name), n);
      const [left, right] = [at('l_eye'), at('r_eye')];
      expect((left.y + right.y) / 2).toBeGreaterThan(0.4);
      expect((left.y + right.y) / 2).toBeLessThan(0.44);
      expect(left.x).toBeLessThan(0.45);
      expect(right.x).toBeGreaterThan(0.55);
      expect(left.x + right.x).toBeCloseTo(1, 1);
      expect(at('nose').y).toBeGreaterThan(left.y);
      expect(at('l_lip').y).toBeGreaterThan(at('u_lip').y);
      expect(at('neck').y).toBeGreaterThan(at('l_lip').y);
      expect(at('skin').count + at('nose').count).toBeGreaterThan(0.18 * size * size);
    }
  });

  test('64 pixels averaged to 32 are the image at 32', async () => {
    const faces = sampleFaces(5, 16);
    const [small, large] = [await render(faces, 32), await render(faces, 64)];
    let error = 0;
    for (let plane = 0; plane < 48; plane++) {
      for (let i = 0; i < 1024; i++) {
        const at = plane * 4096 + Math.floor(i / 32) * 128 + (i % 32) * 2;
        const box = (large.pixels[at] + large.pixels[at + 1] + large.pixels[at + 64] + large.pixels[at + 65]) / 4;
        error += (box - small.pixels[plane * 1024 + i]) ** 2;
      }
    }
    expect(Math.sqrt(error / small.pixels.length)).toBeLessThan(0.05);
  });

  test('turning moves the nose within the outline, to the side of the yaw', async () => {
    const size = 64;
    const { classes } = await render(
      [-0.4, 0, 0.4].map(yaw => plainFace(4, { yaw })),
      size,
    );
    const offset = [0, 1, 2].map(n => {
      const columns = [...Array(size * size).keys()]
        .filter(i => [id('skin'), id('hair')].includes(classes[n * size * size + i]) && i < 0.6 * size * size)
        .map(i => (i % size) / size);
      return where(classes, size, id('nose'), n).x - (Math.min(...columns) + Math.max(...columns)) / 2;
    });
    expect(offset[0]).toBeLessThan(offset[1] - 0.06);
    expect(offset[2]).toBeGreaterThan(offset[1] + 0.06);
  });

  test('pitch, roll, gaze and mouth do what their labels say', async () => {
    const size = 64;
    const changes = [{ pitch: -0.25 }, { pitch: 0.25 }, { roll: 0.2 }, { mouthOpen: 0.15, teeth: true }, {}];
    const { classes } = await render(
      changes.map(change => plainFace(4, change)),
      size,
    );
    const at = (name: (typeof FACE_CLASSES)[number], n: number) => where(classes, size, id(name), n);
    // Looking up brings the tip of the nose nearer to the eyes.
    const noseDrop = (n: number) => at('nose', n).y - (at('l_eye', n).y + at('r_eye', n).y) / 2;
    expect(noseDrop(1)).toBeLessThan(noseDrop(0));
    // Counter-clockwise: the eye at the right rises.
    expect(at('r_eye', 2).y).toBeLessThan(at('l_eye', 2).y - 0.03);
    expect(at('mouth', 3).count).toBeGreaterThan(20);
    expect(at('mouth', 4).count).toBe(0);
  });

  test('gaze moves the dark of the iris', async () => {
    const size = 128;
    const { pixels, classes } = await render(
      [-0.9, 0.9].map(gazeX => plainFace(4, { gazeX })),
      size,
    );
    const darkest = [0, 1].map(n => {
      let [weight, x] = [0, 0];
      for (let i = 0; i < size * size; i++) {
        if (classes[n * size * size + i] !== id('r_eye')) continue;
        const dark = (1 - pixels[n * 3 * size * size + i]) ** 4;
        weight += dark;
        x += dark * (i % size);
      }
      return x / weight;
    });
    expect(darkest[1]).toBeGreaterThan(darkest[0] + 1.5);
  });

  test('classes agree with the attributes', async () => {
    const size = 64;
    const faces = sampleFaces(9, 200);
    const { classes } = await render(faces, size);
    faces.forEach(({ attributes }, n) => {
      const present = (name: (typeof FACE_CLASSES)[number]) => where(classes, size, id(name), n).count > 0;
      expect(present('eye_g')).toBe(attributes.glasses);
      expect(present('hat')).toBe(attributes.hat);
      expect(present('ear_r')).toBe(attributes.earrings);
      if (!attributes.necklace) expect(present('neck_l')).toBe(false);
      if (attributes.mouthOpen === 0) expect(present('mouth')).toBe(false);
      expect(present('hair') || attributes.hat).toBe(attributes.hairStyle !== 'bald' || attributes.hat);
      for (const name of ['skin', 'nose', 'u_lip', 'l_lip', 'neck'] as const) expect(present(name)).toBe(true);
    });
  });

  test('speed at 32×32', async () => {
    const faces = sampleFaces(11, 400);
    await render(faces.slice(0, 8), 32);
    const start = performance.now();
    await render(faces, 32);
    console.log(`${device.adapter.name}: ${Math.round(400_000 / (performance.now() - start))} faces of 32×32 a second`);
  });
});
