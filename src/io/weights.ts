import { readWeights } from '#weights';
import { UserError } from './errors.ts';
import { readSafetensors } from './safetensors.ts';

type Tensors = Map<string, { readonly shape: readonly number[]; readonly data: ArrayLike<number> }>;

/** The tensors of a file of the package's folder weights/, by key. */
export async function shippedWeights(name: string): Promise<Tensors> {
  const file = `weights/${name}.safetensors`;
  const bytes = await readWeights(`${name}.safetensors`);
  if (!bytes) throw new UserError(`${file} is not there; weights/README.md says how it is made`);
  return stateDictOf(bytes, file);
}

/** The tensors of a safetensors file, by key. @throws UserError as readSafetensors, with `source` as the place */
export function stateDictOf(bytes: Uint8Array, source: string): Tensors {
  const result: Tensors = new Map();
  for (const [key, tensor] of readSafetensors(bytes, { name: source })) {
    result.set(key, { shape: tensor.shape, data: tensor.data() as ArrayLike<number> });
  }
  return result;
}
