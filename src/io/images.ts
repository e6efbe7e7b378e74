/** Image files in and out: JPEG, PNG and WebP in, PNG out. */
import { decode } from '#images';
import { UserError } from './errors.ts';
import { readImageHeader } from './imageHeader.ts';
import type { Rgb8 } from './rgb8.ts';

export { encodePng } from '#images';
export type { Rgb8 } from './rgb8.ts';

/**
 * A larger image is refused before it is decoded (8192 × 8192; 192 MiB as RGB): a small file can declare a huge one.
 */
export const maxPixels = 2 ** 26;

/**
 * Decodes a JPEG, PNG or WebP file to RGB. A JPEG is turned upright as its EXIF data says, PNG and WebP are taken as
 * stored. Grey becomes three equal channels, alpha is composited over white, 16 bits a channel become 8, colour
 * profiles are ignored; of an animation the first frame is taken.
 * @param name the file's name, for messages
 * @throws UserError where the file is damaged, of another format or beyond maxPixels
 */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<Rgb8> {
  const header = readImageHeader(bytes);
  if (!header) throw new UserError(`${name} is no JPEG, PNG or WebP image, or a damaged one`);
  const { format, width, height } = header;
  if (width * height > maxPixels) {
    throw new UserError(`${name} is too large: found ${width}×${height} pixels, at most ${maxPixels} wanted`);
  }
  try {
    return await decode(bytes, format);
  } catch (error) {
    const reason = (error as Error).message.replace(/\s+/g, ' ').trim();
    throw new UserError(`${name} is a damaged ${format} image: ${reason}`);
  }
}
