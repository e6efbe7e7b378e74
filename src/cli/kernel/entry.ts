import type { Device } from '../../runtime/device.ts';
import { exactNumbers, type Reference } from '../../runtime/reference.ts';
import { type Shape, sizeOf } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { roundoffOf } from '../../runtime/tuner.ts';
import type { Family, Variant } from '../../runtime/variants.ts';
import type { Spec } from './spec.ts';

/** A kernel that `wgrad kernel` knows. */
export interface Entry {
  readonly name: string;
  /** What it computes, in a line. */
  readonly about: string;
  /** Files of shaders/ without their ending, of which at least some are used. */
  readonly shaders: readonly string[];
  /** The default of --shape. */
  readonly shape: string;
  /** Letters that --shape takes, and what they stand for. */
  readonly letters?: Readonly<Record<string, string>>;
  problem(spec: Spec): Work;
}

/** What is built, checked and timed. */
export interface Work {
  readonly operands: readonly Operand[];
  /** Arithmetic operations; 0 for what only moves numbers. */
  readonly flop: number;
  /** Bytes read and written, where these are not those of operands and result. */
  readonly bytes?: number;
  /** In the order in which they are preferred. */
  variants(device: Device): readonly Variant[];
  run(operands: readonly Tensor[], variant: Variant): Tensor;
  /** Makes what it needs besides operands, once. */
  prepare?(device: Device): void;
  /** The formula; absent where results are random or have no simple one. */
  reference?(operands: readonly Float32Array[]): Reference;
  /** How far results may be from the formula, relative where they are over 1. */
  readonly roundoff: number;
}

export interface Operand {
  readonly shape: Shape;
  readonly dtype: 'f32' | 'f16' | 'u32';
  readonly values: Float32Array;
}

/** Operands of multiples of 1/8 from -1 to 1. */
export function numbers(shapes: readonly Shape[], dtype: Operand['dtype'] = 'f32'): Operand[] {
  return shapes.map((shape, i) => ({ shape, dtype, values: exactNumbers(sizeOf(shape), i + 1) }));
}

/** From 1/4 to 9/4, for what must not be negative. */
export function positive(shape: Shape): Operand {
  return { shape, dtype: 'f32', values: exactNumbers(sizeOf(shape), 7).map(value => value + 1.25) };
}

/** The entry of a family of variants. */
export function familyEntry<Problem>(
  family: Family<Problem>,
  entry: Omit<Entry, 'name' | 'problem'> & { problem(spec: Spec): Problem },
): Entry {
  return {
    ...entry,
    name: family.name,
    problem(spec) {
      const problem = entry.problem(spec);
      return {
        operands: numbers(family.operands(problem), family.dtype(problem)),
        flop: family.flop(problem),
        variants: device => family.variants(problem, device),
        run: (operands, variant) => family.run(operands, problem, variant),
        reference: operands => family.reference(problem, operands),
        roundoff: roundoffOf(family, problem),
      };
    },
  };
}

/** The work of a kernel of one variant. */
export function plain(
  name: string,
  work: Omit<Work, 'variants' | 'roundoff' | 'run'> & {
    run(operands: readonly Tensor[]): Tensor;
    readonly roundoff?: number;
  },
): Work {
  return { roundoff: 2 ** -18, ...work, variants: () => [{ kernel: name, tile: {} }] };
}
