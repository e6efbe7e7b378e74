import fillSource from '../../../shaders/fill.wgsl';
import copySource from '../../../shaders/strided_copy.wgsl';
import { type Device, floatBits, grid } from '../device.ts';
import { type Shape, sizeOf } from '../shape.ts';
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
  if (merged.shape.length > 8) throw new Error('strided copies take at most 8 axes after merging');
  const { device } = source;
  const kernel = device.kernel(COPY, { constants: { RANK: merged.shape.length } });
  const words = [size, from.start, to.start, 0, ...pad(merged.shape), ...pad(merged.from), ...pad(merged.to)];
  device.dispatch(kernel, [source, target], words, grid(size, WORKGROUP));
}

function pad(values: readonly number[]): number[] {
  return Array.from({ length: 8 }, (_, i) => values[i] ?? 0);
}

/** Neighbouring axes as one wherever both walks allow it. */
function merge(shape: Shape, from: readonly number[], to: readonly number[]) {
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
