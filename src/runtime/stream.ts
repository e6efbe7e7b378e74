import type { AdapterKind } from './adapter.ts';
import type { Kernel } from './kernel.ts';
import type { Label } from './labels.ts';
import { type Block, placeOf } from './memory.ts';
import type { DispatchTimer } from './profiler.ts';
import type { Shape } from './shape.ts';
import type { Slice } from './tensor.ts';

/** A kernel on ranges of buffers, in the order of its bindings; the words are its uniform block, if it has one. */
export interface Dispatch {
  readonly kernel: Kernel;
  readonly slices: readonly Slice[];
  readonly words: readonly number[];
  /** Workgroups along x, y and z. */
  readonly groups: readonly number[];
  /** What it is, for the profiler: noted where programs are recorded or dispatches timed. */
  readonly work?: Work;
}

/** What a dispatch computes. */
export interface Work {
  /** Of the tensors of its bindings. */
  readonly shapes: readonly Shape[];
  /** Arithmetic operations; 0 where that is not stated. */
  readonly flop: number;
  readonly label: Label | undefined;
}

/** The bytes of one range, copied to another of the same length. */
export interface Copy {
  readonly source: Slice;
  readonly target: Slice;
}

/** What the device does, one after the other. */
export type Command = Dispatch | Copy;

/**
 * Commands after which the open command buffer is submitted. A GPU is to start while the host goes on; a CPU driver
 * would take the host's cores, and start later but end no later when all is encoded first.
 */
const SUBMIT_AFTER = { gpu: 96, otherwise: 8192 };

/** Bind groups that are kept. Equal steps need a few thousand; drivers break down at some ten thousands. */
const MAX_BIND_GROUPS = 1 << 15;

/** Uniform blocks are shared by content; a program repeats a few thousand, so more than this means that one varies. */
const MAX_UNIFORMS = 1 << 15;

/** The command buffer that is open, and the bind groups and uniform blocks that its dispatches share. */
export class CommandStream {
  /** Changes when bind groups made before must not be used any more. */
  generation = 0;
  private readonly uniforms = new Map<string, Block>();
  private readonly bindGroups = new Map<string, GPUBindGroup>();
  private encoder: GPUCommandEncoder | undefined;
  private pass: GPUComputePassEncoder | undefined;
  private pipeline: GPUComputePipeline | undefined;
  private pending = 0;
  private timer: DispatchTimer | undefined;
  private planner: ((command: Command) => void) | undefined;
  /** What waits for pipelines that are being compiled, in order. */
  private held: (() => void)[] | undefined;
  /** Copies, command buffers submitted, and bind groups made, since the device was opened. */
  copies = 0;
  submits = 0;
  bindGroupsMade = 0;

  private readonly submitAfter: number;

  constructor(
    private readonly gpu: GPUDevice,
    kind: AdapterKind,
  ) {
    this.submitAfter = kind === 'gpu' ? SUBMIT_AFTER.gpu : SUBMIT_AFTER.otherwise;
  }

  /** Whether dispatches are told to say what they compute. */
  get isNoted(): boolean {
    return this.timer !== undefined || this.planner !== undefined;
  }

  /**
   * From now on commands go to a function and not to the device, which computes and copies nothing; writes still
   * happen. Undefined ends that.
   */
  plan(planner: ((command: Command) => void) | undefined): void {
    this.flush();
    this.planner = planner;
  }

  /** From now on dispatches are timed, each in a pass of its own; undefined ends that. */
  time(timer: DispatchTimer | undefined): void {
    this.flush();
    this.timer = timer;
  }

  /**
   * Lets everything that follows wait, in its order, until the next `flush`: the host goes on while pipelines are
   * compiled.
   */
  hold(): void {
    this.held ??= [];
  }

  /** Forgets what is held, as when a pipeline cannot be compiled. */
  drop(): void {
    this.held = undefined;
  }

  /** Does something in its turn: at once, unless what came before is held. */
  inOrder(work: () => void): void {
    if (this.held) this.held.push(work);
    else work();
  }

  /** Bind groups and uniform blocks that are shared by content. */
  get cached(): { bindGroups: number; uniforms: number } {
    return { bindGroups: this.bindGroups.size, uniforms: this.uniforms.size };
  }

  /** Appends a dispatch, with a bind group of its content that is made once. */
  dispatch(dispatch: Dispatch): void {
    if (this.planner) {
      this.planner(dispatch);
      return;
    }
    if (this.held) {
      this.held.push(() => this.dispatch(dispatch));
      return;
    }
    const { kernel, slices, words } = dispatch;
    let key = `${kernel.id}`;
    for (const { block, offset, bytes } of slices) key += `,${block.id}:${offset}:${bytes}`;
    if (words.length > 0) key += `,u${this.uniform(words).id}`;
    let bindGroup = this.bindGroups.get(key);
    if (!bindGroup) {
      if (this.bindGroups.size >= MAX_BIND_GROUPS) this.bindGroups.clear();
      bindGroup = this.bind(kernel, slices, words);
      this.bindGroups.set(key, bindGroup);
    }
    this.encode(dispatch, bindGroup);
  }

  /** Appends a dispatch whose bind group is there. */
  encode(dispatch: Dispatch, bindGroup: GPUBindGroup): void {
    const { timer } = this;
    if (timer) this.endPass();
    if (!this.pass) {
      this.encoder ??= this.gpu.createCommandEncoder();
      this.pass = this.encoder.beginComputePass(timer?.pass(dispatch));
      this.pipeline = undefined;
    }
    const { groups } = dispatch;
    const { pipeline } = dispatch.kernel;
    // Each of these calls costs Dawn 0.6 to 0.9 µs in Node, so none is made that changes nothing.
    if (pipeline !== this.pipeline) {
      this.pass.setPipeline(pipeline);
      this.pipeline = pipeline;
    }
    this.pass.setBindGroup(0, bindGroup);
    this.pass.dispatchWorkgroups(groups[0], groups[1], groups[2]);
    if (++this.pending >= this.submitAfter) this.flush();
  }

  /** Appends a copy of a range to the front of a buffer or to another range. */
  copy(source: Slice, target: Slice | GPUBuffer): void {
    if (this.planner) {
      if ('block' in target) this.planner({ source, target });
      return;
    }
    if (this.held) {
      this.held.push(() => this.copy(source, target));
      return;
    }
    this.endPass();
    this.copies++;
    this.encoder ??= this.gpu.createCommandEncoder();
    const from = placeOf(source);
    const to = 'block' in target ? placeOf(target) : { buffer: target, offset: 0 };
    this.encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, source.bytes);
    if (++this.pending >= this.submitAfter) this.flush();
  }

  bind(kernel: Kernel, slices: readonly Slice[], words: readonly number[]): GPUBindGroup {
    const resources = slices.map(slice => ({ ...placeOf(slice), size: slice.bytes }));
    if (words.length > 0) resources.push({ buffer: this.uniform(words).buffer!, offset: 0, size: uniformBytes(words) });
    if (resources.length !== kernel.access.length) {
      throw new Error(`kernel ${kernel.name} has ${kernel.access.length} bindings, got ${resources.length}`);
    }
    this.bindGroupsMade++;
    return this.gpu.createBindGroup({
      label: kernel.name,
      layout: kernel.layout,
      entries: resources.map((resource, binding) => ({ binding, resource })),
    });
  }

  /** The uniform block with this content: shapes repeat from step to step, so each is written once. */
  private uniform(words: readonly number[]): Block {
    const key = words.join();
    let block = this.uniforms.get(key);
    if (!block) {
      if (this.uniforms.size >= MAX_UNIFORMS) this.forget();
      const bytes = uniformBytes(words);
      const buffer = this.gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.UNIFORM, mappedAtCreation: true });
      new Uint32Array(buffer.getMappedRange()).set(words);
      buffer.unmap();
      block = { id: this.uniforms.size, buffer, offset: 0, bytes, planned: false, lent: 1 };
      this.uniforms.set(key, block);
    }
    return block;
  }

  /** Ends the open pass; a timer that defers wants each dispatch in a submission of its own. */
  private endPass(): void {
    if (this.timer?.defer) this.flush();
    this.pass?.end();
    this.pass = undefined;
  }

  /** Submits what was appended so far. What was held is encoded now, and waits for its pipelines. */
  flush(): void {
    const { held } = this;
    this.held = undefined;
    for (const work of held ?? []) work();
    if (!this.encoder) return;
    this.pass?.end();
    this.timer?.ending(this.encoder);
    const commands = this.encoder.finish();
    this.pass = undefined;
    this.encoder = undefined;
    this.pending = 0;
    this.submits++;
    this.inTurn(() => this.gpu.queue.submit([commands]));
  }

  /** Overwrites a part of a buffer with elements of `data`, after what was appended so far. */
  write(buffer: GPUBuffer, offset: number, data: Float32Array | Uint32Array, from: number, count: number): void {
    this.flush();
    const values = data.subarray(from, from + count) as Float32Array<ArrayBuffer>;
    if (!this.timer?.defer) this.gpu.queue.writeBuffer(buffer, offset, values);
    else {
      const copy = values.slice();
      this.timer.defer(() => this.gpu.queue.writeBuffer(buffer, offset, copy));
    }
  }

  /** Destroys a buffer when what was appended so far is done with it. */
  destroyBuffer(buffer: GPUBuffer): void {
    this.flush();
    this.inTurn(() => buffer.destroy());
  }

  private inTurn(action: () => void): void {
    if (this.timer?.defer) this.timer.defer(action);
    else action();
  }

  /** Submits what was appended, and waits until the queue has been given all of it. */
  async drain(): Promise<void> {
    this.flush();
    await this.timer?.drain?.();
  }

  /** Forgets the bind groups, which hold their buffers alive, and the uniform blocks. */
  forget(): void {
    this.flush();
    for (const { buffer } of this.uniforms.values()) this.destroyBuffer(buffer!);
    this.uniforms.clear();
    this.bindGroups.clear();
    this.generation++;
  }
}

function uniformBytes(words: readonly number[]): number {
  return Math.ceil(words.length / 4) * 16;
}
