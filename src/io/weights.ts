import { readWeights } from '#weights';
import { UserError } from './errors.ts';
import { readSafetensors } from './safetensors.ts';

/** The tensors of a file of the package's folder weights/, by key. */
export async function shippedWeights(
  name: string,
): Promise<Map<string, { readonly shape: readonly number[]; readonly data: ArrayLike<number> }>> {
  const file = `weights/${name}.safetensors`;
  const bytes = await readWeights(`${name}.safetensors`);
  if (!bytes) throw new UserError(`${file} is not there; weights/README.md says how it is made`);
  const result = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>();
  for (const [key, tensor] of readSafetensors(bytes, { name: file })) {
    result.set(key, { shape: tensor.shape, data: tensor.data() as ArrayLike<number> });
  }
  return result;
}
