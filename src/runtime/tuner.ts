/** Measures the variants of a problem on the adapter at hand. */
import type { Device } from './device.ts';
import { cast } from './kernels/cast.ts';
import type { Program } from './program.ts';
import { type RaceOptions, race } from './race.ts';
import { exactNumbers, firstWrong, type Reference, spread } from './reference.ts';
import { sizeOf } from './shape.ts';
import type { Tensor } from './tensor.ts';
import { type Family, sameVariant, type Variant } from './variants.ts';

/** How a variant came out. */
export interface Measured {
  readonly variant: Variant;
  /** Milliseconds of one run; undefined where it failed. */
  readonly ms?: number;
  /** Why it cannot be taken: it does not compile, or computes something else. */
  readonly failure?: string;
}

export interface TuneOptions extends RaceOptions {
  /** The variant that is taken now: another one must be faster by MARGIN. By default the family's first. */
  readonly current?: Variant;
}

/** What a variant must gain to take the place of another: less is within what timings differ by. */
const MARGIN = 0.03;
/** Elements that are compared with the formula; all are compared between variants. */
const SAMPLES = 64;
/** Where each variant takes long to compile, as on SwiftShader, no more than these are tried, in the family's order. */
const MOST_WHERE_SLOW = 6;

/**
 * Measures every variant of a problem that fits the device, and drops those whose result is not the formula's. The
 * operands are numbers whose products add up without rounding.
 * @returns the times in the family's order, and the fastest variant; undefined if none is right
 */
export async function tuneProblem<Problem>(
  device: Device,
  family: Family<Problem>,
  problem: Problem,
  { current, ...options }: TuneOptions = {},
): Promise<{ measured: Measured[]; best: Variant | undefined }> {
  const limit = /swiftshader/i.test(device.adapter.name) ? MOST_WHERE_SLOW : Number.POSITIVE_INFINITY;
  const all = family.variants(problem, device);
  const variants = all.filter((variant, i) => i < limit || (current && sameVariant(variant, current)));
  const values = family.operands(problem).map((shape, i) => exactNumbers(sizeOf(shape), i + 1));
  const operands = operandsOf(device, family, problem, values);
  const judge = new Judge(family.reference(problem, values), roundoffOf(family, problem));
  const programs: Program<Tensor>[] = [];
  const measured: Measured[] = [];
  try {
    // All are compiled side by side, and run one after the other.
    const started = variants.map(variant => ({
      variant,
      ...start(device, () => family.run(operands, problem, variant)),
    }));
    for (const { variant, program, compiled } of started) {
      try {
        await compiled;
        const failure = judge.failureOf(await device.scope('result', () => cast(program.run(), 'f32').read()));
        if (failure === undefined) programs.push(program);
        else program.release();
        measured.push({ variant, failure });
      } catch (error) {
        program.release();
        measured.push({ variant, failure: (error as Error).message.split('\n')[0] });
      }
    }
    const right = measured.filter(({ failure }) => failure === undefined);
    const times = await race(
      device,
      programs.map(program => () => void program.run()),
      options,
    );
    const timed = measured.map(one => (one.failure ? one : { ...one, ms: times[right.indexOf(one)] }));
    return { measured: timed, best: fastest(timed, current) };
  } finally {
    for (const program of programs) program.release();
    for (const operand of operands) device.discard(operand);
  }
}

function start(device: Device, run: () => Tensor): { program: Program<Tensor>; compiled: Promise<unknown> } {
  const program = device.record('variant', run);
  const compiled = Promise.all([...program.kernels()].map(kernel => kernel.compile()));
  compiled.catch(() => {}); // told when its turn comes
  return { program, compiled };
}

/** Kept tensors of a problem's operands with these values. */
export function operandsOf<Problem>(
  device: Device,
  family: Family<Problem>,
  problem: Problem,
  values: readonly Float32Array[],
): Tensor[] {
  return device.scope('operands', () =>
    family
      .operands(problem)
      .map((shape, i) => device.keep(cast(device.tensor(values[i], shape), family.dtype(problem)))),
  );
}

/** How far a right result of exact operands may be from the formula: only f16 rounds it, up or down. */
export function roundoffOf<Problem>(family: Family<Problem>, problem: Problem): number {
  return family.dtype(problem) === 'f16' ? 2 ** -10 : 0;
}

/** Compares results with some elements of the formula, and all elements with those of the first that was right. */
class Judge {
  private right: Float32Array | undefined;

  constructor(
    private readonly reference: Reference,
    private readonly roundoff: number,
  ) {}

  failureOf(result: Float32Array): string | undefined {
    const { right, roundoff, reference } = this;
    const wrong =
      firstWrong(reference, result, roundoff, spread(sizeOf(reference.shape), SAMPLES)) ??
      (right && firstWrong({ shape: reference.shape, at: i => right[i] }, result, roundoff));
    if (wrong) return `element [${wrong.index.join(', ')}] is ${wrong.got}, and not ${wrong.expected}`;
    this.right ??= result;
    return undefined;
  }
}

function fastest(measured: readonly Measured[], current: Variant | undefined): Variant | undefined {
  const timed = measured.filter(({ ms }) => ms !== undefined) as Required<Pick<Measured, 'variant' | 'ms'>>[];
  if (timed.length === 0) return undefined;
  const best = timed.reduce((a, b) => (b.ms < a.ms ? b : a));
  const before = current ? timed.find(({ variant }) => sameVariant(variant, current)) : timed[0];
  return before && best.ms > before.ms * (1 - MARGIN) ? before.variant : best.variant;
}
