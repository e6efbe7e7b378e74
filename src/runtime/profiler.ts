/** Times every dispatch of a stream: what `profile()` of src/train/profile.ts measures with. */
import type { Device } from './device.ts';
import type { Dispatch } from './stream.ts';
import { settle } from './wait.ts';

/** A dispatch and when it ran, in nanoseconds of a clock of the device's or the host's own. */
export interface TimedDispatch {
  readonly dispatch: Dispatch;
  readonly begin: number;
  readonly end: number;
  /** False where the device gave no usable times; `begin` and `end` are then those of the dispatch before. */
  readonly timed: boolean;
}

/** What a stream asks while its dispatches are timed: each then has a compute pass of its own. */
export interface DispatchTimer {
  /** What the times come from: timestamps of the device, or the host's clock around each dispatch. */
  readonly clock: 'timestamps' | 'wall';
  /** The dispatches timed so far. */
  readonly count: number;
  /** How the pass of the next dispatch begins. */
  pass(dispatch: Dispatch): GPUComputePassDescriptor | undefined;
  /** Told before a command buffer with timed passes is finished. */
  ending(encoder: GPUCommandEncoder): void;
  /** Takes what the queue is to do, to do it in its turn; absent where the queue may have it at once. */
  defer?(action: () => void): void;
  /** Resolves when all that was deferred is done. */
  drain?(): Promise<void>;
  /** The times, once everything has been submitted. */
  read(): Promise<TimedDispatch[]>;
  release(): void;
}

/** Timestamps where the device has them, else the wall clock. */
export function createTimer(device: Device): DispatchTimer {
  return device.features.has('timestamp-query') ? new Timestamps(device) : new WallClock(device);
}

/** The most queries of a set (WebGPU, "timestamp query"), two for each dispatch. */
const QUERIES = 4096;
const BYTES = 8;
/** Queries are resolved to offsets at multiples of 256 bytes. */
const RESOLVE_STEP = 256 / BYTES;

interface QuerySet {
  readonly queries: GPUQuerySet;
  readonly buffer: GPUBuffer;
}

/** Timestamps at the beginning and the end of each dispatch's pass, in as many query sets as it takes. */
class Timestamps implements DispatchTimer {
  readonly clock = 'timestamps';
  private readonly sets: QuerySet[] = [];
  private readonly dispatches: Dispatch[] = [];
  /** Queries whose values are in the buffers. */
  private resolved = 0;

  constructor(private readonly device: Device) {}

  get count(): number {
    return this.dispatches.length;
  }

  pass(dispatch: Dispatch): GPUComputePassDescriptor {
    const query = (2 * this.dispatches.push(dispatch) - 2) % QUERIES;
    if (query === 0) this.sets.push(createQuerySet(this.device.gpu));
    const querySet = this.sets[this.sets.length - 1].queries;
    return { timestampWrites: { querySet, beginningOfPassWriteIndex: query, endOfPassWriteIndex: query + 1 } };
  }

  ending(encoder: GPUCommandEncoder): void {
    const written = 2 * this.dispatches.length;
    while (this.resolved < written) {
      const set = Math.floor(this.resolved / QUERIES);
      const start = set * QUERIES;
      const end = Math.min(written, start + QUERIES);
      // The few before it, back to where a range may begin, are resolved again: they have not changed.
      const first = Math.floor((this.resolved - start) / RESOLVE_STEP) * RESOLVE_STEP;
      const { queries, buffer } = this.sets[set];
      encoder.resolveQuerySet(queries, first, end - start - first, buffer, first * BYTES);
      this.resolved = end;
    }
  }

  async read(): Promise<TimedDispatch[]> {
    const { gpu } = this.device;
    this.device.flush();
    const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
    const bytes = QUERIES * BYTES;
    const staging = gpu.createBuffer({ size: Math.max(bytes, this.sets.length * bytes), usage });
    const encoder = gpu.createCommandEncoder();
    this.sets.forEach(({ buffer }, i) => {
      encoder.copyBufferToBuffer(buffer, 0, staging, i * bytes, bytes);
    });
    gpu.queue.submit([encoder.finish()]);
    await settle(staging.mapAsync(GPUMapMode.READ));
    const timed = timesOf(this.dispatches, new BigUint64Array(staging.getMappedRange()));
    staging.destroy();
    return timed;
  }

  release(): void {
    for (const { queries, buffer } of this.sets.splice(0)) {
      queries.destroy();
      buffer.destroy();
    }
  }
}

function createQuerySet(gpu: GPUDevice): QuerySet {
  const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
  return {
    queries: gpu.createQuerySet({ type: 'timestamp', count: QUERIES }),
    buffer: gpu.createBuffer({ size: QUERIES * BYTES, usage }),
  };
}

/**
 * The dispatches with their times from pairs of timestamps. A GPU may note the beginning of a pass while the one before
 * still runs: a dispatch's time begins when the one before has ended, so no time counts twice. Timestamps that are 0,
 * as drivers give for queries they lost, or whose end lies before their beginning, are no times.
 */
export function timesOf(dispatches: readonly Dispatch[], stamps: ArrayLike<bigint>): TimedDispatch[] {
  let origin: bigint | undefined;
  let before = 0;
  return dispatches.map((dispatch, i) => {
    const [first, last] = [stamps[2 * i], stamps[2 * i + 1]];
    if (first === 0n || last < first) return { dispatch, begin: before, end: before, timed: false };
    origin ??= first;
    const begin = Math.max(before, Number(first - origin));
    before = Math.max(begin, Number(last - origin));
    return { dispatch, begin, end: before, timed: true };
  });
}

/**
 * Without timestamps: each dispatch is submitted alone and waited for, in order with all else that the queue is given.
 * The times are the host's and hold a submission each.
 */
class WallClock implements DispatchTimer {
  readonly clock = 'wall';
  private readonly timed: TimedDispatch[] = [];
  private readonly actions: { run: () => void; dispatch: Dispatch | undefined }[] = [];
  private next: Dispatch | undefined;
  private draining: Promise<void> | undefined;
  count = 0;

  constructor(private readonly device: Device) {}

  pass(dispatch: Dispatch): undefined {
    this.next = dispatch;
    this.count++;
  }

  ending(): void {}

  defer(run: () => void): void {
    this.actions.push({ run, dispatch: this.next });
    this.next = undefined;
  }

  drain(): Promise<void> {
    this.draining ??= this.work().finally(() => {
      this.draining = undefined;
    });
    return this.draining;
  }

  private async work(): Promise<void> {
    const { queue } = this.device.gpu;
    for (let action = this.actions.shift(); action; action = this.actions.shift()) {
      const { run, dispatch } = action;
      const begin = performance.now() * 1e6;
      run();
      await settle(queue.onSubmittedWorkDone());
      if (dispatch) this.timed.push({ dispatch, begin, end: performance.now() * 1e6, timed: true });
    }
  }

  async read(): Promise<TimedDispatch[]> {
    this.device.flush();
    await this.drain();
    return this.timed;
  }

  release(): void {}
}
