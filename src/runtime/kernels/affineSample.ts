import source from '../../../shaders/affine_sample.wgsl';
import { grid } from '../device.ts';
import { overPlanes } from '../parts.ts';
import { shapeText } from '../shape.ts';
import type { Tensor } from '../tensor.ts';

const AFFINE_SAMPLE = { name: 'affine_sample', source };
const WORKGROUP = 64;
/** Pixels that the doubled output has beyond the image, for a filter that halves it again. */
export const SAMPLE_MARGIN = 6;

/** What an affine resampling takes beside the images. */
export interface AffineMap {
  /** [N, 2, 3]: output pixel to input pixel, from the image's centre. */
  readonly maps: Tensor;
  /** u32 [4]: how far the images are reflected at the left, top, right and bottom; less than their size. */
  readonly margins: Tensor;
  /** [12], with sum 1. */
  readonly filter: Tensor;
}

/** y [N, 3, 2 (H + 6), 2 (W + 6)] of x [N, 3, H, W]: reflected, doubled by the filter, sampled bilinearly. */
export function affineSample(x: Tensor, map: AffineMap): Tensor {
  check(x, map);
  const [n, c, height, width] = x.shape;
  const y = x.device.empty([n, c, 2 * (height + SAMPLE_MARGIN), 2 * (width + SAMPLE_MARGIN)]);
  return launch(x, y, map, [height, width], 0);
}

/** The adjoint: g [N, 3, 2 (H + 6), 2 (W + 6)] to [N, 3, H, W]. */
export function affineSampleAdjoint(g: Tensor, map: AffineMap): Tensor {
  check(g, map);
  const [n, c, height, width] = g.shape;
  const size = [height / 2 - SAMPLE_MARGIN, width / 2 - SAMPLE_MARGIN] as const;
  return launch(g, g.device.empty([n, c, ...size]), map, size, 1);
}

function check(images: Tensor, { maps, margins, filter }: AffineMap): void {
  const [n, c] = images.shape;
  if (images.rank !== 4 || c !== 3) throw new Error(`affineSample takes images [N, 3, H, W], not ${images}`);
  if (maps.size !== 6 * n || margins.size !== 4 || filter.size !== 12) {
    const shapes = [maps, margins, filter].map(({ shape }) => shapeText(shape));
    throw new Error(`affineSample: maps, margins and filter of ${images} are ${shapes.join(', ')}`);
  }
}

function launch(
  from: Tensor,
  to: Tensor,
  map: AffineMap,
  [height, width]: readonly [number, number],
  adjoint: 0 | 1,
): Tensor {
  const { device } = from;
  const [n, , rows, columns] = to.shape;
  if (n > 1 && (from.parts || to.parts)) {
    // Some images at a time, as planes of three channels.
    const asPlanes = (tensor: Tensor) => tensor.view([1, ...tensor.shape]);
    overPlanes([from, map.maps].map(asPlanes), asPlanes(to), ([images, maps]) => {
      const [, count, ...rest] = images.shape;
      const block = device.empty([count, ...to.shape.slice(1)]);
      return launch(images.view([count, ...rest]), block, { ...map, maps }, [height, width], adjoint);
    });
    return to;
  }
  const kernel = device.kernel(AFFINE_SAMPLE, { tile: { ADJOINT: adjoint } });
  const size = n * rows * columns;
  const flop = 7 * 7 * 3 * 2 * n * 4 * (height + SAMPLE_MARGIN) * (width + SAMPLE_MARGIN);
  device.dispatch(
    kernel,
    [from, map.maps, map.margins, map.filter, to],
    [size, height, width],
    grid(size, WORKGROUP),
    flop,
  );
  return to;
}
