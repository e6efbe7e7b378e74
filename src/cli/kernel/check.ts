/** Builds a kernel in its variants, checks them and times them. */
import { UserError } from '../../io/errors.ts';
import type { Device } from '../../runtime/device.ts';
import { cast } from '../../runtime/kernels/cast.ts';
import type { Program } from '../../runtime/program.ts';
import { race } from '../../runtime/race.ts';
import { firstWrong, type Reference, spread, unravel, type Wrong } from '../../runtime/reference.ts';
import { type Shape, sizeOf } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type Variant, variantText } from '../../runtime/variants.ts';
import type { Entry, Work } from './entry.ts';
import { parseShape } from './spec.ts';

/** Operations that a full comparison with the formula may take; of larger work elements far apart are compared. */
const MOST_COMPARED = 3e8;

/** How a variant came out. */
export interface Row {
  readonly variant: string;
  readonly ms?: number;
  /** What is wrong with the first wrong element, or that it does not compile. */
  readonly failure?: string;
}

export interface Outcome {
  readonly kernel: string;
  readonly shape: string;
  readonly flop: number;
  readonly bytes: number;
  readonly rows: readonly Row[];
  /** The variant that is taken without measuring, where there are several. */
  readonly default?: string;
  /** Elements compared with the formula; 0 where there is none. */
  readonly compared: number;
}

/** A kernel's work on a device. */
export class Bench {
  readonly work: Work;
  private readonly tensors: readonly Tensor[];
  private readonly programs = new Map<string, Program<Tensor>>();

  constructor(
    private readonly device: Device,
    private readonly entry: Entry,
    private readonly shape: string,
  ) {
    const shapes = entry.shape.split(',').filter(part => /^\d/.test(part)).length;
    this.work = entry.problem(parseShape(shape, shapes, Object.keys(entry.letters ?? {})));
    for (const { dtype } of this.work.operands) {
      if (dtype === 'f16' && !device.features.has('shader-f16')) {
        throw new UserError(`--shape ${shape}: ${device.adapter.name} has no shader-f16`);
      }
    }
    this.work.prepare?.(device);
    this.tensors = device.scope('operands', () =>
      this.work.operands.map(({ shape, dtype, values }) => {
        const tensor = device.tensor(values, shape, dtype === 'u32' ? 'u32' : 'f32');
        return device.keep(dtype === 'f16' ? cast(tensor, 'f16') : tensor);
      }),
    );
  }

  /** Those whose text contains `wanted`. @throws UserError where there is none */
  variants(wanted = ''): readonly Variant[] {
    const all = this.work.variants(this.device);
    const found = all.filter(variant => variantText(variant).includes(wanted));
    if (found.length > 0) return found;
    if (all.length === 0) throw new UserError(`${this.entry.name}: no variant fits ${this.shape} on this device`);
    const names = all.map(variantText).join('; ');
    throw new UserError(`${this.entry.name}: no variant contains '${wanted}'; there are ${names}`);
  }

  program(variant: Variant): Program<Tensor> {
    const text = variantText(variant);
    let program = this.programs.get(text);
    if (!program) {
      program = this.device.record(text, () => this.work.run(this.tensors, variant));
      this.programs.set(text, program);
    }
    return program;
  }

  /** The WGSL of the kernels of a variant, by name. */
  sources(variant: Variant): Map<string, string> {
    return new Map([...this.program(variant).kernels()].map(({ name, code }) => [name, code]));
  }

  async result(variant: Variant): Promise<{ values: Float32Array; shape: Shape }> {
    const program = this.program(variant);
    await Promise.all([...program.kernels()].map(kernel => kernel.compile()));
    const y = program.run();
    const values = y.dtype === 'u32' ? Float32Array.from(await this.device.readU32(y)) : undefined;
    return { values: values ?? (await this.device.scope('result', () => cast(y, 'f32').read())), shape: y.shape };
  }

  /** Checks variants, and times those that are right. */
  async measure(variants: readonly Variant[]): Promise<Outcome> {
    const { device, work } = this;
    const reference = work.reference?.(work.operands.map(({ values }) => values));
    for (const variant of variants) this.program(variant);
    const failures = new Map<string, string>();
    let compared = 0;
    const tensors = [...this.tensors, this.program(variants[0]).result];
    const bytes = work.bytes ?? tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
    for (const variant of variants) {
      try {
        const { values, shape } = await this.result(variant);
        const indices = reference && elementsToCompare(reference, work.flop);
        compared = indices?.length ?? 0;
        const wrong = reference ? firstWrong(reference, values, work.roundoff, indices) : firstNotFinite(values, shape);
        if (wrong) failures.set(variantText(variant), wrongText(wrong));
      } catch (error) {
        failures.set(variantText(variant), (error as Error).message);
      }
    }
    const right = variants.filter(variant => !failures.has(variantText(variant)));
    const runners = right.map(variant => () => void this.program(variant).run());
    const times = await race(device, runners, { turn: 50, hopeless: 4 });
    const rows = variants.map(variant => {
      const text = variantText(variant);
      return { variant: text, ms: times[right.indexOf(variant)], failure: failures.get(text) };
    });
    const { entry, shape } = this;
    const [first, second] = this.variants();
    const standard = second && variantText(first);
    return { kernel: entry.name, shape, flop: work.flop, bytes, rows, default: standard, compared };
  }
}

/** All, or so many, far apart, that the formula takes no long time. */
function elementsToCompare({ shape }: Reference, flop: number): number[] {
  const size = sizeOf(shape);
  return spread(size, Math.max(64, Math.floor((size * MOST_COMPARED) / Math.max(flop, 1))));
}

function firstNotFinite(values: Float32Array, shape: Shape): Wrong | undefined {
  const at = values.findIndex(value => !Number.isFinite(value));
  return at < 0 ? undefined : { index: unravel(at, shape), expected: Number.NaN, got: values[at] };
}

function wrongText({ index, expected, got }: Wrong): string {
  const wanted = Number.isNaN(expected) ? 'a finite number' : `${expected}`;
  return `wrong: element [${index.join(', ')}] is ${got}, and should be ${wanted}`;
}
