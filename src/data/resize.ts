/**
 * Resizing with the triangle filter, widened by the reduction factor where an image shrinks: what Pillow and
 * torchvision call bilinear, and PyTorch bilinear with antialias. Our own, so that Node and a page give the same
 * pixels.
 */

/** Rows from the top, channels interleaved: height · width · channels values. */
export interface Raster<T extends Uint8Array | Float32Array> {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: T;
}

/** The source values that one target value is made of: `weights` from `start` on. */
interface Tap {
  readonly start: number;
  readonly weights: Float64Array;
}

/**
 * Resizes, columns first, then rows. Bytes are rounded after each of the two passes, with weights of 22 bits, as
 * Pillow's Image.resize(BILINEAR) does (libImaging/Resample.c): equal to it bit for bit.
 */
export function resize<T extends Uint8Array | Float32Array>(
  image: Raster<T>,
  width: number,
  height: number,
): Raster<T> {
  const { channels } = image;
  const wide = filter(image.data, [image.height, image.width, channels], width);
  return { width, height, channels, data: filter(wide, [1, image.height, width * channels], height) };
}

/** Resizes the middle axis: [outer, from, inner] to [outer, to, inner]. */
function filter<T extends Uint8Array | Float32Array>(source: T, shape: [number, number, number], to: number): T {
  const [outer, from, inner] = shape;
  const inBytes = source instanceof Uint8Array;
  const taps = triangleTaps(from, to, inBytes);
  const target = (inBytes ? new Uint8Array(outer * to * inner) : new Float32Array(outer * to * inner)) as T;
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < to; i++) {
      const { start, weights } = taps[i];
      for (let c = 0; c < inner; c++) {
        const first = (o * from + start) * inner + c;
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * source[first + k * inner];
        // The weights sum to one, so that a byte stays one; assigning to it truncates.
        target[(o * to + i) * inner + c] = inBytes ? sum / weightScale + 0.5 : sum;
      }
    }
  }
  return target;
}

/** Pillow's fixed-point weights for bytes. */
const weightScale = 2 ** 22;

function triangleTaps(from: number, to: number, fixedPoint: boolean): Tap[] {
  const scale = from / to;
  const support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.floor(center - support + 0.5));
    const end = Math.min(from, Math.floor(center + support + 0.5));
    const weights = Float64Array.from({ length: end - start }, (_, k) =>
      Math.max(0, 1 - Math.abs((start + k - center + 0.5) / support)),
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    return { start, weights: weights.map(w => (fixedPoint ? Math.floor(0.5 + (w / sum) * weightScale) : w / sum)) };
  });
}
