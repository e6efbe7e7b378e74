import type { Device } from './device.ts';
import type { Kernel } from './kernel.ts';
import type { Block } from './memory.ts';
import { type Lifetime, largest, type MemoryPlan, planMemory } from './memoryPlan.ts';
import type { Command, Copy, Dispatch } from './stream.ts';
import type { Slice } from './tensor.ts';
import { tensorsIn } from './tensorsIn.ts';

/** What a function asked the device to do while it was recorded. */
export class Recorder {
  readonly commands: Command[] = [];

  constructor(readonly label: string) {}
}

/** Buffers that all programs of a device share: only one runs at a time, so the largest decides. */
export class Arena {
  /** Changes when buffers were replaced: programs then make their bind groups anew. */
  generation = 0;
  private readonly buffers: { buffer: GPUBuffer; bytes: number }[] = [];

  /** Sizes that the buffers have when all programs recorded so far have run. */
  planned: readonly number[] = [];

  constructor(private readonly device: Device) {}

  /** Notes what a new program will reserve. */
  expect(sizes: readonly number[]): void {
    this.planned = largest([this.planned, sizes]);
  }

  /** Grows the buffers to at least these sizes. */
  reserve(sizes: readonly number[]): void {
    sizes.forEach((bytes, i) => {
      if (bytes === 0 || this.buffers[i]?.bytes >= bytes) return;
      this.device.flush();
      if (this.buffers[i]) this.device.memory.destroyBuffer(this.buffers[i].buffer);
      this.buffers[i] = { buffer: this.device.memory.createBuffer(bytes), bytes };
      this.generation++;
    });
  }

  at(index: number): GPUBuffer {
    return this.buffers[index].buffer;
  }

  release(): void {
    this.device.flush();
    for (const { buffer } of this.buffers.splice(0).filter(Boolean)) this.device.memory.destroyBuffer(buffer);
    this.planned = [];
    this.generation++;
  }
}

/** A dispatch with all that was made for it, or a copy. */
type Ready = { dispatch: Dispatch; bindGroup: GPUBindGroup } | Copy;

/**
 * A function's work on the device, recorded once and repeated by `run()`: the host then only encodes. Its temporaries
 * lie where a plan by their lifetimes put them, in buffers shared with other programs; its results have memory of their
 * own, which the next run overwrites.
 */
export class Program<T> {
  readonly dispatches: number;
  readonly commands: readonly Command[];
  /** Where the temporaries lie; `plan.needed` is what they need at least. */
  readonly plan: MemoryPlan;
  /** Of each temporary: its size, and the commands that first and last use it. */
  readonly lifetimes: readonly Lifetime[];
  private readonly label: string;
  private ready: Ready[] = [];
  private readyFor = '';
  private readonly temporaries: readonly Block[];
  /** The results' memory: the blocks of the pool behind the program's own. */
  private readonly outputs = new Map<Block, Block>();
  /** Memory from outside, with the loan under which it was recorded. */
  private readonly foreign: ReadonlyMap<Block, number>;

  /** @param result what the function returned; its tensors hold what the last run computed */
  constructor(
    private readonly device: Device,
    { label, commands: recorded }: Recorder,
    readonly result: T,
  ) {
    this.label = label;
    for (const block of tensorsIn(result).flatMap(tensor => tensor.blocks)) {
      if (!block.buffer) this.outputs.set(block, this.placeOutput(block));
    }
    const commands = withoutDead(recorded);
    this.commands = commands;
    this.dispatches = commands.filter(command => 'kernel' in command).length;
    const used = new Set(commands.flatMap(command => slicesOf(command).map(({ block }) => block)));
    this.temporaries = [...used].filter(({ buffer }) => !buffer);
    this.foreign = new Map(
      [...used].filter(block => block.buffer && !this.outputs.has(block)).map(block => [block, block.lent]),
    );
    const { lifetimes, conflicts } = usesOf(commands, this.temporaries);
    this.lifetimes = lifetimes;
    this.plan = planMemory(lifetimes, conflicts, device.limits.maxBufferSize, device.arena.planned);
    device.arena.expect(this.plan.buffers);
  }

  private placeOutput(block: Block): Block {
    const { memory } = this.device;
    const own = memory.allocate(block.bytes, this.label);
    memory.keep(own);
    memory.keep(block);
    block.buffer = own.buffer;
    return own;
  }

  /** The kernels that it uses. */
  kernels(): Set<Kernel> {
    return new Set(this.commands.flatMap(command => ('kernel' in command ? [command.kernel] : [])));
  }

  /** Does the work again and returns the function's result, with new content. */
  run(): T {
    const { device, label } = this;
    if (device.recorder) throw new Error(`program "${label}" cannot run while another is recorded`);
    for (const [{ lent }, loan] of this.foreign) {
      if (lent !== loan) throw new Error(`program "${label}" uses a tensor that was discarded; record it anew`);
    }
    device.throwFailure();
    device.stream.inOrder(() => this.encode());
    device.dispatches += this.dispatches;
    return this.result;
  }

  private encode(): void {
    const { device } = this;
    device.arena.reserve(this.plan.buffers);
    const generation = `${device.arena.generation},${device.stream.generation}`;
    if (this.readyFor !== generation) this.bind();
    this.readyFor = generation;
    for (const command of this.ready) {
      if ('dispatch' in command) device.stream.encode(command.dispatch, command.bindGroup);
      else device.stream.copy(command.source, command.target);
    }
  }

  /** Gives the temporaries their places and makes the bind groups. */
  private bind(): void {
    const { device } = this;
    this.temporaries.forEach((block, i) => {
      const { buffer, offset } = this.plan.places[i];
      block.buffer = device.arena.at(buffer);
      block.offset = offset;
    });
    this.ready = this.commands.map(command => {
      if (!('kernel' in command)) return command;
      const { kernel, slices, words } = command;
      return { dispatch: command, bindGroup: device.stream.bind(kernel, slices, words) };
    });
  }

  /** Gives the results' memory back. */
  release(): void {
    for (const [block, own] of this.outputs) {
      this.device.memory.discard(block);
      this.device.memory.discard(own);
    }
    this.ready = [];
  }
}

/** Programs by name: each is recorded when its name is first run, and repeated from then on. */
export class Programs {
  private readonly programs = new Map<string, Program<unknown>>();
  private readonly compiling = new Map<Kernel, Promise<void>>();

  /** @param told told, while `compiled` waits, how many of the kernels are compiled */
  constructor(
    private readonly device: Device,
    private readonly told?: (done: number, count: number) => void,
  ) {}

  /** The program of a function, recorded when its name first comes; nothing is run. */
  record<T>(name: string, body: () => T): Program<T> {
    let program = this.programs.get(name) as Program<T> | undefined;
    if (!program) {
      program = this.device.record(name, body);
      this.programs.set(name, program);
    }
    return program;
  }

  /**
   * Runs a function as a program. Between runs nothing may change but the content of kept tensors: a function that is
   * to do something else needs another name. Where kernels are new, their compilation starts, and the device waits for
   * it with this and all that follows: await `compiled()` before anything is read or written.
   */
  run<T>(name: string, body: () => T): T {
    const isNew = !this.programs.has(name);
    const program = this.record(name, body);
    if (isNew) this.compile(program);
    return program.run();
  }

  private compile(program: Program<unknown>): void {
    for (const kernel of program.kernels()) {
      if (kernel.isCompiled) continue;
      this.device.stream.hold();
      const compiled = kernel.compile();
      compiled.catch(() => {}); // whoever awaits compiled() hears of it
      this.compiling.set(kernel, compiled);
    }
  }

  /** Waits until what the runs so far need is compiled, and lets the device begin with them. */
  async compiled(): Promise<void> {
    const count = this.compiling.size;
    if (count === 0) return;
    let done = 0;
    const told = () => this.told?.(++done, count);
    try {
      await Promise.all([...this.compiling.values()].map(compiled => compiled.then(told)));
    } catch (error) {
      this.device.stream.drop();
      throw error;
    } finally {
      this.compiling.clear();
    }
    this.device.flush();
  }

  /** Runs a function as a program, when what it needs is compiled. */
  async compute<T>(name: string, body: () => T): Promise<T> {
    const result = this.run(name, body);
    await this.compiled();
    return result;
  }

  values(): Iterable<[string, Program<unknown>]> {
    return this.programs;
  }

  /** Forgets all programs: the next runs record anew. */
  release(): void {
    for (const program of this.programs.values()) program.release();
    this.programs.clear();
  }
}

/**
 * Leaves out the commands whose results nobody uses, as the end of a segment that gradient checkpointing repeats: what
 * a kept command or the outside reads was written by a kept one.
 */
function withoutDead(commands: readonly Command[]): Command[] {
  const used = new Set<Block>();
  const alive: Command[] = [];
  for (const command of [...commands].reverse()) {
    const slices = slicesOf(command);
    if (!slices.some(({ block }, binding) => writes(command, binding) && (block.buffer || used.has(block)))) continue;
    for (const { block } of slices) used.add(block);
    alive.push(command);
  }
  return alive.reverse();
}

function slicesOf(command: Command): readonly Slice[] {
  return 'kernel' in command ? command.slices : [command.source, command.target];
}

/** When each temporary is used, and which others it must not share a buffer with. */
function usesOf(
  commands: readonly Command[],
  temporaries: readonly Block[],
): { lifetimes: Lifetime[]; conflicts: Set<number>[] } {
  const index = new Map(temporaries.map((block, i) => [block, i]));
  const lifetimes: { bytes: number; first: number; last: number }[] = temporaries.map(({ bytes }) => ({
    bytes,
    first: Number.POSITIVE_INFINITY,
    last: 0,
  }));
  const conflicts = temporaries.map(() => new Set<number>());
  commands.forEach((command, at) => {
    const [read, written]: [number[], number[]] = [[], []];
    slicesOf(command).forEach(({ block }, binding) => {
      const i = index.get(block);
      if (i === undefined) return;
      lifetimes[i].first = Math.min(lifetimes[i].first, at);
      lifetimes[i].last = at;
      (writes(command, binding) ? written : read).push(i);
    });
    for (const a of read) {
      for (const b of written) {
        conflicts[a].add(b);
        conflicts[b].add(a);
      }
    }
  });
  return { lifetimes, conflicts };
}

function writes(command: Command, binding: number): boolean {
  return 'kernel' in command ? command.kernel.access[binding] === 'read_write' : binding === 1;
}
