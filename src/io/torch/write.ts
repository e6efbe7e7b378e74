/**
 * Files that torch.load opens, also with weights_only=True: the zip of PyTorch 1.6 and later, with a pickle of protocol
 * 2 and one entry a storage. Tensors are written as they are read, piece by piece.
 */
import { byteCount, elementCount, type StoredTensor } from '../storedTensor.ts';
import { rowMajor } from '../strided.ts';
import { streamZip } from '../zipStream.ts';
import { storageName } from './tensors.ts';

/** What a file can hold: dicts (in PyTorch's order), lists, and tensors. */
export type TorchValue =
  | null
  | boolean
  | number
  | string
  | StoredTensor
  | readonly TorchValue[]
  | ReadonlyMap<string, TorchValue>;

/** The pieces of a .pt file of this value. Tensors of the same identity share a storage. */
export async function* streamTorch(value: TorchValue): AsyncGenerator<Uint8Array> {
  const writer = new PickleWriter();
  const pickle = writer.write(value);
  const text = (name: string, bytes: Uint8Array) => ({
    name: `archive/${name}`,
    size: bytes.length,
    chunks: () => [bytes],
  });
  yield* streamZip([
    text('data.pkl', pickle),
    ...[...writer.storages.values()].map(({ key, tensor }) => ({
      name: `archive/data/${key}`,
      size: byteCount(tensor),
      chunks: () => tensor.chunks(),
    })),
    text('version', new TextEncoder().encode('3\n')),
  ]);
}

class PickleWriter {
  /** The tensors whose elements are storages, by identity, in the order of their keys. */
  readonly storages = new Map<string, { readonly key: number; readonly tensor: StoredTensor }>();
  private bytes = new Uint8Array(1 << 16);
  private length = 0;

  write(value: TorchValue): Uint8Array {
    this.op(0x80, 2); // PROTO
    this.value(value);
    this.op(0x2e); // STOP
    return this.bytes.subarray(0, this.length);
  }

  private value(value: TorchValue): void {
    if (value === null) this.op(0x4e);
    else if (value === true) this.op(0x88);
    else if (value === false) this.op(0x89);
    else if (typeof value === 'number') this.number(value);
    else if (typeof value === 'string') this.text(value);
    else if (value instanceof Map) this.dict(value);
    else if (Array.isArray(value)) this.list(value);
    else this.tensor(value as StoredTensor);
  }

  private number(value: number): void {
    const view = new DataView(new ArrayBuffer(8));
    if (Number.isInteger(value) && Math.abs(value) < 2 ** 31 && !Object.is(value, -0)) {
      view.setInt32(0, value, true);
      this.op(0x4a, ...new Uint8Array(view.buffer, 0, 4)); // BININT
    } else if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      view.setBigInt64(0, BigInt(value), true);
      this.op(0x8a, 8, ...new Uint8Array(view.buffer)); // LONG1
    } else {
      view.setFloat64(0, value, false);
      this.op(0x47, ...new Uint8Array(view.buffer)); // BINFLOAT
    }
  }

  private text(value: string): void {
    const text = new TextEncoder().encode(value);
    this.op(0x58, ...little(text.length)); // BINUNICODE
    this.append(text);
  }

  /** An OrderedDict, as state dicts are: every version of PyTorch loads it. */
  private dict(items: ReadonlyMap<string, TorchValue>): void {
    this.global('collections', 'OrderedDict');
    this.op(0x29, 0x52, 0x28); // EMPTY_TUPLE REDUCE MARK
    for (const [key, item] of items) {
      this.text(key);
      this.value(item);
    }
    this.op(0x75); // SETITEMS
  }

  private list(items: readonly TorchValue[]): void {
    this.op(0x5d, 0x28); // EMPTY_LIST MARK
    for (const item of items) this.value(item);
    this.op(0x65); // APPENDS
  }

  /** _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks) */
  private tensor(tensor: StoredTensor): void {
    const { dtype, shape, identity } = tensor;
    const known = this.storages.get(identity);
    const key = known?.key ?? this.storages.size;
    if (!known) this.storages.set(identity, { key, tensor });
    this.global('torch._utils', '_rebuild_tensor_v2');
    this.op(0x28, 0x28); // MARK MARK
    this.text('storage');
    this.global('torch', storageName(dtype));
    this.text(`${key}`);
    this.text('cpu');
    this.number(elementCount(shape));
    this.op(0x74, 0x51); // TUPLE BINPERSID
    this.number(0);
    this.tuple(shape);
    this.tuple(rowMajor(shape));
    this.op(0x89); // NEWFALSE
    this.global('collections', 'OrderedDict');
    this.op(0x29, 0x52, 0x74, 0x52); // EMPTY_TUPLE REDUCE TUPLE REDUCE
  }

  private tuple(numbers: readonly number[]): void {
    this.op(0x28); // MARK
    for (const value of numbers) this.number(value);
    this.op(0x74); // TUPLE
  }

  private global(module: string, name: string): void {
    this.op(0x63); // GLOBAL
    this.append(new TextEncoder().encode(`${module}\n${name}\n`));
  }

  private op(...codes: number[]): void {
    this.append(codes);
  }

  private append(bytes: ArrayLike<number>): void {
    if (this.length + bytes.length > this.bytes.length) {
      const larger = new Uint8Array(2 * (this.length + bytes.length));
      larger.set(this.bytes);
      this.bytes = larger;
    }
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }
}

function little(value: number): number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >>> 24) & 255];
}
