/** Safetensors files larger than memory: read by the header, the tensors as places in the file; written piece by piece. */
import type { RandomAccess } from './folder.ts';
import { checkedEntries, headOf, metadataKey, metadataOf, parseHeader } from './safetensors.ts';
import { byteCount, filePieces, type StoredTensor } from './storedTensor.ts';

/**
 * The tensors and texts of a safetensors file.
 * @throws UserError for anything that is not a whole and valid file
 */
export async function openSafetensors(
  file: RandomAccess,
  { name }: { name: string },
): Promise<{ tensors: Map<string, StoredTensor>; metadata: Record<string, string> }> {
  const start = await file.read(0, 8);
  const length = start.length === 8 ? Number(new DataView(start.buffer, start.byteOffset).getBigUint64(0, true)) : 0;
  // A length that no header has is refused by parseHeader.
  const { header, dataStart } = parseHeader(length > 1e8 ? start : await file.read(0, 8 + length), name);
  const tensors = new Map<string, StoredTensor>();
  for (const { key, dtype, shape, begin, end } of checkedEntries(header, file.size - dataStart, name)) {
    const chunks = () => filePieces(file, dataStart + begin, end - begin);
    tensors.set(key, { dtype, shape, identity: `${name} ${begin} ${end}`, chunks });
  }
  return { tensors, metadata: metadataOf(header, name) };
}

/** The pieces of a safetensors file of these tensors, in the map's order. */
export async function* streamSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array> {
  // Joined as text: an object would put names that look like numbers first.
  const fields = [`${JSON.stringify(metadataKey)}:${JSON.stringify(metadata)}`];
  let offset = 0;
  for (const [key, tensor] of tensors) {
    const end = offset + byteCount(tensor);
    const entry = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, end] };
    fields.push(`${JSON.stringify(key)}:${JSON.stringify(entry)}`);
    offset = end;
  }
  yield headOf(fields);
  for (const tensor of tensors.values()) yield* tensor.chunks();
}
