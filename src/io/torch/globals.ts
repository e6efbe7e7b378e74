/**
 * The classes and functions that files of weights name, and the data that each stands for. What is not here is refused.
 */
import { UserError } from '../errors.ts';
import type { RandomAccess } from '../folder.ts';
import { numpyGlobals } from '../numpy.ts';
import { Callable, type Globals, Instance, isDict, shown } from '../pickle/values.ts';
import { FileRange, MemoryFile } from '../ranges.ts';
import { rebuildTensor, storageType, TorchStorage, type TorchTensor } from './tensors.ts';

/** An object of NVlabs' torch_utils.persistence: a module with its attributes. Its source text is not looked at. */
export class PersistentObject {
  constructor(
    /** As 'Generator'. */
    readonly className: string,
    readonly state: ReadonlyMap<string, unknown>,
  ) {}
}

/** What a file of the legacy format within the pickle holds, once it has been read. */
export interface Embedded {
  readonly file: RandomAccess;
  readonly storage: TorchStorage;
}

type Call = (args: readonly unknown[]) => unknown;

const first: Call = ([value]) => value;

const CALLS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ['collections.OrderedDict', ([items]) => pairs(items)],
  ['collections.defaultdict', () => new Map()],
  ['argparse.Namespace', () => new Instance('argparse.Namespace')],
  ['types.SimpleNamespace', () => new Instance('types.SimpleNamespace')],
  ['dnnlib.util.EasyDict', ([items]) => pairs(items)],
  ['dnnlib.EasyDict', ([items]) => pairs(items)],
  ...['pathlib.PosixPath', 'pathlib.WindowsPath', 'pathlib.PurePosixPath', 'pathlib.PureWindowsPath'].map(
    name => [name, (args: readonly unknown[]) => texts(args).join('/')] as const,
  ),
  ['_codecs.encode', ([text, encoding]) => encoded(text, encoding)],
  ...['builtins', '__builtin__'].flatMap(module => [
    [`${module}.set`, ([items]: readonly unknown[]) => new Set(list(items))] as const,
    [`${module}.frozenset`, ([items]: readonly unknown[]) => new Set(list(items))] as const,
    [`${module}.list`, ([items]: readonly unknown[]) => [...list(items)]] as const,
    [`${module}.tuple`, ([items]: readonly unknown[]) => [...list(items)]] as const,
    [`${module}.dict`, ([items]: readonly unknown[]) => pairs(items)] as const,
    [`${module}.object`, () => new Instance('object')] as const,
    [`${module}.bytearray`, ([data]: readonly unknown[]) => data ?? new Uint8Array()] as const,
    [`${module}.bytes`, ([data]: readonly unknown[]) => data ?? new Uint8Array()] as const,
  ]),
  ...['copyreg', 'copy_reg'].map(
    module => [`${module}._reconstructor`, ([type]: readonly unknown[]) => reconstructed(type)] as const,
  ),
  ['torch._utils._rebuild_parameter', first],
  ['torch._utils._rebuild_parameter_with_state', first],
  ['torch._tensor._rebuild_from_type_v2', ([rebuild, , args]) => rebuilt(rebuild, args)],
  ['torch.nn.parameter.Parameter', first],
  ['torch.Size', ([items]) => [...list(items)]],
  ['torch.device', args => texts(args).join(':')],
  ['torch.serialization._get_layout', ([name]) => shown(name)],
  ['torch_utils.persistence._reconstruct_persistent_obj', ([meta]) => persistent(meta)],
  ...numpyGlobals,
]);

/** Types of elements, which stand in the attributes of some modules. */
const DTYPES = /^torch\.(float(16|32|64)|bfloat16|half|double|u?int(8|16|32|64)|long|bool|strided)$/;

/**
 * The table for a file: `tensor` is told of every tensor that is made, `embedded` of every file of the legacy format
 * that the pickle carries.
 */
export function torchGlobals({
  tensor,
  embedded,
}: {
  readonly tensor: (made: TorchTensor) => void;
  readonly embedded: (made: Embedded) => void;
}): Globals {
  const made = (args: readonly unknown[]) => {
    const result = rebuildTensor(args);
    tensor(result);
    return result;
  };
  // A file that is loaded again is the storage that it was: the work is not more than the file is long.
  const loaded = new Map<unknown, TorchStorage>();
  const load: Call = ([data]) => {
    const known = loaded.get(data);
    if (known) return known;
    const file = data instanceof Uint8Array ? new MemoryFile(data) : data;
    if (!(file instanceof FileRange || file instanceof MemoryFile))
      throw new UserError('holds a storage without bytes');
    const storage = new TorchStorage('F32', 0);
    loaded.set(data, storage);
    embedded({ file, storage });
    return storage;
  };
  const own = new Map<string, Call>([
    ['torch._utils._rebuild_tensor', made],
    ['torch._utils._rebuild_tensor_v2', made],
    ['torch.storage._load_from_bytes', load],
  ]);
  return name => {
    const call = own.get(name) ?? CALLS.get(name);
    if (call) return new Callable(name, call);
    if (DTYPES.test(name)) return new Callable(name, () => name);
    // Modules of PyTorch itself are attributes and parameters; those of others may be anything.
    if (/^torch\.nn\.modules\.\w+\.\w+$/.test(name)) return new Callable(name, () => new Instance(name));
    if (name.startsWith('dnnlib.tflib.')) throw new UserError(TENSORFLOW);
    return storageType(name);
  };
}

const TENSORFLOW =
  'is a pickle of the TensorFlow version of StyleGAN2: convert it with legacy.py of stylegan2-ada-pytorch first';

/** The arguments of a path or device, of which nothing is needed but to be read again by a person. */
const texts = (args: readonly unknown[]) => args.slice(0, 64).map(shown);

function list(items: unknown): readonly unknown[] {
  if (items === undefined) return [];
  if (items instanceof Set) return [...items];
  if (!Array.isArray(items)) throw new UserError('makes a collection of what is no list');
  return items;
}

function pairs(items: unknown): Map<unknown, unknown> {
  if (items instanceof Map) return new Map(items);
  return new Map(
    list(items).map(item => {
      if (!Array.isArray(item) || item.length !== 2) throw new UserError('makes a dict of what are no pairs');
      return [item[0], item[1]];
    }),
  );
}

/** How Python 3 writes bytes for protocols that have none. */
function encoded(text: unknown, encoding: unknown): Uint8Array {
  if (typeof text !== 'string' || !/^latin-?1$/i.test(shown(encoding))) {
    throw new UserError(`encodes a text as ${shown(encoding)}: only bytes as latin1 are read`);
  }
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function reconstructed(type: unknown): unknown {
  if (!(type instanceof Callable)) throw new UserError('calls what cannot be called');
  return type.call([]);
}

/** A tensor of a class of its own, by the function that makes tensors of that kind. */
function rebuilt(rebuild: unknown, args: unknown): unknown {
  if (!(rebuild instanceof Callable && rebuild.name.startsWith('torch._utils.')) || !Array.isArray(args)) {
    throw new UserError('rebuilds a tensor by what makes none');
  }
  return rebuild.call(args);
}

function persistent(meta: unknown): PersistentObject {
  if (!isDict(meta) || typeof meta.get('class_name') !== 'string' || !isDict(meta.get('state'))) {
    throw new UserError('holds an object of torch_utils.persistence that is none: class_name or state is missing');
  }
  return new PersistentObject(meta.get('class_name') as string, meta.get('state') as Map<string, unknown>);
}
