import sharp from 'sharp';
import { type AnimationOptions, encodeApng } from '../../io/apng.ts';
import type { Rgb8 } from '../../io/rgb8.ts';

/** Of lossy WebP, to 100. */
const QUALITY = 85;

/** An animation as the ending of its file says: WebP, lossy and small, or PNG, lossless. */
export async function encodeAnimation(
  frames: readonly Rgb8[],
  file: string,
  { fps, loops }: AnimationOptions,
): Promise<Uint8Array | Uint8Array[]> {
  if (!/\.webp$/i.test(file)) return encodeApng(frames, { fps, loops });
  const [{ width, height, data }] = frames;
  const stacked = new Uint8Array(frames.length * data.length);
  frames.forEach((frame, i) => {
    stacked.set(frame.data, i * data.length);
  });
  // Whole milliseconds, whose sum stays right.
  const at = (frame: number) => Math.round((1000 * frame) / fps);
  return sharp(stacked, {
    raw: { width, height: height * frames.length, channels: 3, pageHeight: height },
    limitInputPixels: false,
  })
    .webp({ quality: QUALITY, effort: 6, loop: loops, delay: frames.map((_, i) => at(i + 1) - at(i)) })
    .toBuffer();
}
