/** Views of memory by strides, as PyTorch and NumPy save them, in row-major order. */
import { UserError } from './errors.ts';
import type { RandomAccess } from './folder.ts';
import { BYTES_PER_ELEMENT, type ElementType, elementCount, filePieces } from './storedTensor.ts';

/** Which elements of a storage a tensor has, in elements. */
export interface Strided {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** The strides of a tensor that lies in row-major order. */
export function rowMajor(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

/**
 * Throws a UserError unless every element lies in a storage of `count`, and no two lie in the same place: else a file
 * of some bytes could hold a tensor of any size.
 */
export function checkStrided({ offset, shape, strides }: Strided, count: number): void {
  if (shape.length !== strides.length || shape.length > 64) {
    throw new UserError(`holds a tensor of ${shape.length} axes with ${strides.length} strides: that is no tensor`);
  }
  const text = `a tensor of shape [${shape}] with strides [${strides}] from element ${offset} on`;
  if (shape.includes(0)) return;
  const axes = shape.map((size, i) => ({ size, stride: strides[i] })).filter(({ size }) => size > 1);
  const last = axes.reduce((end, { size, stride }) => end + (size - 1) * stride, offset);
  if (!(last < count)) throw new UserError(`holds ${text}, but its storage has only ${count} elements`);
  axes.sort((a, b) => a.stride - b.stride);
  let reach = 0;
  for (const { size, stride } of axes) {
    if (stride <= reach) throw new UserError(`holds ${text}, whose elements overlap: save a .clone() of it`);
    reach += (size - 1) * stride;
  }
}

/** Bytes of a storage that are held at once to put a strided tensor in order. */
const AT_ONCE = 1 << 28;

/** The elements in row-major order, in pieces. */
export async function* stridedPieces(
  file: RandomAccess,
  dtype: ElementType,
  view: Strided,
  { atOnce = AT_ONCE }: { atOnce?: number } = {},
): AsyncGenerator<Uint8Array> {
  const bytes = BYTES_PER_ELEMENT[dtype];
  const { offset, shape, strides } = view;
  const count = elementCount(shape);
  if (count === 0) return;
  const natural = rowMajor(shape);
  if (strides.every((stride, i) => stride === natural[i] || shape[i] === 1)) {
    yield* filePieces(file, offset * bytes, count * bytes);
    return;
  }
  const extent = strides.reduce((end, stride, i) => end + (shape[i] - 1) * stride, 1);
  if (extent * bytes > atOnce) {
    // Too much to have in memory at once: one entry of the first axis after the other, of the last as many as may be.
    const [size, ...inner] = shape;
    const step = inner.length > 0 ? 1 : Math.max(1, Math.floor(atOnce / (strides[0] * bytes)));
    for (let i = 0; i < size; i += step) {
      const own = inner.length > 0 ? inner : [Math.min(step, size - i)];
      const part = { offset: offset + i * strides[0], shape: own, strides: strides.slice(-own.length) };
      yield* stridedPieces(file, dtype, part, { atOnce });
    }
    return;
  }
  yield gather(await file.read(offset * bytes, extent * bytes), bytes, shape, strides);
}

function gather(source: Uint8Array, width: number, shape: readonly number[], strides: readonly number[]): Uint8Array {
  const result = new Uint8Array(elementCount(shape) * width);
  const at = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let to = 0; to < result.length; to += width) {
    for (let k = 0; k < width; k++) result[to + k] = source[from * width + k];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++at[axis] < shape[axis]) break;
      from -= shape[axis] * strides[axis];
      at[axis] = 0;
    }
  }
  return result;
}
