import type { Kernel } from './kernel.ts';
import { type Block, placeOf } from './memory.ts';
import type { Slice } from './tensor.ts';

/** A kernel on ranges of buffers, in the order of its bindings; the words are its uniform block, if it has one. */
export interface Dispatch {
  readonly kernel: Kernel;
  readonly slices: readonly Slice[];
  readonly words: readonly number[];
  /** Workgroups along x, y and z. */
  readonly groups: readonly number[];
}

/** The bytes of one range, copied to another of the same length. */
export interface Copy {
  readonly source: Slice;
  readonly target: Slice;
}

/** What the device does, one after the other. */
export type Command = Dispatch | Copy;

/** Commands after which the open command buffer is submitted, so that the device starts while the host goes on. */
const SUBMIT_AFTER = 96;

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
  private pending = 0;

  constructor(private readonly gpu: GPUDevice) {}

  /** Appends a dispatch, with a bind group of its content that is made once. */
  dispatch({ kernel, slices, words, groups }: Dispatch): void {
    let key = `${kernel.id}`;
    for (const { block, offset, bytes } of slices) key += `,${block.id}:${offset}:${bytes}`;
    if (words.length > 0) key += `,u${this.uniform(words).id}`;
    let bindGroup = this.bindGroups.get(key);
    if (!bindGroup) {
      if (this.bindGroups.size >= MAX_BIND_GROUPS) this.bindGroups.clear();
      bindGroup = this.bind(kernel, slices, words);
      this.bindGroups.set(key, bindGroup);
    }
    this.encode(kernel.pipeline, bindGroup, groups);
  }

  /** Appends a dispatch whose bind group is there. */
  encode(pipeline: GPUComputePipeline, bindGroup: GPUBindGroup, groups: readonly number[]): void {
    if (!this.pass) {
      this.encoder ??= this.gpu.createCommandEncoder();
      this.pass = this.encoder.beginComputePass();
    }
    this.pass.setPipeline(pipeline);
    this.pass.setBindGroup(0, bindGroup);
    this.pass.dispatchWorkgroups(groups[0], groups[1] ?? 1, groups[2] ?? 1);
    if (++this.pending >= SUBMIT_AFTER) this.flush();
  }

  /** Appends a copy of a range to the front of a buffer or to another range. */
  copy(source: Slice, target: Slice | GPUBuffer): void {
    this.pass?.end();
    this.pass = undefined;
    this.encoder ??= this.gpu.createCommandEncoder();
    const from = placeOf(source);
    const to = 'block' in target ? placeOf(target) : { buffer: target, offset: 0 };
    this.encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, source.bytes);
    if (++this.pending >= SUBMIT_AFTER) this.flush();
  }

  bind(kernel: Kernel, slices: readonly Slice[], words: readonly number[]): GPUBindGroup {
    const resources = slices.map(slice => ({ ...placeOf(slice), size: slice.bytes }));
    if (words.length > 0) resources.push({ buffer: this.uniform(words).buffer!, offset: 0, size: uniformBytes(words) });
    if (resources.length !== kernel.access.length) {
      throw new Error(`kernel ${kernel.name} has ${kernel.access.length} bindings, got ${resources.length}`);
    }
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

  /** Submits what was appended so far. */
  flush(): void {
    if (!this.encoder) return;
    this.pass?.end();
    const commands = this.encoder.finish();
    this.pass = undefined;
    this.encoder = undefined;
    this.pending = 0;
    this.gpu.queue.submit([commands]);
  }

  /** Forgets the bind groups, which hold their buffers alive, and the uniform blocks. */
  forget(): void {
    this.flush();
    for (const { buffer } of this.uniforms.values()) buffer!.destroy();
    this.uniforms.clear();
    this.bindGroups.clear();
    this.generation++;
  }
}

function uniformBytes(words: readonly number[]): number {
  return Math.ceil(words.length / 4) * 16;
}
