import { decodeImage, type Rgb8 } from '../io/images.ts';
import { resize } from './resize.ts';

/**
 * An image file as a training takes it, size × size × RGB: decoded, cropped to its central square (of the shorter side),
 * and resized as Pillow's bilinear does.
 * @param name the file's name, for messages
 * @throws UserError where it is damaged or no image
 */
export async function decodeSquare(bytes: Uint8Array, name: string, size: number): Promise<Uint8Array> {
  const square = centralSquare(await decodeImage(bytes, name));
  return resize({ ...square, channels: 3 }, size, size).data;
}

/** The square of the shorter side in the middle; where that is between two pixels, the one to the left or top. */
function centralSquare({ width, height, data }: Rgb8): Rgb8 {
  const side = Math.min(width, height);
  if (width === height) return { width, height, data };
  const left = Math.floor((width - side) / 2);
  const top = Math.floor((height - side) / 2);
  const square = new Uint8Array(3 * side * side);
  for (let y = 0; y < side; y++) {
    const start = 3 * ((top + y) * width + left);
    square.set(data.subarray(start, start + 3 * side), 3 * y * side);
  }
  return { width: side, height: side, data: square };
}
