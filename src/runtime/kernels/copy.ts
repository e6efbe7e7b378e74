import fillSource from '../../../shaders/fill.wgsl';
import copySource from '../../../shaders/strided_copy.wgsl';
import { type Device, floatBits, grid } from '../device.ts';
import { take } from '../parts.ts';
import { type Shape, sizeOf, stridesOf } from '../shape.ts';
import type { DType, Tensor } from '../tensor.ts';

const FILL = { name: 'fill', source: fillSource };
const COPY = { name: 'strided_copy', source: copySource };
const WORKGROUP = 64;

/** A tensor whose elements are all `value`. */
export function full(device: Device, shape: Shape, value: number, dtype: DType = 'f32', name = ''): Tensor {
  const tensor = device.empty(shape, dtype, name);
  fill(tensor, value);
  return tensor;
}

/** Sets every element of a tensor. */
export function fill(tensor: Tensor, value: number): void {
  const { device } = tensor;
  const bits = tensor.dtype === 'f32' ? floatBits(value) : value;
  for (const part of tensor.parts ?? [tensor]) {
    device.dispatch(device.kernel(FILL), [part], [part.size, bits], grid(part.size, WORKGROUP));
  }
}

/** A walk through a tensor's elements: where it starts and how far each axis of the common shape steps. */
export interface Walk {
  readonly start: number;
  readonly strides: readonly number[];
}

/** target[at the target's walk] = source[at the source's walk], for every index of `shape`. At most 8 axes. */
export function stridedCopy(source: Tensor, from: Walk, target: Tensor, to: Walk, shape: Shape): void {
  const size = sizeOf(shape);
  if (size === 0) return;
  const merged = merge(shape, from.strides, to.strides);
  if (source.parts || target.parts) {
    copyInParts(source, from.start, target, to.start, merged);
    return;
  }
  if (merged.shape.length > 8) throw new Error('strided copies take at most 8 axes after merging');
  const { device } = source;
  const kernel = device.kernel(COPY, { constants: { RANK: merged.shape.length } });
  const words = [size, from.start, to.start, 0, ...pad(merged.shape), ...pad(merged.from), ...pad(merged.to)];
  device.dispatch(kernel, [source, target], words, grid(size, WORKGROUP));
}

/** Entries `from` to `to` (exclusive) of one axis; without a copy where that can be. */
export function narrow(x: Tensor, axis: number, from: number, to: number): Tensor {
  const strides = stridesOf(x.shape);
  const shape = x.shape.map((n, i) => (i === axis ? to - from : n));
  const start = from * strides[axis];
  if (x.shape.slice(0, axis).every(n => n === 1)) return take(x, start, shape);
  const y = x.device.empty(shape, x.dtype);
  stridedCopy(x, { start, strides }, y, { start: 0, strides: stridesOf(shape) }, shape);
  return y;
}

function pad(values: readonly number[]): number[] {
  return Array.from({ length: 8 }, (_, i) => values[i] ?? 0);
}

/** An index space with the strides that source and target have in it. */
interface Pattern {
  readonly shape: number[];
  readonly from: number[];
  readonly to: number[];
}

/** Neighbouring axes as one wherever both walks allow it. */
function merge(shape: Shape, from: readonly number[], to: readonly number[]): Pattern {
  const result = { shape: [] as number[], from: [] as number[], to: [] as number[] };
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] === 1) continue;
    const top = result.shape.length - 1;
    const joins =
      top >= 0 && result.from[top] === from[axis] * shape[axis] && result.to[top] === to[axis] * shape[axis];
    if (joins) {
      result.shape[top] *= shape[axis];
      result.from[top] = from[axis];
      result.to[top] = to[axis];
    } else {
      result.shape.push(shape[axis]);
      result.from.push(from[axis]);
      result.to.push(to[axis]);
    }
  }
  return result.shape.length > 0 ? result : { shape: [1], from: [0], to: [0] };
}

/** A copy of which source or target is in parts: halved until what it reads and what it writes can be bound. */
function copyInParts(source: Tensor, from: number, target: Tensor, to: number, pattern: Pattern): void {
  const { device } = source;
  const { shape } = pattern;
  if (shape.length === 1 && pattern.from[0] === 1 && pattern.to[0] === 1) {
    device.copy(source, target, { from, to, count: shape[0] });
    return;
  }
  const limit = device.bindingLimit / 4;
  const [read, write] = [span(shape, pattern.from), span(shape, pattern.to)];
  const strides = read.size > limit ? pattern.from : write.size > limit ? pattern.to : undefined;
  if (strides) {
    const reach = shape.map((n, axis) => (n - 1) * Math.abs(strides[axis]));
    const axis = reach.indexOf(Math.max(...reach));
    const half = Math.ceil(shape[axis] / 2);
    const part = (length: number): Pattern => ({ ...pattern, shape: shape.map((n, i) => (i === axis ? length : n)) });
    copyInParts(source, from, target, to, part(half));
    const [nextFrom, nextTo] = [from + half * pattern.from[axis], to + half * pattern.to[axis]];
    copyInParts(source, nextFrom, target, nextTo, part(shape[axis] - half));
    return;
  }
  device.scope('copy part', () => {
    const x = take(source, from + read.least, [read.size]);
    const reading = { start: -read.least, strides: pattern.from };
    if (!target.parts) {
      stridedCopy(x, reading, target, { start: to, strides: pattern.to }, shape);
      return;
    }
    // What lies between the elements that are written must stay, so a copy of the range is written, and put back.
    const y = device.empty([write.size], target.dtype);
    const range = { from: to + write.least, count: write.size };
    device.copy(target, y, range);
    stridedCopy(x, reading, y, { start: -write.least, strides: pattern.to }, shape);
    device.copy(y, target, { to: range.from, count: range.count });
  });
}

/** The elements that a walk meets, from its start: the least (0 or below) and the length of the range. */
function span(shape: Shape, strides: readonly number[]): { least: number; size: number } {
  const ends = shape.map((n, axis) => (n - 1) * strides[axis]);
  const least = ends.reduce((sum, end) => sum + Math.min(0, end), 0);
  return { least, size: ends.reduce((sum, end) => sum + Math.max(0, end), 0) - least + 1 };
}
