/**
 * Makes pictures of docs/: faces.png, procedural faces with their label maps below them, and from a run's report
 * reconstructions.png: held-out faces, and below them what each stage makes of them.
 *
 *     npm run figures -- [--run runs/e2style] [--out docs] [--size 32] [--adapter NAME]
 *
 * The generator's samples are made by scripts/gates.ts.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { FACE_PALETTE, renderFaces, sampleFaces } from '../src/data/faces.ts';
import { UserError } from '../src/io/errors.ts';
import { tile } from '../src/io/grid.ts';
import { decodeImage, type Rgb8 } from '../src/io/images.ts';
import { Device } from '../src/runtime/device.ts';
import { concatenate, writePng } from './networks.ts';

const COLUMNS = 12;

const { values } = parseArgs({
  options: {
    run: { type: 'string' },
    out: { type: 'string', default: 'docs' },
    size: { type: 'string', default: '32' },
    adapter: { type: 'string' },
  },
});
const size = Number(values.size);
const device = await Device.open({ adapter: values.adapter });
try {
  await writePng(join(values.out, 'faces.png'), await facesWithMaps());
} finally {
  device.destroy();
}
if (values.run) await writePng(join(values.out, 'reconstructions.png'), await reconstructions(values.run), 4);

/** Two rows of faces, each with the row of its label maps below it. */
async function facesWithMaps(): Promise<Rgb8> {
  const { image, labels } = renderFaces(device, sampleFaces(1, 2 * COLUMNS), size);
  const [faces, classes] = await Promise.all([device.read(image), device.readU32(labels)]);
  const plane = size * size;
  const maps = Float32Array.from(faces, (_, i) => {
    const [n, channel, pixel] = [Math.floor(i / (3 * plane)), Math.floor(i / plane) % 3, i % plane];
    return (FACE_PALETTE[classes[n * plane + pixel]][channel] - 127.5) / 127.5;
  });
  const row = COLUMNS * 3 * plane;
  const rows = [0, 1].flatMap(r => [faces.subarray(r * row, (r + 1) * row), maps.subarray(r * row, (r + 1) * row)]);
  return tile(concatenate(rows), [4 * COLUMNS, 3, size, size], { columns: COLUMNS });
}

/** The pictures of the report's section of reconstructions, a row for the inputs and for each stage. */
async function reconstructions(run: string): Promise<Rgb8> {
  const path = join(run, 'report.html');
  const report = await readFile(path, 'utf8');
  const rows = new Map<string, Promise<Rgb8>[]>();
  for (const [, png, label] of report.matchAll(
    /<img src="data:image\/png;base64,([A-Za-z0-9+/]+=*)" alt="([^"]*), face \d+">/g,
  )) {
    const picture = decodeImage(Buffer.from(png, 'base64'), `${path}: ${label}`);
    rows.set(label, [...(rows.get(label) ?? []), picture]);
  }
  if (rows.size === 0) throw new UserError(`${path} has no reconstructions`);
  const pictures = await Promise.all([...rows.values()].flat());
  return mosaic(pictures, pictures.length / rows.size);
}

/** Pictures of one size in rows, a white pixel between neighbours. */
function mosaic(pictures: readonly Rgb8[], columns: number): Rgb8 {
  const [{ width: w, height: h }] = pictures;
  const width = columns * (w + 1) - 1;
  const height = Math.ceil(pictures.length / columns) * (h + 1) - 1;
  const data = new Uint8Array(3 * width * height).fill(255);
  pictures.forEach((picture, i) => {
    const [left, top] = [(i % columns) * (w + 1), Math.floor(i / columns) * (h + 1)];
    for (let y = 0; y < h; y++) {
      data.set(picture.data.subarray(3 * y * w, 3 * (y + 1) * w), 3 * ((top + y) * width + left));
    }
  });
  return { width, height, data };
}
