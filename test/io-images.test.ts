import fs from 'node:fs';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { type Raster, resize } from '../src/data/resize.ts';
import { tile } from '../src/io/grid.ts';
import { readImageHeader } from '../src/io/imageHeader.ts';
import { decodeImage, encodePng, maxPixels } from '../src/io/images.ts';

/** 3 × 2: red, green, blue over black, white, grey. */
const pixels = [255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 128, 128, 128];
const small = () => sharp(Uint8Array.from(pixels), { raw: { width: 3, height: 2, channels: 3 } });
const noise = (width: number, height: number) =>
  sharp(
    Uint8Array.from({ length: 3 * width * height }, (_, i) => Math.imul(i, 2654435761) >>> 24),
    { raw: { width, height, channels: 3 } },
  );

describe('decodeImage', () => {
  test('PNG and lossless WebP are exact, JPEG and WebP near', async () => {
    for (const file of [await small().png().toBuffer(), await small().webp({ lossless: true }).toBuffer()]) {
      expect(await decodeImage(file, 'x')).toEqual({ width: 3, height: 2, data: expect.anything() });
      expect([...(await decodeImage(file, 'x')).data]).toEqual(pixels);
    }
    const smooth = sharp({ create: { width: 20, height: 10, channels: 3, background: { r: 200, g: 100, b: 50 } } });
    for (const file of [await smooth.jpeg({ quality: 95 }).toBuffer(), await smooth.webp().toBuffer()]) {
      const { width, height, data } = await decodeImage(file, 'x');
      expect([width, height, data.length]).toEqual([20, 10, 600]);
      data.forEach((value, i) => {
        expect(Math.abs(value - [200, 100, 50][i % 3])).toBeLessThan(4);
      });
    }
  });

  test('grey becomes three equal channels, whatever its depth', async () => {
    const grey = () => sharp(Uint8Array.of(0, 77, 255, 3), { raw: { width: 2, height: 2, channels: 1 } });
    const expected = [0, 0, 0, 77, 77, 77, 255, 255, 255, 3, 3, 3];
    const files = [
      await grey().toColourspace('b-w').png().toBuffer(),
      await grey().toColourspace('grey16').png().toBuffer(),
      await grey().png({ palette: true }).toBuffer(),
    ];
    for (const file of files) expect([...(await decodeImage(file, 'x')).data]).toEqual(expected);
    const jpeg = await decodeImage(await grey().toColourspace('b-w').jpeg({ quality: 100 }).toBuffer(), 'x');
    expect(jpeg.data.length).toBe(12);
    for (let i = 0; i < 12; i++) expect(Math.abs(jpeg.data[i] - expected[i])).toBeLessThan(6);
  });

  test('alpha is composited over white', async () => {
    const data = Uint8Array.of(10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 51);
    const file = await sharp(data, { raw: { width: 3, height: 1, channels: 4 } })
      .png()
      .toBuffer();
    expect([...(await decodeImage(file, 'x')).data]).toEqual([10, 20, 30, 255, 255, 255, 204, 204, 204]);
  });

  test('EXIF orientation is applied to JPEG files, and to no others, as browsers do', async () => {
    const dark = { r: 0, g: 0, b: 0 };
    const image = sharp({ create: { width: 16, height: 8, channels: 3, background: 'white' } })
      .composite([{ input: { create: { width: 8, height: 8, channels: 3, background: dark } }, left: 0, top: 0 }])
      .withMetadata({ orientation: 6 }); // dark to the left; 6: turned clockwise by a quarter, so to the top
    const jpeg = await decodeImage(await image.clone().jpeg().toBuffer(), 'x');
    expect([jpeg.width, jpeg.height]).toEqual([8, 16]);
    expect([jpeg.data[0] < 9, jpeg.data[3 * 7] < 9, jpeg.data[3 * 8 * 15] > 246]).toEqual([true, true, true]);
    for (const file of [await image.clone().png().toBuffer(), await image.clone().webp().toBuffer()]) {
      expect((await decodeImage(file, 'x')).width).toBe(16);
    }
  });

  test('a damaged file is one line that names it', async () => {
    const encoded: [string, Buffer][] = [
      ['a.png', await noise(40, 40).png().toBuffer()],
      ['a.jpg', await noise(40, 40).jpeg().toBuffer()],
      ['a.webp', await noise(40, 40).webp().toBuffer()],
    ];
    for (const [name, file] of encoded) {
      for (const length of [0, 3, 20, file.length >> 1, file.length - 30]) {
        const damaged = decodeImage(file.subarray(0, length), name);
        await expect(damaged).rejects.toMatchObject({
          name: 'UserError',
          message: expect.stringMatching(`^${name} is`),
        });
      }
    }
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    for (const bytes of [svg, new Uint8Array(1000)]) {
      await expect(decodeImage(bytes, 'a.png')).rejects.toThrow('a.png is no JPEG, PNG or WebP image');
    }
  });

  test('an image that declares too many pixels is refused before it is decoded', async () => {
    const bomb = await small().png().toBuffer();
    bomb.writeUInt32BE(8193, 16);
    bomb.writeUInt32BE(8192, 20);
    expect(8193 * 8192).toBeGreaterThan(maxPixels);
    await expect(decodeImage(bomb, 'bomb.png')).rejects.toThrow('bomb.png is too large: found 8193×8192 pixels');
  });
});

test('readImageHeader reads every kind of WebP, and JPEG after its metadata', async () => {
  const image = () => noise(300, 200);
  const files: [string, Buffer][] = [
    ['WebP', await image().webp().toBuffer()],
    ['WebP', await image().webp({ lossless: true }).toBuffer()],
    ['WebP', await image().withMetadata({ orientation: 3 }).webp().toBuffer()],
    ['WebP', await image().ensureAlpha(0.5).webp().toBuffer()],
    ['JPEG', await image().withMetadata({ orientation: 3 }).jpeg().toBuffer()],
    ['JPEG', await image().jpeg({ progressive: true }).toBuffer()],
    ['PNG', await image().png().toBuffer()],
  ];
  for (const [format, file] of files) expect(readImageHeader(file)).toEqual({ format, width: 300, height: 200 });
});

test('encodePng keeps every pixel', async () => {
  const { data, info } = await noise(31, 17).raw().toBuffer({ resolveWithObject: true });
  const png = await encodePng({ width: info.width, height: info.height, data });
  expect(await decodeImage(png, 'x')).toEqual({ width: 31, height: 17, data: expect.anything() });
  expect(Buffer.from((await decodeImage(png, 'x')).data).equals(data)).toBe(true);
});

test('tile places images row by row, with gaps, and rounds as StyleGAN2 does', () => {
  // Five images of 1 × 2 pixels; image n has the value n / 5 everywhere, but for the extremes in the first.
  const images = Float32Array.from({ length: 5 * 6 }, (_, i) => Math.floor(i / 6) / 5);
  images.set([-1, 1, -2, 2, -0.5 / 127.5, 0.49 / 127.5]);
  const grid = tile(images, [5, 3, 1, 2], { columns: 3, gap: 1 });
  expect([grid.width, grid.height]).toEqual([8, 3]);
  const rgb = (x: number, y: number) => [...grid.data.subarray(3 * (y * 8 + x), 3 * (y * 8 + x) + 3)];
  expect([rgb(0, 0), rgb(1, 0)]).toEqual([
    [0, 0, 127],
    [255, 255, 128],
  ]);
  expect([rgb(2, 0), rgb(3, 0), rgb(6, 0), rgb(0, 2), rgb(3, 2), rgb(6, 2)].map(p => p[0])).toEqual([
    255, 153, 179, 204, 230, 255,
  ]);
  expect(() => tile(images, [5, 1, 1, 6], { columns: 3 })).toThrow('tile:');
});

describe('resize', () => {
  interface Case {
    name: string;
    op: string;
    args: { size: [number, number] };
    inputs: [{ shape: number[]; seed: number }];
    outputs: [{ sum: number; meanAbs: number; first: number[]; last: number }];
    tolerance: number;
  }
  const golden = JSON.parse(fs.readFileSync(new URL('./goldens/resize.json', import.meta.url), 'utf8')) as {
    cases: Case[];
  };
  /** Element i of the golden input with this seed (see the golden files' rule for values). */
  const value = (i: number, seed: number): number =>
    Math.fround((2 * (Math.imul(i + 1 + 7919 * seed, 2654435761) >>> 0)) / 2 ** 32 - 1);

  test.each(golden.cases.map(one => [one.name, one] as const))('%s', (_, { op, args, inputs, outputs, tolerance }) => {
    const [{ shape, seed }] = inputs;
    const [height, width] = shape.slice(-2);
    const [newHeight, newWidth] = args.size;
    const planes = shape.slice(0, -2).reduce((a, b) => a * b, 1);
    const found: number[] = [];
    for (let plane = 0; plane < planes; plane++) {
      const values = Float32Array.from({ length: width * height }, (_, i) => value(plane * width * height + i, seed));
      const data = op === 'resize_pil_bilinear_u8' ? Uint8Array.from(values, v => Math.floor((v + 1) * 128)) : values;
      found.push(...resize({ width, height, channels: 1, data } as Raster<Uint8Array>, newWidth, newHeight).data);
    }
    const [want] = outputs;
    expect(found.length).toBe(planes * newHeight * newWidth);
    // Bytes equal Pillow's exactly; floats within the golden's tolerance.
    const slack = op === 'resize_pil_bilinear_u8' ? 0 : tolerance * want.meanAbs;
    [...want.first, want.last].forEach((expected, i) => {
      expect(Math.abs((i < 4 ? found[i] : found.at(-1)!) - expected)).toBeLessThanOrEqual(slack);
    });
    const sum = found.reduce((a, b) => a + b, 0);
    expect(Math.abs(sum - want.sum)).toBeLessThanOrEqual(slack * found.length);
  });

  test('treats interleaved channels alike', () => {
    const grey = Uint8Array.from({ length: 35 }, (_, i) => (i * 37) % 256);
    const rgb = Uint8Array.from({ length: 105 }, (_, i) => (i % 3 === 1 ? 9 : grey[Math.floor(i / 3)]));
    const one = resize({ width: 7, height: 5, channels: 1, data: grey }, 3, 4);
    const three = resize({ width: 7, height: 5, channels: 3, data: rgb }, 3, 4);
    expect([...three.data]).toEqual([...one.data].flatMap(v => [v, 9, v]));
    expect(resize(three, 3, 4).data).toEqual(three.data);
  });
});
