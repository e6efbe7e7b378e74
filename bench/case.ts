import { type Shape, sizeOf } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';

/** A line of the kernels' bench. */
export interface Case {
  readonly name: string;
  readonly flop: number;
  /** Shapes of operands, which are filled with normal random numbers. */
  readonly operands: readonly Shape[];
  /** Further operands that are computed from these, once and before the time is taken. */
  readonly prepare?: (operands: readonly Tensor[]) => readonly Tensor[];
  /** What is timed: all operands in, the outputs out. */
  readonly run: (operands: readonly Tensor[]) => Tensor | readonly Tensor[];
  /** Bytes read and written, where these are not those of operands and outputs. */
  readonly bytes?: number;
}

/** A feature map of the small networks, and how many elements it has. */
export const MAP: Shape = [8, 64, 64, 64];
export const MAP_SIZE = sizeOf(MAP);
