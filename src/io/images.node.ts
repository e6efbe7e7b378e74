/** Image files by sharp (libvips), for Node. The twin for pages is images.web.ts. */
import sharp from 'sharp';
import type { Rgb8 } from './rgb8.ts';

// Every image is decoded once, so a cache of results would only hold memory.
sharp.cache(false);
// Images are decoded several at a time, one thread each.
sharp.concurrency(1);

/** Decodes as images.ts says; rejects for a damaged file. The work is done on sharp's threads, off the main thread. */
export async function decode(bytes: Uint8Array, format: 'JPEG' | 'PNG' | 'WebP'): Promise<Rgb8> {
  const image = sharp(bytes, { failOn: 'error', limitInputPixels: false, ignoreIcc: true });
  // Chromium turns JPEG files by their EXIF data, and no others.
  if (format === 'JPEG') image.autoOrient();
  const { data, info } = await image
    .flatten({ background: 'white' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  return { width, height, data: channels === 1 ? tripled(data) : data };
}

/** Encodes as PNG, lossless. */
export async function encodePng({ width, height, data }: Rgb8): Promise<Uint8Array> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

function tripled(grey: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(3 * grey.length);
  for (let i = 0; i < rgb.length; i++) rgb[i] = grey[Math.floor(i / 3)];
  return rgb;
}
