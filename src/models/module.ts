import { stopGradient, variable } from '../autograd/index.ts';
import { UserError } from '../io/errors.ts';
import type { Device } from '../runtime/device.ts';
import { fill } from '../runtime/kernels/copy.ts';
import { fillRandom } from '../runtime/kernels/random.ts';
import { ALIGNMENT } from '../runtime/memory.ts';
import { type Shape, sameShape, shapeText, sizeOf } from '../runtime/shape.ts';
import { Tensor } from '../runtime/tensor.ts';

/** How a parameter starts: a constant, given values, uniform in ±bound, or normal with a standard deviation. */
export type Init =
  | { readonly constant: number }
  | { readonly values: readonly number[] }
  | { readonly uniform: number }
  | { readonly normal: number };

export const zeros: Init = { constant: 0 };
export const ones: Init = { constant: 1 };

/** Uniform in ±1/√fanIn: PyTorch's default for convolutions and linear layers, weights and biases alike. */
export function fanIn(inputs: number): Init {
  return { uniform: 1 / Math.sqrt(inputs) };
}

/** A learned tensor, or a stored one (a buffer). It has a shape from the start, and a value once it is on a device. */
export class Parameter {
  private tensor: Tensor | undefined;
  /** Whether gradients are taken with respect to it; false for buffers and in frozen modules. */
  trainable: boolean;
  readonly isBuffer: boolean;
  /** Files may lack it; it is 0 then. */
  readonly isOptional: boolean;

  constructor(
    readonly key: string,
    readonly shape: Shape,
    readonly init: Init,
    { buffer = false, optional = false } = {},
  ) {
    this.isBuffer = buffer;
    this.isOptional = optional;
    this.trainable = !buffer;
  }

  /** The tensor: a variable if it is trainable, else a constant. */
  get value(): Tensor {
    if (!this.tensor) throw new Error(`${this.key} has no value yet: call initialize(module, device) first`);
    return this.tensor;
  }

  set value(tensor: Tensor) {
    if (!sameShape(tensor.shape, this.shape)) {
      throw new Error(`${this.key} has shape ${shapeText(this.shape)}, not ${shapeText(tensor.shape)}`);
    }
    this.tensor = this.trainable ? variable(tensor, this.key) : stopGradient(tensor);
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  /** Turns gradients on or off; the handle of the other kind is forgotten. */
  setTrainable(trainable: boolean): void {
    if (this.isBuffer || trainable === this.trainable) return;
    this.trainable = trainable;
    if (this.tensor) this.value = this.tensor.alias();
  }
}

/**
 * A part of a network: its parameters, buffers and children under the names that the official implementation gives
 * them, and a `forward` of its own. Shapes are known from the construction on; values come with `initialize`.
 */
export abstract class Module {
  private readonly ownParameters = new Map<string, Parameter>();
  private readonly ownBuffers = new Map<string, Parameter>();
  private readonly children = new Map<string, Module>();
  private readonly notes = new Map<string, string>();
  /** Whether batch statistics are used and running ones updated. */
  training = true;

  protected parameter(key: string, shape: Shape, init: Init): Parameter {
    const parameter = new Parameter(key, shape, init);
    this.ownParameters.set(key, parameter);
    return parameter;
  }

  protected buffer(key: string, shape: Shape, init: Init, { optional = false } = {}): Parameter {
    const buffer = new Parameter(key, shape, init, { buffer: true, optional });
    this.ownBuffers.set(key, buffer);
    return buffer;
  }

  /** Notes what its tensors' shapes do not tell, but files of it have to. */
  protected note(key: string, value: number): void {
    this.notes.set(key, `${value}`);
  }

  protected child<T extends Module>(key: string, module: T): T {
    this.children.set(key, module);
    return module;
  }

  /** This module and everything below it, with dotted paths, in the order of registration. */
  *modules(prefix = ''): Generator<[path: string, module: Module]> {
    yield [prefix, this];
    for (const [key, child] of this.children) yield* child.modules(prefix ? `${prefix}.${key}` : key);
  }

  /** Every parameter and buffer by its full key, in the order in which PyTorch lists them. */
  state(): Map<string, Parameter> {
    const state = new Map<string, Parameter>();
    for (const [path, module] of this.modules()) {
      const name = (key: string) => (path ? `${path}.${key}` : key);
      for (const [key, parameter] of module.ownParameters) state.set(name(key), parameter);
      for (const [key, buffer] of module.ownBuffers) state.set(name(key), buffer);
    }
    return state;
  }

  /** What was noted of it and everything below it, by full keys: the metadata of files that hold its state. */
  metadata(): Record<string, string> {
    const all = [...this.modules()].flatMap(([path, { notes }]) =>
      [...notes].map(([key, value]) => [path ? `${path}.${key}` : key, value]),
    );
    return Object.fromEntries(all);
  }

  /** The learned parameters by their full keys. */
  parameters(): Map<string, Parameter> {
    return new Map([...this.state()].filter(([, parameter]) => !parameter.isBuffer));
  }

  get parameterCount(): number {
    let count = 0;
    for (const parameter of this.parameters().values()) count += parameter.size;
    return count;
  }

  /** Training mode: batch statistics. */
  train(): this {
    for (const [, module] of this.modules()) module.training = true;
    return this;
  }

  /** Evaluation mode: running statistics. */
  eval(): this {
    for (const [, module] of this.modules()) module.training = false;
    return this;
  }

  /** Takes all parameters out of training: no gradient is recorded or computed for them. */
  freeze(): this {
    for (const parameter of this.parameters().values()) parameter.setTrainable(false);
    return this;
  }

  unfreeze(): this {
    for (const parameter of this.parameters().values()) parameter.setTrainable(true);
    return this;
  }
}

/** The flat buffers in which a module's parameters lie one behind the other, each at a multiple of 256 bytes. */
export interface Placement {
  readonly chunks: readonly Tensor[];
  /** The buffers' own, laid out alike. */
  readonly bufferChunks: readonly Tensor[];
  readonly entries: readonly PlacedParameter[];
}

/** Where a parameter, or one part of one over the binding limit, lies. */
export interface PlacedParameter {
  readonly key: string;
  readonly parameter: Parameter;
  readonly chunk: number;
  /** In elements from the start of the chunk. */
  readonly offset: number;
  readonly size: number;
  /** Elements of one entry of the first axis: what gradient centralisation averages over. */
  readonly row: number;
}

const STEP = ALIGNMENT / 4;

/**
 * Puts a module on a device and gives its parameters and buffers their initial values, each drawn from the stream of
 * its own name. Parameters share flat buffers, so that an optimiser step is a few dispatches. Keeps the memory until
 * `release`.
 */
export function initialize(module: Module, device: Device, { seed = 0 }: { seed?: number } = {}): Placement {
  const buffers = new Map([...module.state()].filter(([, parameter]) => parameter.isBuffer));
  const placement = { ...place(module.parameters(), device), bufferChunks: place(buffers, device).chunks };
  placements.set(module, placement);
  device.scope('initialize', () => {
    const step = device.tensor([0], [1], 'u32');
    for (const [key, { value, init }] of module.state()) {
      if ('constant' in init) fill(value, init.constant);
      else if ('values' in init) device.write(value, init.values);
      else {
        const [distribution, scale] =
          'normal' in init ? (['normal', init.normal] as const) : (['uniform', init.uniform] as const);
        fillRandom(value, distribution, { seed, stream: key, step }, { scale });
      }
    }
  });
  return placement;
}

const placements = new WeakMap<Module, Placement>();

/** The flat buffers of an initialised module. */
export function placementOf(module: Module): Placement {
  const placement = placements.get(module);
  if (!placement) throw new Error('the module is not on a device: call initialize(module, device) first');
  return placement;
}

/** Gives back the memory of a module that was initialised as a whole: its parts share buffers. */
export function release(module: Module): void {
  const { chunks, bufferChunks } = placementOf(module);
  for (const chunk of [...chunks, ...bufferChunks]) chunk.device.discard(chunk);
  placements.delete(module);
}

/** Lays parameters out in chunks no larger than the binding limit, and gives them uninitialised tensors there. */
function place(parameters: ReadonlyMap<string, Parameter>, device: Device): Omit<Placement, 'bufferChunks'> {
  const limit = Math.floor(device.bindingLimit / ALIGNMENT) * STEP;
  const sizes: number[] = [];
  const plan: { key: string; parameter: Parameter; chunk: number; offset: number; size: number }[] = [];
  const reserve = (key: string, parameter: Parameter, size: number) => {
    const padded = Math.ceil(size / STEP) * STEP;
    if (sizes.length === 0 || sizes[sizes.length - 1] + padded > limit) sizes.push(0);
    const chunk = sizes.length - 1;
    plan.push({ key, parameter, chunk, offset: sizes[chunk], size });
    sizes[chunk] += padded;
  };
  for (const [key, parameter] of parameters) {
    const row = parameter.size / Math.max(1, parameter.shape[0] ?? 1);
    const rows = Math.floor(limit / row);
    if (rows === 0)
      throw new Error(`${key}: one row of ${shapeText(parameter.shape)} is over the device's binding limit`);
    for (let at = 0; at < parameter.size; at += rows * row) {
      reserve(key, parameter, Math.min(rows * row, parameter.size - at));
    }
  }
  const chunks = sizes.map(size => device.keep(device.empty([size], 'f32', 'parameters')));
  const windows = new Map<Parameter, Tensor[]>();
  const entries = plan.map(entry => {
    const { parameter, chunk, offset, size } = entry;
    const row = parameter.size / Math.max(1, parameter.shape[0] ?? 1);
    const shape = size === parameter.size ? parameter.shape : [size / row, row];
    windows.set(parameter, [...(windows.get(parameter) ?? []), chunks[chunk].window(offset, shape)]);
    return { ...entry, row };
  });
  for (const [key, parameter] of parameters) {
    const parts = windows.get(parameter)!;
    parameter.value = parts.length === 1 ? parts[0] : new Tensor(device, parameter.shape, 'f32', parts, key);
  }
  return { chunks, entries };
}

/** Values for a state dict: shape and f32 elements by key. */
export type StateDict = ReadonlyMap<string, { readonly shape: Shape; readonly data: ArrayLike<number> }>;

/**
 * Compares tensors with what a module wants. Every key of the module must be there with its shape, but for optional
 * ones; further keys are refused unless `ignoreUnknown`.
 *
 * @throws UserError that says key, found and wanted, with `source` as the place
 */
export function checkStateDict(
  module: Module,
  values: ReadonlyMap<string, { readonly shape: Shape }>,
  { source = 'state dict', ignoreUnknown = false }: { source?: string; ignoreUnknown?: boolean } = {},
): void {
  const state = module.state();
  for (const [key, { shape, isOptional }] of state) {
    const found = values.get(key);
    if (!found && isOptional) continue;
    if (!found) throw new UserError(`${source}: no tensor "${key}"; the file is of another model`);
    if (!sameShape(found.shape, shape)) {
      throw new UserError(`${source}: "${key}" is ${shapeText(found.shape)}, the model wants ${shapeText(shape)}`);
    }
  }
  for (const key of values.keys()) {
    if (!state.has(key) && !ignoreUnknown) {
      throw new UserError(`${source}: "${key}" is unknown to the model; the file is of another one`);
    }
  }
}

/**
 * Overwrites a module's parameters and buffers by key.
 *
 * @throws UserError as checkStateDict; nothing is written then
 */
export function loadStateDict(
  module: Module,
  values: StateDict,
  options: { source?: string; ignoreUnknown?: boolean } = {},
): void {
  checkStateDict(module, values, options);
  const state = module.state();
  for (const [key, { value, size }] of state) {
    const data = values.get(key)?.data ?? new Float32Array(size);
    // PyTorch's counters are int64.
    value.device.write(value, data instanceof BigInt64Array ? Float32Array.from(data, Number) : data);
  }
}

/** Reads a module's parameters and buffers back. */
export async function readStateDict(module: Module): Promise<Map<string, { shape: Shape; data: Float32Array }>> {
  const state = [...module.state()];
  const values = await Promise.all(state.map(([, { value }]) => value.read()));
  return new Map(state.map(([key, { shape }], i) => [key, { shape, data: values[i] }]));
}
