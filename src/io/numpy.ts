/** NumPy's arrays: .npy files (numpy.lib.format), and the pieces of pickles that hold arrays. */
import { UserError } from './errors.ts';
import type { RandomAccess } from './folder.ts';
import { Buildable, Callable, shown } from './pickle/values.ts';
import { FileRange, MemoryFile } from './ranges.ts';
import { BYTES_PER_ELEMENT, type ElementType, elementCount, isCounts, type StoredTensor } from './storedTensor.ts';
import { rowMajor, type Strided, stridedPieces } from './strided.ts';

const TYPES: Readonly<Record<string, ElementType>> = {
  ...{ f8: 'F64', f4: 'F32', f2: 'F16', i8: 'I64', i4: 'I32', i2: 'I16', i1: 'I8' },
  ...{ u4: 'U32', u1: 'U8', b1: 'BOOL' },
};

/** numpy.dtype('f4'), whose byte order comes with its state. */
class NumpyType extends Buildable {
  private order = '=';

  constructor(private readonly code: string) {
    super();
  }

  setState(state: unknown): void {
    if (Array.isArray(state) && typeof state[1] === 'string') this.order = shown(state[1]);
  }

  /** @throws UserError for elements that are no little-endian numbers */
  get elements(): ElementType {
    return elementsOf(this.order + this.code);
  }
}

function elementsOf(descriptor: string): ElementType {
  const [, order, code] = /^([<>=|]?)(\w+)$/.exec(descriptor) ?? [];
  const dtype = code !== undefined && Object.hasOwn(TYPES, code) ? TYPES[code] : undefined;
  if (!dtype) throw new UserError(`holds a NumPy array of type '${descriptor}': arrays of numbers are read`);
  if (order === '>') throw new UserError(`holds a big-endian NumPy array: save it as little-endian`);
  return dtype;
}

/** An array of a file. */
export class NumpyArray extends Buildable implements StoredTensor {
  dtype: ElementType = 'F32';
  private view: Strided = { offset: 0, shape: [0], strides: [1] };
  private file: RandomAccess = new MemoryFile(new Uint8Array());
  readonly identity = `array ${arrays++}`;

  get shape(): readonly number[] {
    return this.view.shape;
  }

  chunks(): AsyncIterable<Uint8Array> {
    return stridedPieces(this.file, this.dtype, this.view);
  }

  /** (version, shape, dtype, is_fortran, data), as ndarray.__reduce__ has it. */
  setState(state: unknown): void {
    const [, shape, type, fortran, data] = Array.isArray(state) ? state : [];
    if (!(type instanceof NumpyType)) throw new UserError('holds a NumPy array that is none: its type is missing');
    this.set(type.elements, shape, fortran === true, asFile(data));
  }

  /** @throws UserError where the data is not as long as the shape says */
  set(dtype: ElementType, shape: unknown, fortran: boolean, file: RandomAccess): this {
    if (!isCounts(shape) || shape.length > 64)
      throw new UserError('holds a NumPy array that is none: its shape is no list of up to 64 sizes');
    const wanted = elementCount(shape) * BYTES_PER_ELEMENT[dtype];
    if (file.size !== wanted) {
      throw new UserError(`holds a NumPy array of shape [${shape}] in ${file.size} bytes: ${wanted} are wanted`);
    }
    const strides = fortran ? rowMajor([...shape].reverse()).reverse() : rowMajor(shape);
    this.dtype = dtype;
    this.view = { offset: 0, shape, strides };
    this.file = file;
    return this;
  }
}

let arrays = 0;

function asFile(data: unknown): RandomAccess {
  if (data instanceof FileRange) return data;
  if (data instanceof Uint8Array) return new MemoryFile(data);
  if (typeof data === 'string') return textFile(data);
  throw new UserError('holds a NumPy array whose data is no bytes: arrays of numbers are read');
}

/** Python 2's bytes, which are texts; they are copied when they are read, however many arrays are made of them. */
function textFile(text: string): RandomAccess {
  return {
    size: text.length,
    async read(offset, length) {
      const count = Math.max(0, Math.min(length, text.length - offset));
      return Uint8Array.from({ length: count }, (_, i) => text.charCodeAt(offset + i));
    },
  };
}

type Call = (args: readonly unknown[]) => unknown;

/** The functions and classes of NumPy that arrays are pickled with. */
export const numpyGlobals: ReadonlyMap<string, Call> = new Map<string, Call>([
  ['numpy.ndarray', () => new NumpyArray()],
  ['numpy.dtype', ([code]) => new NumpyType(code instanceof Callable ? code.name : shown(code))],
  ...['numpy.core', 'numpy._core'].flatMap((core): [string, Call][] => [
    [`${core}.multiarray._reconstruct`, () => new NumpyArray()],
    [`${core}.multiarray.scalar`, ([type, data]) => scalar(type, data)],
    [`${core}.numeric._frombuffer`, ([data, type, shape, order]) => fromBuffer(data, type, shape, order)],
  ]),
]);

function fromBuffer(data: unknown, type: unknown, shape: unknown, order: unknown): NumpyArray {
  if (!(type instanceof NumpyType)) throw new UserError('holds a NumPy array that is none: its type is missing');
  return new NumpyArray().set(type.elements, shape, order === 'F', asFile(data));
}

/** A number of NumPy's, as an array without axes; nothing that is read needs its value. */
function scalar(type: unknown, data: unknown): unknown {
  if (!(type instanceof NumpyType)) throw new UserError('holds a NumPy number that is none: its type is missing');
  return new NumpyArray().set(type.elements, [], false, asFile(data));
}

const MAX_HEADER = 65536;

/** Whether bytes from a file's start are a .npy file's. */
export function isNpy(head: Uint8Array): boolean {
  return head[0] === 0x93 && String.fromCharCode(...head.subarray(1, 6)) === 'NUMPY';
}

/**
 * The array of a .npy file.
 * @throws UserError for what is no whole file of numbers; an array of objects, which is a pickle, is refused
 */
export async function openNpy(file: RandomAccess, name: string): Promise<NumpyArray> {
  const head = await file.read(0, 12);
  if (head.length < 12 || !isNpy(head)) throw new UserError(`${name} is no .npy file`);
  const view = new DataView(head.buffer, head.byteOffset);
  const [length, start] = head[6] === 1 ? [view.getUint16(8, true), 10] : [view.getUint32(8, true), 12];
  if (length > MAX_HEADER) throw new UserError(`${name} is no .npy file: a header of ${length} bytes`);
  const text = String.fromCharCode(...(await file.read(start, length)));
  const [, descriptor] = /'descr': '([^']*)'/.exec(text) ?? [];
  const [, fortran] = /'fortran_order': (True|False)/.exec(text) ?? [];
  const [, shape] = /'shape': \(([\d, ]*)\)/.exec(text) ?? [];
  if (descriptor === undefined || fortran === undefined || shape === undefined) {
    throw new UserError(`${name} is no .npy file of numbers: its header is not understood`);
  }
  const sizes = shape
    .split(',')
    .filter(size => size.trim() !== '')
    .map(Number);
  try {
    const rest = new FileRange(file, start + length, Math.max(0, file.size - start - length));
    return new NumpyArray().set(elementsOf(descriptor), sizes, fortran === 'True', rest);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${name} ${error.message}`) : error;
  }
}
