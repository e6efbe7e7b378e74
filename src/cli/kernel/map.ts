import { type Shape, sizeOf } from '../../runtime/shape.ts';
import { demand, type Spec } from './spec.ts';

/** The shape of a map of the small networks. */
export const MAP = '8x64x64x64';

export function sum(count: number, term: (i: number) => number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += term(i);
  return total;
}

export interface MapSizes {
  readonly shape: Shape;
  readonly n: number;
  readonly c: number;
  readonly height: number;
  readonly width: number;
  readonly pixels: number;
  readonly size: number;
}

/** The map [N, C, H, W] of a spec, and its sizes. */
export function mapOf({ shapes: [shape] }: Spec): MapSizes {
  demand(shape.length === 4, 'a map has four sizes');
  const [n, c, height, width] = shape;
  return { shape, n, c, height, width, pixels: height * width, size: sizeOf(shape) };
}
