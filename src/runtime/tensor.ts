import type { Device } from './device.ts';
import { ALIGNMENT, type Block } from './memory.ts';
import { type Shape, shapeText, sizeOf } from './shape.ts';

export type DType = 'f32' | 'u32' | 'f16';

/** Bytes of `size` elements in a buffer, whose ranges are whole words. */
export function bytesOf(size: number, dtype: DType): number {
  return dtype === 'f16' ? 4 * Math.ceil(size / 2) : 4 * size;
}

/** A range of one GPU buffer, as a kernel binds it. */
export interface Slice {
  readonly block: Block;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * A contiguous row-major array on the device. Its memory belongs to the scope that made it (see Device.scope).
 *
 * A tensor over the device's binding limit has no slice of its own: it is a list of ordinary parts, one after the other
 * in row-major order, and only the ops that work in slices take it.
 */
export class Tensor {
  readonly size: number;
  private readonly loan: number;

  constructor(
    readonly device: Device,
    readonly shape: Shape,
    readonly dtype: DType,
    private readonly memory: Slice | readonly Tensor[],
    readonly name: string = '',
  ) {
    this.size = sizeOf(shape);
    this.loan = 'block' in memory ? memory.block.lent : 0;
  }

  get rank(): number {
    return this.shape.length;
  }

  get bytes(): number {
    return bytesOf(this.size, this.dtype);
  }

  /** The parts of a tensor over the binding limit, each contiguous; undefined for an ordinary one. */
  get parts(): readonly Tensor[] | undefined {
    return 'block' in this.memory ? undefined : this.memory;
  }

  /**
   * The range of the buffer that holds the tensor. Throws if its memory went back to the pool, or if it is in parts.
   */
  get slice(): Slice {
    if (!('block' in this.memory)) {
      throw new Error(
        `${this} is over the binding limit of ${this.device.bindingLimit} bytes; this op does not work in slices`,
      );
    }
    if (this.memory.block.lent !== this.loan) {
      const scope = this.device.memory.whereReturned(this.memory.block);
      throw new Error(`${this} went back to the pool when ${scope} ended; return it from the scope or keep() it`);
    }
    return this.memory;
  }

  /** The blocks that the tensor lies in. */
  get blocks(): Block[] {
    return 'block' in this.memory ? [this.memory.block] : this.memory.flatMap(part => part.blocks);
  }

  /** The same elements under another shape, without a copy. One size may be -1. */
  view(shape: Shape): Tensor {
    const known = shape.reduce((size, n) => (n === -1 ? size : size * n), 1);
    const full = shape.map(n => (n === -1 ? this.size / known : n));
    if (sizeOf(full) !== this.size) throw new Error(`cannot view ${this} as ${shapeText(shape)}`);
    return new Tensor(this.device, full, this.dtype, this.parts ?? this.slice, this.name);
  }

  /** Elements from `start` on under another shape, without a copy; the start must lie at a multiple of 256 bytes. */
  window(start: number, shape: Shape): Tensor {
    const [from, bytes] = [bytesOf(start, this.dtype), bytesOf(sizeOf(shape), this.dtype)];
    const { block, offset } = this.slice;
    if (from % ALIGNMENT !== 0 || from + bytes > this.bytes) {
      throw new Error(`no window of ${shapeText(shape)} at element ${start} of ${this}`);
    }
    return new Tensor(this.device, shape, this.dtype, { block, offset: offset + from, bytes: Math.max(bytes, 4) });
  }

  /** A second handle on the same memory: another identity for the autograd graph. */
  alias(name = this.name): Tensor {
    return new Tensor(this.device, this.shape, this.dtype, this.parts ?? this.slice, name);
  }

  /** Copies the values to the host. The copy is ordered with the dispatches around the call, so the scope may end. */
  read(): Promise<Float32Array> {
    return this.device.read(this);
  }

  /** The value of a tensor of one element. */
  async item(): Promise<number> {
    if (this.size !== 1) throw new Error(`item() needs one element, ${this} has ${this.size}`);
    return (await this.read())[0];
  }

  toString(): string {
    return `tensor${this.name ? ` "${this.name}"` : ''} ${shapeText(this.shape)}`;
  }
}
