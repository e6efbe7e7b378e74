import source from '../../../shaders/optimizer_step.wgsl';
import { UserError } from '../../io/errors.ts';
import { type Module, type Parameter, type PlacedParameter, placementOf } from '../../models/module.ts';
import { type Device, floatBits, grid } from '../../runtime/device.ts';
import { fill, full } from '../../runtime/kernels/copy.ts';
import { ALIGNMENT } from '../../runtime/memory.ts';
import { type Shape, sameShape, shapeText } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';

const STEP = { name: 'optimizer_step', source };
const WORKGROUP = 64;
/** Elements of the smallest range that belongs to one parameter alone. */
const BLOCK = ALIGNMENT / 4;

/** One flat buffer of parameters, and all that lies at the same offsets beside it. */
export interface Chunk {
  readonly parameters: Tensor;
  readonly gradient: Tensor;
  /** Moments and slow copies by name. */
  readonly state: ReadonlyMap<string, Tensor>;
  /** u32 [size / 64]: the index of the parameter that each 64 elements belong to. */
  readonly owners: Tensor;
  readonly entries: readonly Entry[];
}

/** A parameter in a chunk, or one part of a parameter over the binding limit: the elements from `start` on. */
type Entry = PlacedParameter & { readonly start: number };

/** An optimiser's state as a file holds it: per parameter and moment, and the step counts. */
export type OptimizerState = ReadonlyMap<string, { readonly shape: Shape; readonly data: Float32Array | Uint32Array }>;

/** The exponential averages whose bias a rule corrects. */
export interface Betas {
  readonly beta1: number;
  readonly beta2: number;
}

/**
 * Updates a module's parameters, all on the device and in a few dispatches for each flat chunk of them. A step is
 *
 *     optimizer.collect(grad(loss, optimizer.variables, { unused: 'none' }));
 *     checkFinite([loss, ...optimizer.gradients], gate);
 *     optimizer.step(rate, gate);
 *
 * A parameter without a gradient in a step is left alone, its moments and its step count too. A step whose gate is not
 * 0 changes nothing.
 */
export abstract class Optimizer {
  readonly device: Device;
  /** The parameters in the order of the module's own list, by their keys. */
  private readonly parameters: readonly [key: string, parameter: Parameter][];
  protected readonly chunks: readonly Chunk[];
  /** Of each parameter: its step count, whether it moves in this step, and 1 - β₁ᵗ, 1 - β₂ᵗ (optimizer_step.wgsl). */
  protected readonly progress: Tensor;
  private readonly decays: readonly number[];
  private readonly activeFlags = new Map<string, Tensor>();
  private active: Tensor | undefined;

  /** @param states names of the moments and copies that the rule keeps for each element */
  protected constructor(
    module: Module,
    private readonly states: readonly string[],
    betas: Betas,
  ) {
    const { chunks, entries } = placementOf(module);
    this.parameters = [...module.parameters()];
    this.device = chunks[0].device;
    this.decays = [decayOf(betas.beta1), decayOf(betas.beta2)];
    this.progress = this.device.keep(full(this.device, [this.parameters.length, 4], 0, 'u32', 'optimizer progress'));
    const index = new Map(this.parameters.map(([key], i) => [key, i]));
    const placed = withStarts(entries);
    this.chunks = chunks.map((parameters, chunk) => {
      const own = placed.filter(entry => entry.chunk === chunk);
      return {
        parameters,
        gradient: this.flat(parameters.size, 'flat gradient'),
        state: new Map(states.map(name => [name, this.flat(parameters.size, `optimizer ${name}`)])),
        owners: this.device.keep(ownersOf(parameters, own, index)),
        entries: own,
      };
    });
  }

  private flat(size: number, name: string): Tensor {
    return this.device.keep(full(this.device, [size], 0, 'f32', name));
  }

  /** The parameters as tensors, to take gradients with respect to; `collect` wants these in this order. */
  get variables(): Tensor[] {
    return this.parameters.map(([, parameter]) => parameter.value);
  }

  /** The gradients that were collected, flat, one tensor for each chunk; zeros between them and where there is none. */
  get gradients(): Tensor[] {
    return this.chunks.map(chunk => chunk.gradient);
  }

  /** Copies the gradients of `variables` into the flat buffers; undefined where a parameter has none in this step. */
  collect(gradients: readonly (Tensor | undefined)[]): void {
    if (gradients.length !== this.parameters.length) {
      throw new Error(`${gradients.length} gradients for ${this.parameters.length} parameters`);
    }
    const byParameter = new Map(this.parameters.map(([, parameter], i) => [parameter, gradients[i]]));
    for (const { gradient: flat, entries } of this.chunks) {
      // An older gradient must not be seen again, neither by the centralisation nor by the finite check.
      if (entries.some(({ parameter }) => !byParameter.get(parameter))) fill(flat, 0);
    }
    for (const { gradient: flat, entries } of this.chunks) {
      for (const { parameter, offset, size, start, key } of entries) {
        const gradient = byParameter.get(parameter);
        if (!gradient) continue;
        if (gradient.size !== parameter.size) throw new Error(`the gradient of ${key} is ${gradient}`);
        this.device.copy(gradient, flat, { from: start, to: offset, count: size });
      }
    }
    this.active = this.flags(gradients.map(gradient => (gradient ? 1 : 0)));
  }

  /** Which parameters have a gradient, on the device: the same few patterns come again and again. */
  private flags(values: readonly number[]): Tensor {
    const pattern = values.join('');
    let flags = this.activeFlags.get(pattern);
    if (!flags) {
      flags = this.device.keep(this.device.tensor(values, [values.length], 'u32', 'active parameters'));
      this.activeFlags.set(pattern, flags);
    }
    return flags;
  }

  /**
   * Moves the parameters by the collected gradients: `rate` [1] is the learning rate; nothing happens if `gate` u32 [1]
   * is not 0.
   */
  step(rate: Tensor, gate: Tensor): void {
    if (!this.active) throw new Error('step() needs gradients: call collect() before');
    const { device, progress } = this;
    const count = this.parameters.length;
    const words = [count, ...this.decays.map(floatBits)];
    device.dispatch(device.kernel(STEP), [gate, this.active, progress], words, [Math.ceil(count / WORKGROUP)]);
    for (const chunk of this.chunks) this.update(chunk, rate);
    this.active = undefined;
  }

  /** The rule: moves one chunk's parameters and state where `progress` says so. */
  protected abstract update(chunk: Chunk, rate: Tensor): void;

  /** Workgroups of an update kernel, whose invocations take four elements each. */
  protected quads(chunk: Chunk): { quads: number; groups: [number, number] } {
    const quads = chunk.parameters.size / 4;
    return { quads, groups: grid(quads, WORKGROUP) };
  }

  /**
   * The whole state, to be saved: NAME.KEY for each of the rule's moments and each parameter, and `t`, the step counts
   * in the order of the parameters. `load` of it continues bit for bit.
   */
  async state(): Promise<Map<string, { shape: Shape; data: Float32Array | Uint32Array }>> {
    // All reads are asked for at once, so that they show one moment in time.
    const progress = this.device.readU32(this.progress);
    const flat = this.chunks.map(chunk => this.states.map(name => chunk.state.get(name)!.read()));
    const result = new Map<string, { shape: Shape; data: Float32Array | Uint32Array }>();
    for (const [i, name] of this.states.entries()) {
      for (const [key, { shape, size }] of this.parameters) {
        result.set(`${name}.${key}`, { shape, data: new Float32Array(size) });
      }
      for (const [c, chunk] of this.chunks.entries()) {
        const values = await flat[c][i];
        for (const { key, offset, size, start } of chunk.entries) {
          (result.get(`${name}.${key}`)!.data as Float32Array).set(values.subarray(offset, offset + size), start);
        }
      }
    }
    const steps = (await progress).filter((_, word) => word % 4 === 0);
    return result.set('t', { shape: [steps.length], data: steps });
  }

  /**
   * Puts a saved state back.
   *
   * @throws UserError that names the entry that is missing or has another shape, with `source` as the place; nothing is
   * written then.
   */
  load(state: OptimizerState, { source = 'optimiser state' }: { source?: string } = {}): void {
    const entry = (name: string, shape: Shape) => {
      const found = state.get(name);
      if (!found) throw new UserError(`${source}: no tensor "${name}"; the file is of another model or optimiser`);
      if (!sameShape(found.shape, shape)) {
        throw new UserError(
          `${source}: "${name}" is ${shapeText(found.shape)}, the optimiser wants ${shapeText(shape)}`,
        );
      }
      return found.data;
    };
    const steps = entry('t', [this.parameters.length]);
    for (const name of this.states) {
      for (const [key, { shape }] of this.parameters) entry(`${name}.${key}`, shape);
    }
    const progress = new Uint32Array(steps.length * 4);
    steps.forEach((t, i) => {
      progress[i * 4] = t;
    });
    this.device.write(this.progress, progress);
    for (const chunk of this.chunks) {
      for (const [name, flat] of chunk.state) {
        const values = new Float32Array(flat.size);
        for (const { key, parameter, offset, size, start } of chunk.entries) {
          values.set(entry(`${name}.${key}`, parameter.shape).subarray(start, start + size), offset);
        }
        this.device.write(flat, values);
      }
    }
  }

  /** Gives the optimiser's memory back. */
  release(): void {
    const { device } = this;
    for (const { gradient, state, owners } of this.chunks) {
      for (const tensor of [gradient, ...state.values(), owners]) device.discard(tensor);
    }
    for (const flags of this.activeFlags.values()) device.discard(flags);
    this.activeFlags.clear();
    device.discard(this.progress);
  }
}

/** -ln β; for β = 0 a number whose exponential is 0. */
export function decayOf(beta: number): number {
  return beta > 0 ? -Math.log(beta) : 200;
}

/** The parameter that each 64 elements of a chunk belong to. */
function ownersOf(chunk: Tensor, entries: readonly Entry[], index: ReadonlyMap<string, number>): Tensor {
  const owners = new Uint32Array(chunk.size / BLOCK);
  for (const { key, offset, size } of entries) {
    owners.fill(index.get(key)!, offset / BLOCK, Math.ceil((offset + size) / BLOCK));
  }
  return chunk.device.tensor(owners, [owners.length], 'u32', 'owners');
}

function withStarts(entries: readonly PlacedParameter[]): Entry[] {
  const starts = new Map<Parameter, number>();
  return entries.map(entry => {
    const start = starts.get(entry.parameter) ?? 0;
    starts.set(entry.parameter, start + entry.size);
    return { ...entry, start };
  });
}
