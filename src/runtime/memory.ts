import type { Device } from './device.ts';
import type { Slice } from './tensor.ts';

/**
 * A stretch of memory, lent to a scope or kept by name: a buffer of the pool, or, for what a program computes, a part
 * of one that the program's plan chose. The id tells blocks apart in bind group keys.
 */
export interface Block {
  readonly id: number;
  /** Undefined as long as the program is being recorded. */
  buffer: GPUBuffer | undefined;
  offset: number;
  readonly bytes: number;
  readonly planned: boolean;
  /**
   * Number of the loan under which the block is out, 0 while it lies in the pool: a tensor of an earlier loan is stale.
   */
  lent: number;
}

/** Granularity of allocations and of slices: WebGPU's default minStorageBufferOffsetAlignment. */
export const ALIGNMENT = 256;

export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** Rounds up to one of four sizes per power of two, so that tensors of similar size share buffers. */
function sizeClass(bytes: number): number {
  const least = align(Math.max(bytes, 1));
  const step = Math.max(ALIGNMENT, 2 ** Math.max(0, Math.floor(Math.log2(least)) - 2));
  return Math.ceil(least / step) * step;
}

/** The bytes of a buffer that a slice covers. Throws where there is no memory yet. */
export function placeOf({ block, offset }: Slice): { buffer: GPUBuffer; offset: number } {
  if (!block.buffer) throw new Error('a temporary of a program exists only while the program runs');
  return { buffer: block.buffer, offset: block.offset + offset };
}

/** Where a block belongs in a free list, which is sorted by falling id. */
function indexIn({ id }: Block, list: readonly Block[]): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].id > id) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What a scope owns: blocks made while it was the innermost one. */
interface Scope {
  readonly label: string;
  readonly blocks: Map<Block, string>;
}

/**
 * Who owns GPU memory. Every allocation belongs to the innermost open scope and goes back to the pool when that scope
 * ends, unless it was kept or returned. The pool hands blocks out in the same order each step, so that the bind groups
 * of the previous step fit again.
 */
export class Memory {
  /** The blocks of each size that are not lent, by falling id: which one is lent next depends on the set alone. */
  private readonly free = new Map<number, Block[]>();
  private readonly scopes: Scope[] = [{ label: 'the root scope', blocks: new Map() }];
  private readonly returned = new WeakMap<Block, string>();
  private nextId = 0;
  private nextLoan = 1;
  /** Bytes in buffers that exist, and in those lent out now; and the highest of the latter since `resetPeak`. */
  reservedBytes = 0;
  lentBytes = 0;
  peakBytes = 0;

  constructor(private readonly device: Device) {}

  /** Lends a block of at least this size to the innermost scope. Throws above the device's maxBufferSize. */
  allocate(bytes: number, label: string): Block {
    const size = Math.min(sizeClass(bytes), Math.max(this.device.limits.maxBufferSize, align(bytes)));
    const block = this.free.get(size)?.pop() ?? this.create(this.createBuffer(size), size);
    this.lend(block, label);
    this.lentBytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.lentBytes);
    return block;
  }

  /** Lends a block without memory: the plan of the program that is being recorded gives it a place. */
  allocatePlanned(bytes: number, label: string): Block {
    const block = this.create(undefined, align(Math.max(bytes, 1)));
    this.lend(block, label);
    return block;
  }

  private create(buffer: GPUBuffer | undefined, bytes: number): Block {
    return { id: this.nextId++, buffer, offset: 0, bytes, planned: !buffer, lent: 0 };
  }

  private lend(block: Block, label: string): void {
    block.lent = this.nextLoan++;
    this.scopes[this.scopes.length - 1].blocks.set(block, label);
  }

  /** A buffer that tensors can lie in. Throws above the device's maxBufferSize. */
  createBuffer(size: number): GPUBuffer {
    if (size > this.device.limits.maxBufferSize) {
      throw new Error(
        `a buffer of ${size} bytes is over the device's maxBufferSize, ${this.device.limits.maxBufferSize}`,
      );
    }
    this.reservedBytes += size;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    return this.device.gpu.createBuffer({ size, usage });
  }

  destroyBuffer(buffer: GPUBuffer): void {
    this.reservedBytes -= buffer.size;
    this.device.stream.destroyBuffer(buffer);
  }

  /** Opens a scope; `close` gives back what was made in it but for `survivors`, which move to the scope around it. */
  open(label: string): void {
    this.scopes.push({ label, blocks: new Map() });
  }

  close(survivors: Iterable<Block>): void {
    const scope = this.scopes.pop()!;
    const outer = this.scopes[this.scopes.length - 1];
    for (const block of survivors) {
      const label = scope.blocks.get(block);
      if (label === undefined) continue;
      scope.blocks.delete(block);
      outer.blocks.set(block, label);
    }
    for (const [block] of [...scope.blocks].reverse()) this.release(block, scope.label);
  }

  private release(block: Block, scope: string): void {
    block.lent = 0;
    this.returned.set(block, scope);
    if (block.planned) return;
    this.lentBytes -= block.bytes;
    const list = this.free.get(block.bytes);
    if (list) list.splice(indexIn(block, list), 0, block);
    else this.free.set(block.bytes, [block]);
  }

  /** Takes a block out of the scope that owns it: from now on only `discard` ends its life. */
  keep(block: Block): void {
    for (const scope of this.scopes) scope.blocks.delete(block);
  }

  /** Whether a block outlives every scope. */
  isKept(block: Block): boolean {
    return block.lent !== 0 && !this.scopes.some(({ blocks }) => blocks.has(block));
  }

  /** Gives a kept block back to the pool. */
  discard(block: Block): void {
    this.keep(block);
    if (block.lent !== 0) this.release(block, 'discard()');
  }

  /** Why a block that is not lent any more cannot be used, for the error message. */
  whereReturned(block: Block): string {
    return this.returned.get(block) ?? 'its scope';
  }

  /** Destroys the buffers that nobody uses, as after a stage was dropped. */
  trim(): void {
    for (const list of this.free.values()) {
      for (const { buffer } of list) this.destroyBuffer(buffer!);
    }
    this.free.clear();
  }

  resetPeak(): void {
    this.peakBytes = this.lentBytes;
  }
}
