import type { Rgb8 } from '../io/images.ts';

/** Draws a grid of samples pixel by pixel; CSS enlarges it without smoothing. */
export function drawGrid(canvas: HTMLCanvasElement, { width, height, data }: Rgb8): void {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) image.data[4 * pixel + channel] = data[3 * pixel + channel];
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext('2d')!.putImageData(image, 0, 0);
}
