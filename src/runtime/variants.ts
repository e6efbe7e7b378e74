import type { Device, Shader } from './device.ts';
import type { Reference } from './reference.ts';
import type { Shape } from './shape.ts';
import type { Tile } from './template.ts';
import type { Tensor } from './tensor.ts';

/** One way to compute an op: which of its kernels, and with which numbers. */
export interface Variant {
  readonly kernel: string;
  readonly tile: Tile;
}

/** An op with several ways to compute it. */
export interface Family<Problem> {
  readonly name: string;
  /** The shaders of its variants: when one changes, what was measured of them holds no more. */
  readonly shaders: readonly Shader[];
  /** Which problems take the same variant: their sizes, rounded, and what else decides. */
  shapeClass(problem: Problem): string;
  /** The variants that can compute it on this device, the one that is taken without measuring first. */
  variants(problem: Problem, device: Device): readonly Variant[];
  /** What the problem is of: shapes of the operands. */
  operands(problem: Problem): readonly Shape[];
  /** Of the operands. */
  dtype(problem: Problem): 'f32' | 'f16';
  /** Computes it in one of the ways. */
  run(operands: readonly Tensor[], problem: Problem, variant: Variant): Tensor;
  /** The same in f64, by the formula, for operands of these values. */
  reference(problem: Problem, operands: readonly Float32Array[]): Reference;
  /** Arithmetic operations. */
  flop(problem: Problem): number;
}

/** A problem that was met, for a tuner to measure. */
export interface Met<Problem = unknown> {
  readonly family: Family<Problem>;
  readonly problem: Problem;
  readonly variant: Variant;
  /** How often it was asked for. */
  count: number;
}

/** Which variant each class of problems is computed with on a device. The first choice for a class stands. */
export class Choices {
  /** What was asked for so far, by class. */
  readonly met = new Map<string, Met>();
  /** Told of each class whose variant, as it was set, is not offered: the default takes its place. */
  notOffered: ((key: string, wanted: Variant) => void) | undefined;
  private readonly chosen = new Map<string, Variant>();
  private preferred: string | undefined;

  constructor(private readonly device: Device) {}

  /** The variant for a problem: the one that was set for its class, else the default. */
  of<Problem>(family: Family<Problem>, problem: Problem): Variant {
    const key = `${family.name} ${family.shapeClass(problem)}`;
    const before = this.met.get(key);
    if (before) {
      before.count++;
      return before.variant;
    }
    const variants = family.variants(problem, this.device);
    const wanted = this.chosen.get(key);
    const offered = wanted && variants.find(one => sameVariant(one, wanted));
    if (wanted && !offered) this.notOffered?.(key, wanted);
    const variant = offered ?? variants.find(({ kernel }) => kernel === this.preferred) ?? variants[0];
    this.met.set(key, { family: family as Family<unknown>, problem, variant, count: 1 });
    return variant;
  }

  /** Sets the variant for a class. It is taken if the problem's family still offers it. */
  set(key: string, variant: Variant): void {
    this.chosen.set(key, variant);
    this.met.delete(key);
  }

  /** The variant of each class that was asked for, as texts: what a run notes to take the same again. */
  used(): Record<string, string> {
    return Object.fromEntries([...this.met].map(([key, { variant }]) => [key, variantText(variant)]));
  }

  /** Prefers a kernel wherever it fits, so that tests run all ops through it. */
  prefer(kernel: string | undefined): void {
    this.preferred = kernel;
    this.met.clear();
  }
}

export function sameVariant(a: Variant, b: Variant): boolean {
  return variantText(a) === variantText(b);
}

/** As `gemm TILE_M=64,TILE_N=64`: kernel and numbers on one line. */
export function variantText({ kernel, tile }: Variant): string {
  const numbers = Object.keys(tile)
    .sort()
    .map(key => `${key}=${tile[key]}`);
  return [kernel, ...(numbers.length > 0 ? [numbers.join()] : [])].join(' ');
}

/** The variant that variantText wrote, or undefined where the text is not one. */
export function parseVariant(text: string): Variant | undefined {
  const [, kernel, numbers = ''] = /^(\w+)(?: (\w+=\d+(?:,\w+=\d+)*))?$/.exec(text) ?? [];
  if (!kernel) return undefined;
  const pairs = numbers.split(',').filter(pair => pair !== '');
  return { kernel, tile: Object.fromEntries(pairs.map(pair => [pair.split('=')[0], Number(pair.split('=')[1])])) };
}

/** The next power of two: sizes in a shape class are rounded to it. */
export function rounded(size: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, size)));
}

/**
 * Lanes of a subgroup that load together what all of them need, or 0 where kernels do without: SwiftShader, whose
 * subgroups have 4, takes minutes to compile such a kernel.
 */
export function loadingLanes({ subgroupSize }: Device): number {
  return subgroupSize >= 8 ? subgroupSize : 0;
}

/**
 * Split-K: how many workgroups share the sums of `length` products, so that a device has enough of them where the grid
 * alone is small. A power of two; each keeps at least 256 products, and 2048 on a CPU driver, where a second kernel
 * costs more than a few idle cores.
 */
export function splitsFor(length: number, workgroups: number, { isCpu }: Device): number {
  const [enough, least] = isCpu ? [64, 2048] : [256, 256];
  const wanted = Math.min(length / least, enough / workgroups);
  return 2 ** Math.max(0, Math.floor(Math.log2(wanted)));
}
