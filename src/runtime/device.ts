import { openAdapter } from '#adapter';
import { isCpuDriver, type OpenedAdapter } from './adapter.ts';
import { type Kernel, KernelCache, type KernelOptions } from './kernel.ts';
import { currentLabel } from './labels.ts';
import { ALIGNMENT, type Block, Memory, placeOf } from './memory.ts';
import { cut } from './parts.ts';
import { Arena, Program, Recorder } from './program.ts';
import { type Shape, sizeOf } from './shape.ts';
import { CommandStream } from './stream.ts';
import { bytesOf, type DType, type Slice, Tensor } from './tensor.ts';
import { tensorsIn } from './tensorsIn.ts';
import { copyParts, readBytes } from './transfer.ts';
import { Choices } from './variants.ts';
import { settle } from './wait.ts';

export interface DeviceOptions {
  /** 'gpu', 'lavapipe', 'swiftshader' or part of an adapter's name; by default the best one that works. */
  readonly adapter?: string;
  /** 'default' asks for WebGPU's default limits and no feature, as a small device would offer; for tests. */
  readonly limits?: 'adapter' | 'default';
  /** A lower limit for what one binding covers, in bytes, so that tests see small tensors in parts. */
  readonly bindingLimit?: number;
}

/** Which elements Device.copy copies: all from `from` on, to the front, by default. */
export interface CopyRange {
  readonly from?: number;
  readonly to?: number;
  readonly count?: number;
}

/** A shader's file as the ops import it: the name stands for the source in the pipeline cache. */
export interface Shader {
  readonly name: string;
  readonly source: string;
}

/** Optional features that kernels choose their variants by; whichever the adapter has are asked for. */
const FEATURES = [
  'shader-f16',
  'subgroups',
  'timestamp-query',
  'chromium-experimental-subgroup-matrix',
] as readonly GPUFeatureName[];

/**
 * A WebGPU device with its memory, its kernels and its open command buffer. All of it is synchronous but for opening,
 * reading and waiting.
 */
export class Device {
  readonly memory: Memory;
  readonly limits: GPUSupportedLimits;
  /** Whether kernels run on a CPU, where a barrier costs as much as some hundred additions. */
  readonly isCpu: boolean;
  /** Of a dispatch, along each axis. */
  private readonly mostWorkgroups: number;
  readonly features: ReadonlySet<string>;
  /** Invocations of a subgroup, where the adapter has subgroups of one size; else 0. */
  readonly subgroupSize: number;
  /** The most bytes that one binding of a kernel can cover; larger tensors are in parts. */
  readonly bindingLimit: number;
  /** Kernels dispatched since the device was opened. */
  dispatches = 0;
  /** The commands on their way to the device. */
  readonly stream: CommandStream;
  /** Where the temporaries of programs lie. */
  readonly arena: Arena;
  /** What collects commands instead of the stream while a program is recorded. */
  recorder: Recorder | undefined;
  /** Which of an op's kernels computes what. */
  readonly choices: Choices;
  /** What was compiled, or will be. */
  readonly kernels: KernelCache;
  private failure: Error | undefined;
  private destroyed = false;

  private constructor(
    readonly gpu: GPUDevice,
    readonly adapter: OpenedAdapter,
    lowerLimit = Number.POSITIVE_INFINITY,
  ) {
    this.limits = gpu.limits;
    this.isCpu = isCpuDriver(adapter.name);
    this.mostWorkgroups = gpu.limits.maxComputeWorkgroupsPerDimension;
    const most = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize, lowerLimit);
    this.bindingLimit = Math.floor(most / ALIGNMENT) * ALIGNMENT;
    this.features = gpu.features as ReadonlySet<string>;
    const { subgroupMinSize, subgroupMaxSize } = adapter.adapter.info;
    const hasOneSize = this.features.has('subgroups') && subgroupMinSize === subgroupMaxSize;
    this.subgroupSize = hasOneSize ? (subgroupMinSize ?? 0) : 0;
    this.memory = new Memory(this);
    this.kernels = new KernelCache(gpu, error => {
      this.failure ??= error;
    });
    this.choices = new Choices(this);
    this.stream = new CommandStream(gpu, adapter.kind);
    this.arena = new Arena(this);
    gpu.addEventListener('uncapturederror', event => {
      const { error } = event as GPUUncapturedErrorEvent;
      const failure = new Error(`WebGPU: ${error.message}`);
      const fail = () => {
        this.failure ??= failure;
      };
      // What does not compile fails again where it is used, which says less.
      if (this.kernels.isUnsettled) this.kernels.settled().then(fail);
      else fail();
    });
    gpu.lost.then(({ reason, message }) => {
      if (!this.destroyed) this.failure ??= new DeviceLost(`the GPU device was lost (${reason}): ${message}`);
    });
  }

  /** Opens the best adapter, or the one that is asked for. Throws a UserError that names what is missing. */
  static async open({ adapter, ...options }: DeviceOptions = {}): Promise<Device> {
    return Device.on(await openAdapter({ adapter }), options);
  }

  /** A device of an adapter that is open already. */
  static async on(
    opened: OpenedAdapter,
    { limits = 'adapter', bindingLimit }: Omit<DeviceOptions, 'adapter'> = {},
  ): Promise<Device> {
    const has = opened.adapter;
    const descriptor: GPUDeviceDescriptor = {};
    if (limits === 'adapter') {
      descriptor.requiredFeatures = FEATURES.filter(feature => has.features.has(feature));
      const required: Record<string, number> = {};
      for (const limit in has.limits) {
        const value = has.limits[limit as keyof GPUSupportedLimits];
        if (typeof value === 'number' && !limit.startsWith('min') && !limit.includes('InterStage'))
          required[limit] = value;
      }
      descriptor.requiredLimits = required;
    }
    return new Device(await settle(has.requestDevice(descriptor)), opened, bindingLimit);
  }

  // Tensors

  /** Memory for a tensor, of unspecified content; in parts when it is over the binding limit. */
  empty(shape: Shape, dtype: DType = 'f32', name = ''): Tensor {
    if (dtype === 'f16') this.requireHalf();
    const bytes = bytesOf(sizeOf(shape), dtype);
    if (bytes > this.bindingLimit) {
      const parts = cut(shape, this.bindingLimit / 4).map(block => this.empty(block.shape, dtype, name));
      return new Tensor(this, shape, dtype, parts, name);
    }
    const block = this.recorder ? this.memory.allocatePlanned(bytes, name) : this.memory.allocate(bytes, name);
    return new Tensor(this, shape, dtype, { block, offset: 0, bytes: Math.max(bytes, 4) }, name);
  }

  /** @throws where the adapter has no f16 */
  requireHalf(): void {
    if (!this.features.has('shader-f16')) throw new Error(`${this.adapter.name} has no shader-f16: use f32`);
  }

  /** A tensor with these values. While a program is recorded it must be kept: all runs see the same values. */
  tensor(values: ArrayLike<number>, shape: Shape, dtype: DType = 'f32', name = ''): Tensor {
    return this.unrecorded(() => {
      const tensor = this.empty(shape, dtype, name);
      this.write(tensor, values);
      return tensor;
    });
  }

  /** Runs a function now, also while a program is recorded. */
  private unrecorded<T>(body: () => T): T {
    const { recorder } = this;
    this.recorder = undefined;
    try {
      return body();
    } finally {
      this.recorder = recorder;
    }
  }

  /** Overwrites a tensor from the host, ordered with the dispatches before and after the call. */
  write(tensor: Tensor, values: ArrayLike<number>): void {
    this.refuseWhileRecording(`writing ${tensor}`);
    if (values.length !== tensor.size) throw new Error(`${values.length} values do not fill ${tensor}`);
    if (tensor.dtype === 'f16') throw new Error(`${tensor} is f16: write f32 values, and cast() them`);
    const TypedArray = tensor.dtype === 'u32' ? Uint32Array : Float32Array;
    const data = values instanceof TypedArray ? values : TypedArray.from(values);
    let at = 0;
    for (const part of tensor.parts ?? [tensor]) {
      const { buffer, offset } = placeOf(part.slice);
      this.stream.write(buffer, offset, data, at, part.size);
      at += part.size;
    }
  }

  /**
   * Copies elements between tensors: `count` of them, from element `from` of the source to element `to` of the target.
   */
  copy(source: Tensor, target: Tensor, { from = 0, to = 0, count: asked }: CopyRange = {}): void {
    const count = asked ?? source.size - from;
    if (from + count > source.size || to + count > target.size) {
      throw new Error(`cannot copy ${count} elements from ${source} at ${from} to ${target} at ${to}`);
    }
    if (source.parts || target.parts) {
      copyParts(this, source, target, from, to, count);
      return;
    }
    if (source.dtype === 'f16' && [from, to, count].some(number => number % 2 !== 0)) {
      throw new Error(`copies of f16 tensors are of whole words: not ${count} elements from ${from} to ${to}`);
    }
    const part = ({ slice, dtype }: Tensor, start: number): Slice => ({
      block: slice.block,
      offset: slice.offset + bytesOf(start, dtype),
      bytes: bytesOf(count, dtype),
    });
    const copy = { source: part(source, from), target: part(target, to) };
    if (this.recorder) {
      for (const tensor of [source, target]) this.refuseForeign(tensor, 'a copy');
      this.recorder.commands.push(copy);
    } else {
      this.stream.copy(copy.source, copy.target);
    }
  }

  /** Reads an f32 tensor. The values are those at the time of the call. Throws at once while a program is recorded. */
  read(tensor: Tensor): Promise<Float32Array> {
    this.refuseWhileRecording(`reading ${tensor}`);
    if (tensor.dtype === 'f16') throw new Error(`${tensor} is f16: cast() it to f32 to read it`);
    return readBytes(this, tensor).then(bytes => new Float32Array(bytes));
  }

  /** Reads a u32 tensor. */
  readU32(tensor: Tensor): Promise<Uint32Array> {
    this.refuseWhileRecording(`reading ${tensor}`);
    return readBytes(this, tensor).then(bytes => new Uint32Array(bytes));
  }

  // Memory

  /**
   * Runs a synchronous function whose temporaries go back to the pool when it ends. Tensors in its result (alone, in
   * arrays, maps or plain objects) live on in the scope around it. Name the scope after what it computes: the name is
   * in the error that a stale tensor gives.
   */
  scope<T>(label: string, body: () => T): T {
    if (body.constructor.name === 'AsyncFunction')
      throw new Error(`scope "${label}": the body must not be asynchronous`);
    this.memory.open(label);
    let survivors: Block[] = [];
    try {
      const result = body();
      survivors = tensorsIn(result).flatMap(tensor => tensor.blocks);
      return result;
    } finally {
      this.memory.close(survivors);
    }
  }

  /** Makes a tensor outlive every scope, until `discard`. */
  keep(tensor: Tensor): Tensor {
    for (const block of tensor.blocks) {
      if (!block.buffer) this.refuseWhileRecording(`keeping ${tensor}, which every run computes anew,`);
      this.memory.keep(block);
    }
    return tensor;
  }

  /** Gives a kept tensor's memory back to the pool. */
  discard(tensor: Tensor): void {
    for (const block of tensor.blocks) this.memory.discard(block);
  }

  // Kernels

  kernel(shader: Shader, options: KernelOptions = {}): Kernel {
    return this.kernels.get(shader.name, shader.source, options);
  }

  /**
   * Appends a dispatch: storage bindings in the shader's order, then its uniform block as 32-bit words (floats through
   * `floatBits`), then the number of workgroups. `flop` tells the profiler how many arithmetic operations it takes.
   */
  dispatch(
    kernel: Kernel,
    tensors: readonly Tensor[],
    words: readonly number[],
    groups: readonly number[],
    flop = 0,
  ): void {
    if (this.failure) this.throwFailure();
    if (Math.max(...groups) > this.mostWorkgroups) {
      throw new Error(`kernel ${kernel.name}: ${groups.join(' × ')} workgroups are more than this device takes`);
    }
    const isNoted = this.recorder !== undefined || this.stream.isNoted;
    const work = isNoted ? { shapes: tensors.map(({ shape }) => shape), flop, label: currentLabel() } : undefined;
    const dispatch = { kernel, slices: tensors.map(tensor => tensor.slice), words, groups, work };
    if (this.recorder) {
      for (const tensor of tensors) this.refuseForeign(tensor, `kernel ${kernel.name}`);
      this.recorder.commands.push(dispatch);
    } else {
      this.stream.dispatch(dispatch);
      this.dispatches++;
    }
  }

  // Programs

  /**
   * Records what a function asks the device to do, without doing it: `run()` of the program does it, as often as it is
   * called, with the same results, bit for bit, as the function itself. Recording is tracing: kernels are noted with
   * the tensors that they use, so between runs nothing may change but the content of kept tensors, and inside nothing
   * can be read or written from the host.
   */
  record<T>(label: string, body: () => T): Program<T> {
    this.refuseWhileRecording(`recording "${label}"`);
    const recorder = new Recorder(label);
    this.recorder = recorder;
    try {
      return new Program(this, recorder, this.scope(label, body));
    } finally {
      this.recorder = undefined;
    }
  }

  private refuseWhileRecording(what: string): void {
    if (this.recorder) throw new Error(`${what} is not possible while program "${this.recorder.label}" is recorded`);
  }

  /** A temporary from outside would be gone, or hold something else, when the program runs. */
  private refuseForeign(tensor: Tensor, user: string): void {
    const { block } = tensor.slice;
    if (block.planned && !block.buffer) return;
    if (this.memory.isKept(block)) return;
    throw new Error(
      `${user} in program "${this.recorder!.label}" uses ${tensor}, which the program did not make: keep() it outside, and ` +
        'write() it before a run',
    );
  }

  // Waiting

  /** Submits what was dispatched so far. */
  flush(): void {
    this.stream.flush();
  }

  /** Submits and waits until the device has done everything. Throws what WebGPU reported since the last wait. */
  async finish(): Promise<void> {
    await this.stream.drain();
    await settle(this.gpu.queue.onSubmittedWorkDone());
    await this.kernels.settled();
    this.throwFailure();
  }

  /** Throws what WebGPU reported since this was last called. */
  throwFailure(): void {
    if (!this.failure) return;
    const failure = this.failure;
    if (!(failure instanceof DeviceLost)) this.failure = undefined;
    throw failure;
  }

  /** Destroys the buffers that nobody uses any more, with the bind groups that hold them. */
  trim(): void {
    this.stream.forget();
    this.arena.release();
    this.memory.trim();
  }

  destroy(): void {
    this.destroyed = true;
    this.gpu.destroy();
  }
}

/** The device went away (a driver reset, a laptop's sleep): training goes on from the last checkpoint on a new one. */
export class DeviceLost extends Error {
  override readonly name = 'DeviceLost';
}

const bitsBuffer = new DataView(new ArrayBuffer(4));

/** The bits of an f32 as a 32-bit word of a uniform block. */
export function floatBits(value: number): number {
  bitsBuffer.setFloat32(0, value);
  return bitsBuffer.getUint32(0);
}

/**
 * Workgroups for `count` invocations in a row: two dimensions where one is not enough. The kernel's index is
 * `(workgroup.y * groups.x + workgroup.x) * size + local`.
 */
export function grid(count: number, workgroupSize: number): [number, number] {
  const groups = Math.max(1, Math.ceil(count / workgroupSize));
  if (groups <= 65535) return [groups, 1];
  const rows = Math.ceil(groups / 65535);
  return [Math.ceil(groups / rows), rows];
}
