/**
 * Tensors that lie in a file: they are known by shape and type, and their values are read when they are asked for, in
 * pieces, so that a file can be larger than memory.
 */
import type { RandomAccess } from './folder.ts';
import { bfloatToFloat, halfToFloat } from './half.ts';

/** Types of elements by safetensors' names, with the bytes of one. */
export const BYTES_PER_ELEMENT = {
  ...{ F64: 8, F32: 4, F16: 2, BF16: 2 },
  ...{ I64: 8, I32: 4, I16: 2, I8: 1, U32: 4, U8: 1, BOOL: 1 },
} as const;

export type ElementType = keyof typeof BYTES_PER_ELEMENT;

export interface StoredTensor {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  /** What tells two names of the same tensor from two equal tensors: its place in the file. */
  readonly identity: string;
  /** The values in row-major order, little-endian, in pieces of whole elements. */
  chunks(): AsyncIterable<Uint8Array>;
}

/** Bytes that are read at once; a multiple of every element's size. */
export const PIECE_BYTES = 1 << 24;

/** Whole numbers from 0 on, as the sizes of a shape are. */
export function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

export function byteCount({ dtype, shape }: Pick<StoredTensor, 'dtype' | 'shape'>): number {
  return BYTES_PER_ELEMENT[dtype] * elementCount(shape);
}

/** The bytes of a file from `offset` on, in pieces. */
export async function* filePieces(file: RandomAccess, offset: number, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < length; at += PIECE_BYTES) {
    yield await file.read(offset + at, Math.min(PIECE_BYTES, length - at));
  }
}

/** A tensor of values that are in memory. */
export function tensorOf(data: Float32Array | BigInt64Array | Int32Array, shape: readonly number[]): StoredTensor {
  const dtype = data instanceof Float32Array ? 'F32' : data instanceof Int32Array ? 'I32' : 'I64';
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return {
    dtype,
    shape,
    identity: `memory ${counter++}`,
    async *chunks() {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
    },
  };
}

let counter = 0;

/** The same values in another shape of as many elements. */
export function reshaped(tensor: StoredTensor, shape: readonly number[]): StoredTensor {
  return { dtype: tensor.dtype, shape, identity: tensor.identity, chunks: () => tensor.chunks() };
}

/** f(values), element by element, as F32. */
export function mapped(tensor: StoredTensor, name: string, f: (value: number) => number): StoredTensor {
  return {
    dtype: 'F32',
    shape: tensor.shape,
    identity: `${name} of ${tensor.identity}`,
    async *chunks() {
      for await (const chunk of tensor.chunks()) yield bytesOf(Float32Array.from(numbers(tensor.dtype, chunk), f));
    },
  };
}

/** Types that are read everywhere in this project: doubles become F32, small integers I32. */
export function widened(tensor: StoredTensor): StoredTensor {
  const { dtype, shape, identity } = tensor;
  if (dtype !== 'F64' && dtype !== 'I16' && dtype !== 'I8') return tensor;
  const convert = (values: ArrayLike<number>) =>
    dtype === 'F64' ? Float32Array.from(values) : Int32Array.from(values);
  return {
    dtype: dtype === 'F64' ? 'F32' : 'I32',
    shape,
    identity,
    async *chunks() {
      for await (const chunk of tensor.chunks()) yield bytesOf(convert(numbers(dtype, chunk)));
    },
  };
}

/** All values as numbers in memory; 64-bit integers too, beyond 2⁵³ rounded. */
export async function readValues(tensor: StoredTensor): Promise<Float32Array> {
  const values = new Float32Array(elementCount(tensor.shape));
  let filled = 0;
  for await (const chunk of tensor.chunks()) {
    const part = numbers(tensor.dtype, chunk);
    values.set(part, filled);
    filled += part.length;
  }
  return values;
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The elements in these bytes, as numbers. */
function numbers(dtype: ElementType, bytes: Uint8Array): ArrayLike<number> {
  const values = typed(dtype, bytes);
  return values instanceof BigInt64Array ? Float64Array.from(values, Number) : values;
}

/** The elements in these bytes: F16 and BF16 as Float32Array, BOOL as bytes. A view of them where that can be. */
export function typed(dtype: ElementType, bytes: Uint8Array) {
  // A typed array begins at a multiple of its element's size.
  const { buffer, byteOffset } = bytes.byteOffset % BYTES_PER_ELEMENT[dtype] === 0 ? bytes : bytes.slice();
  const length = bytes.length / BYTES_PER_ELEMENT[dtype];
  switch (dtype) {
    case 'F64':
      return new Float64Array(buffer, byteOffset, length);
    case 'F32':
      return new Float32Array(buffer, byteOffset, length);
    case 'F16':
      return halfToFloat(new Uint16Array(buffer, byteOffset, length));
    case 'BF16':
      return bfloatToFloat(new Uint16Array(buffer, byteOffset, length));
    case 'I64':
      return new BigInt64Array(buffer, byteOffset, length);
    case 'I32':
      return new Int32Array(buffer, byteOffset, length);
    case 'U32':
      return new Uint32Array(buffer, byteOffset, length);
    case 'I16':
      return new Int16Array(buffer, byteOffset, length);
    case 'I8':
      return new Int8Array(buffer, byteOffset, length);
    default:
      return new Uint8Array(buffer, byteOffset, length);
  }
}
