/** Where a program's temporaries lie: planned once, from when each is first and last used. */
import { align } from './memory.ts';

/** One temporary: it holds its content from the command `first` to the command `last`, both included. */
export interface Lifetime {
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

export interface MemoryPlan {
  /** Of each temporary: which buffer, and where in it. */
  readonly places: readonly { readonly buffer: number; readonly offset: number }[];
  /** Bytes of each buffer. */
  readonly buffers: readonly number[];
  /** The most bytes that are in use at one time: no plan needs fewer. */
  readonly needed: number;
}

/** The sizes of the buffers in which several plans find place, one at a time: of each buffer the largest. */
export function largest(plans: readonly (readonly number[])[]): number[] {
  const count = Math.max(0, ...plans.map(sizes => sizes.length));
  return Array.from({ length: count }, (_, i) => Math.max(...plans.map(sizes => sizes[i] ?? 0)));
}

/** Orders in which to place temporaries; which one comes out best differs from program to program. */
const ORDERS: readonly ((a: Lifetime, b: Lifetime) => number)[] = [
  (a, b) => b.bytes - a.bytes,
  (a, b) => b.bytes - a.bytes || duration(b) - duration(a),
  (a, b) => b.bytes - a.bytes || b.last - a.last,
  (a, b) => Math.floor(Math.log2(b.bytes)) - Math.floor(Math.log2(a.bytes)) || duration(b) - duration(a),
];

function duration({ first, last }: Lifetime): number {
  return last - first;
}

/**
 * Places temporaries in few buffers, the largest first, each at the lowest free offset of the buffer that grows least
 * (greedy by size: Pisarchyk and Lee 2020, arXiv 2001.03288); of several such orders the best is taken. WebGPU does not
 * let a dispatch read and write one buffer, not even in places apart: `conflicts` lists the temporaries that must lie
 * in another buffer than the i-th. `existing` are the sizes of the buffers that other programs have already: using them
 * costs nothing.
 */
export function planMemory(
  lifetimes: readonly Lifetime[],
  conflicts: readonly ReadonlySet<number>[],
  maxBufferSize: number,
  existing: readonly number[] = [],
): MemoryPlan {
  const needed = mostAtOnce(lifetimes);
  const total = ({ buffers }: MemoryPlan) => largest([buffers, existing]).reduce((sum, bytes) => sum + bytes, 0);
  const plans = ORDERS.map(compare => {
    const order = lifetimes.map((_, i) => i).sort((a, b) => compare(lifetimes[a], lifetimes[b]) || a - b);
    return { ...place(order, lifetimes, conflicts, maxBufferSize, existing), needed };
  });
  return plans.reduce((best, plan) => (total(plan) < total(best) ? plan : best));
}

function place(
  order: readonly number[],
  lifetimes: readonly Lifetime[],
  conflicts: readonly ReadonlySet<number>[],
  maxBufferSize: number,
  existing: readonly number[],
): Omit<MemoryPlan, 'needed'> {
  const places: { buffer: number; offset: number }[] = new Array(lifetimes.length);
  const buffers = existing.map(bytes => ({ bytes, used: 0, members: [] as number[] }));
  for (const i of order) {
    const size = align(lifetimes[i].bytes);
    const refused = new Set([...conflicts[i]].map(other => places[other]?.buffer));
    let best: { buffer: number; offset: number; growth: number } | undefined;
    for (const [b, { bytes, members }] of buffers.entries()) {
      if (best?.growth === 0) break;
      if (refused.has(b)) continue;
      const offset = firstFit(i, size, members, lifetimes, places);
      const growth = Math.max(0, offset + size - bytes);
      if (bytes + growth > maxBufferSize) continue;
      if (!best || growth < best.growth) best = { buffer: b, offset, growth };
    }
    if (!best) best = { buffer: buffers.push({ bytes: 0, used: 0, members: [] }) - 1, offset: 0, growth: size };
    const { buffer, offset, growth } = best;
    places[i] = { buffer, offset };
    buffers[buffer].bytes += growth;
    buffers[buffer].used = Math.max(buffers[buffer].used, offset + size);
    insert(buffers[buffer].members, i, places);
  }
  return { places, buffers: buffers.map(({ used }) => used) };
}

/** The lowest offset at which `size` bytes are free during the i-th lifetime; `members` are sorted by offset. */
function firstFit(
  i: number,
  size: number,
  members: readonly number[],
  lifetimes: readonly Lifetime[],
  places: readonly { offset: number }[],
): number {
  const { first, last } = lifetimes[i];
  let offset = 0;
  for (const other of members) {
    const taken = lifetimes[other];
    if (taken.last < first || taken.first > last) continue;
    if (places[other].offset >= offset + size) break;
    offset = Math.max(offset, places[other].offset + align(taken.bytes));
  }
  return offset;
}

function insert(members: number[], i: number, places: readonly { offset: number }[]): void {
  let [low, high] = [0, members.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[members[middle]].offset <= places[i].offset) low = middle + 1;
    else high = middle;
  }
  members.splice(low, 0, i);
}

function mostAtOnce(lifetimes: readonly Lifetime[]): number {
  const changes = new Map<number, number>();
  const change = (at: number, bytes: number) => changes.set(at, (changes.get(at) ?? 0) + bytes);
  for (const { bytes, first, last } of lifetimes) {
    change(first, align(bytes));
    change(last + 1, -align(bytes));
  }
  let [now, most] = [0, 0];
  for (const [, bytes] of [...changes].sort(([a], [b]) => a - b)) {
    now += bytes;
    most = Math.max(most, now);
  }
  return most;
}
