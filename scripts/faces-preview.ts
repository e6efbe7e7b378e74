/**
 * Writes two PNG grids of procedural faces, images and colour-coded label maps.
 *
 *     npx esbuild scripts/faces-preview.ts --bundle --platform=node --format=esm --packages=external --loader:.wgsl=text \
 *       --outfile=dist/faces-preview.mjs
 *     node dist/faces-preview.mjs [--size 64] [--count 48] [--columns 8] [--zoom 2] [--first 0] [--views 1] [--out faces]
 *
 * With --views V each identity is shown in V photographs in a row.
 */
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { FACE_PALETTE, faceParameters, renderFaces } from '../src/data/faces.ts';
import { Device } from '../src/runtime/device.ts';

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '64' },
    count: { type: 'string', default: '48' },
    columns: { type: 'string', default: '8' },
    zoom: { type: 'string', default: '2' },
    first: { type: 'string', default: '0' },
    views: { type: 'string', default: '1' },
    out: { type: 'string', default: 'faces' },
  },
});
const [size, count, columns, zoom, first, views] = [
  values.size,
  values.count,
  values.columns,
  values.zoom,
  values.first,
  values.views,
].map(Number);

const device = await Device.open();
const faces = Array.from({ length: count }, (_, i) => faceParameters(first + Math.floor(i / views), i % views));
const { image, labels } = renderFaces(device, faces, size);
const start = performance.now();
const [pixels, classes] = await Promise.all([device.read(image), device.readU32(labels)]);
console.log(
  `${device.adapter.name}: ${count} faces of ${size}×${size} in ${((performance.now() - start) / 1000).toFixed(2)} s, compilation included`,
);

/** Lays N images out in a grid and writes it; `colour` gives a byte of a channel. */
async function writeGrid(path: string, colour: (n: number, pixel: number, channel: number) => number) {
  const width = columns * size;
  const height = Math.ceil(count / columns) * size;
  const grid = Buffer.alloc(width * height * 3);
  for (let n = 0; n < count; n++) {
    const corner = Math.floor(n / columns) * size * width + (n % columns) * size;
    for (let pixel = 0; pixel < size * size; pixel++) {
      const at = corner + Math.floor(pixel / size) * width + (pixel % size);
      for (let c = 0; c < 3; c++) grid[at * 3 + c] = colour(n, pixel, c);
    }
  }
  await sharp(grid, { raw: { width, height, channels: 3 } })
    .resize(width * zoom, height * zoom, { kernel: 'nearest' })
    .png()
    .toFile(path);
  console.log(path);
}

const plane = size * size;
await writeGrid(`${values.out}.png`, (n, pixel, c) => Math.round((pixels[(n * 3 + c) * plane + pixel] + 1) * 127.5));
await writeGrid(`${values.out}-labels.png`, (n, pixel, c) => FACE_PALETTE[classes[n * plane + pixel]][c]);
device.destroy();
process.exit(0);
