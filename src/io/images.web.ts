/** Image files by the browser's own decoders, for pages and their Workers. The twin for Node is images.node.ts. */
import type { Rgb8 } from './rgb8.ts';

/** Decodes as images.ts says; rejects for a damaged file. */
export async function decode(bytes: Uint8Array): Promise<Rgb8> {
  const blob = new Blob([bytes as Uint8Array<ArrayBuffer>]);
  const bitmap = await createImageBitmap(blob, { imageOrientation: 'from-image', colorSpaceConversion: 'none' });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
  context.fillStyle = 'white';
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(3 * width * height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) data[3 * pixel + channel] = rgba[4 * pixel + channel];
  }
  return { width, height, data };
}

/** Encodes as PNG, lossless. */
export async function encodePng({ width, height, data }: Rgb8): Promise<Uint8Array> {
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) image.data[4 * pixel + channel] = data[3 * pixel + channel];
    image.data[4 * pixel + 3] = 255;
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext('2d')!.putImageData(image, 0, 0);
  return new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
}
