/** Many images as one: the sample grid. */
import type { Rgb8 } from './rgb8.ts';

/**
 * Tiles images into rows of `columns`, from the top left, on white. A value x becomes the byte
 * ⌊clamp(127.5 x + 128, 0, 255)⌋, as NVlabs' StyleGAN2 writes its images.
 * @param images [N, 3, H, W] in [-1, 1]
 * @param options.gap pixels between neighbours
 */
export function tile(
  images: Float32Array,
  shape: readonly number[],
  { columns, gap = 0 }: { columns: number; gap?: number },
): Rgb8 {
  const [count, channels, height, width] = shape;
  if (shape.length !== 4 || channels !== 3 || images.length !== count * 3 * height * width) {
    throw new Error(`tile: ${images.length} values of shape [${shape}], wanted [N, 3, H, W]`);
  }
  if (count === 0 || columns < 1) throw new Error(`tile: ${count} images in ${columns} columns`);
  const rows = Math.ceil(count / columns);
  const gridWidth = Math.min(columns, count) * (width + gap) - gap;
  const gridHeight = rows * (height + gap) - gap;
  const data = new Uint8Array(3 * gridWidth * gridHeight).fill(255);
  let source = 0;
  for (let image = 0; image < count; image++) {
    const top = Math.floor(image / columns) * (height + gap);
    const left = (image % columns) * (width + gap);
    for (let channel = 0; channel < 3; channel++) {
      for (let y = 0; y < height; y++) {
        let target = 3 * ((top + y) * gridWidth + left) + channel;
        for (let x = 0; x < width; x++, target += 3) {
          data[target] = Math.min(Math.max(images[source++] * 127.5 + 128, 0), 255);
        }
      }
    }
  }
  return { width: gridWidth, height: gridHeight, data };
}

/** Images of one size in rows of `columns`, from the top left, on white; where there is none the cell stays white. */
export function montage(cells: readonly (Rgb8 | undefined)[], { columns }: { columns: number }): Rgb8 {
  const first = cells.find(cell => cell !== undefined);
  if (!first) throw new Error('montage: there is no image');
  const [width, height] = [columns * first.width, Math.ceil(cells.length / columns) * first.height];
  const data = new Uint8Array(3 * width * height).fill(255);
  cells.forEach((cell, i) => {
    if (!cell) return;
    const [left, top] = [(i % columns) * first.width, Math.floor(i / columns) * first.height];
    for (let y = 0; y < first.height; y++) {
      const row = cell.data.subarray(3 * y * first.width, 3 * (y + 1) * first.width);
      data.set(row, 3 * ((top + y) * width + left));
    }
  });
  return { width, height, data };
}
