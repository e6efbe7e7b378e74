/** PyTorch's storages and tensors as they lie in a file. */
import { UserError } from '../errors.ts';
import type { RandomAccess } from '../folder.ts';
import { Buildable, Callable } from '../pickle/values.ts';
import { BYTES_PER_ELEMENT, type ElementType, isCount, isCounts, type StoredTensor } from '../storedTensor.ts';
import { checkStrided, type Strided, stridedPieces } from '../strided.ts';

/** The element types of PyTorch's storages, by the name before 'Storage'. */
const STORAGES: Readonly<Record<string, ElementType>> = {
  ...{ Double: 'F64', Float: 'F32', Half: 'F16', BFloat16: 'BF16' },
  ...{ Long: 'I64', Int: 'I32', Short: 'I16', Char: 'I8', Byte: 'U8', Bool: 'BOOL' },
};

/** The name of PyTorch's storage of these elements, as 'FloatStorage'. @throws UserError where it has none */
export function storageName(dtype: ElementType): string {
  const name = Object.keys(STORAGES).find(key => STORAGES[key] === dtype);
  if (!name) throw new UserError(`PyTorch has no tensors of ${dtype}: leave them out`);
  return `${name}Storage`;
}

/** A class of storages, as torch.FloatStorage. */
export class StorageType extends Callable {
  constructor(
    name: string,
    readonly dtype: ElementType,
  ) {
    super(name, () => {
      throw new UserError(`makes an empty ${name}: only storages of the file are read`);
    });
  }
}

/** The class of that name, or undefined: torch.FloatStorage, torch.cuda.FloatStorage and so on. */
export function storageType(name: string): StorageType | undefined {
  const [, short] = /^torch\.(?:cuda\.)?(\w+)Storage$/.exec(name) ?? [];
  return short !== undefined && Object.hasOwn(STORAGES, short) ? new StorageType(name, STORAGES[short]) : undefined;
}

let storages = 0;

/** The elements behind one or several tensors. Where they lie may be known later than that they are. */
export class TorchStorage {
  private readonly number = storages++;
  /** Where the elements lie; `check` throws where they are damaged, and is called once. */
  place: { readonly file: RandomAccess; readonly check?: () => Promise<void> } | undefined;
  private checked: Promise<void> | undefined;

  constructor(
    public dtype: ElementType,
    /** In elements. */
    public count: number,
  ) {}

  get bytes(): number {
    return this.count * BYTES_PER_ELEMENT[this.dtype];
  }

  identity(view: Strided): string {
    return `storage ${this.number} ${view.offset} [${view.shape}] [${view.strides}]`;
  }

  async *pieces(view: Strided): AsyncGenerator<Uint8Array> {
    if (!this.place) throw new Error('the place of a storage is not known yet');
    this.checked ??= this.place.check?.();
    await this.checked;
    yield* stridedPieces(this.place.file, this.dtype, view);
  }
}

/** A tensor of a file: its own storage, or a view of one that it shares. */
export class TorchTensor extends Buildable implements StoredTensor {
  constructor(
    readonly storage: TorchStorage,
    private readonly view: Strided,
  ) {
    super();
  }

  get dtype(): ElementType {
    return this.storage.dtype;
  }

  get shape(): readonly number[] {
    return this.view.shape;
  }

  get identity(): string {
    return this.storage.identity(this.view);
  }

  chunks(): AsyncIterable<Uint8Array> {
    return this.storage.pieces(this.view);
  }

  /** @throws UserError where it does not lie in its storage, or overlaps itself */
  check(): void {
    checkStrided(this.view, this.storage.count);
  }

  /** Attributes that someone gave a tensor. */
  setState(): void {}
}

/** torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, …) */
export function rebuildTensor([storage, offset, shape, strides]: readonly unknown[]): TorchTensor {
  if (!(storage instanceof TorchStorage) || !isCount(offset) || !isCounts(shape) || !isCounts(strides)) {
    throw new UserError('holds a tensor that is none: its storage, offset, shape or strides are of another kind');
  }
  return new TorchTensor(storage, { offset, shape, strides });
}
