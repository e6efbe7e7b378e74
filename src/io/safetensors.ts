/**
 * Tensors in a file: the safetensors format (https://github.com/huggingface/safetensors, "Format").
 *
 *     u64 n, little-endian | n bytes of JSON, padded with spaces to a multiple of 8 | the tensors' bytes
 *     JSON: { "__metadata__": { key: text }, name: { "dtype", "shape", "data_offsets": [begin, end] }, … }
 *
 * A file is not trusted: what is read has been checked against the format, and the tensors fill the data without holes
 * or overlaps, as the reference implementation demands.
 */
import { UserError } from './errors.ts';
import { floatToHalf } from './half.ts';
import { BYTES_PER_ELEMENT, byteCount, type ElementType, elementCount, isCounts, typed } from './storedTensor.ts';

export type SafetensorsData = Float32Array | Uint32Array | Int32Array | BigInt64Array | Uint8Array;

export interface SafetensorsEntry {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  /** F32, F16 and BF16 as Float32Array, the others as they are, BOOL as bytes. A view of the file where that can be. */
  data(): ReturnType<typeof typed>;
}

/** A tensor to be written; its type follows from the array's: F32, U32, I32, I64 or U8. */
export interface SafetensorsSource {
  readonly shape: readonly number[];
  readonly data: SafetensorsData;
}

export const metadataKey = '__metadata__';
/** The reference implementation's limit. */
const maxHeaderBytes = 100_000_000;

/**
 * Reads a safetensors file; the tensors come in the order of their data.
 * @param options.name the file's name, for messages
 * @throws UserError for anything that is not a whole and valid file
 */
export function readSafetensors(bytes: Uint8Array, options: { name: string }): Map<string, SafetensorsEntry> {
  const { header, dataStart } = parseHeader(bytes, options.name);
  const entries = checkedEntries(header, bytes.length - dataStart, options.name);
  return new Map(
    entries.map(({ key, dtype, shape, begin, end }) => {
      const data = () => typed(dtype, bytes.subarray(dataStart + begin, dataStart + end));
      return [key, { dtype, shape, data }];
    }),
  );
}

/** The texts that the file carries beside its tensors. @throws UserError as readSafetensors */
export function readSafetensorsMetadata(bytes: Uint8Array, options: { name: string }): Record<string, string> {
  return metadataOf(parseHeader(bytes, options.name).header, options.name);
}

/** The texts in a header. */
export function metadataOf(header: Record<string, unknown>, name: string): Record<string, string> {
  const metadata = header[metadataKey] ?? {};
  if (!isRecord(metadata) || Object.values(metadata).some(value => typeof value !== 'string')) {
    throw new UserError(`${name}: ${metadataKey} is ${brief(metadata)}, wanted an object of texts`);
  }
  return metadata as Record<string, string>;
}

/**
 * The chunks of a safetensors file with the tensors in the map's order; views of the tensors' own memory where they
 * need no conversion, so write them before the tensors change.
 * @param options.dtype 'F16' stores the f32 tensors in half precision, rounded to nearest
 * @throws Error where a shape does not fit its data, or a finite value is beyond the range of half precision
 */
export function writeSafetensors(
  tensors: Map<string, SafetensorsSource>,
  options: { metadata?: Record<string, string>; dtype?: 'F16' } = {},
): Uint8Array[] {
  const fields: string[] = [];
  const chunks: Uint8Array[] = [];
  if (Object.keys(options.metadata ?? {}).length > 0)
    fields.push(`"${metadataKey}":${JSON.stringify(options.metadata)}`);
  let offset = 0;
  for (const [key, { shape, data }] of tensors) {
    if (key === metadataKey) throw new Error(`a tensor cannot be named ${metadataKey}`);
    if (elementCount(shape) !== data.length) throw new Error(`${key}: ${data.length} values for the shape [${shape}]`);
    const half = options.dtype === 'F16' && data instanceof Float32Array;
    const stored = half ? checkedHalf(key, data) : data;
    const entry = { dtype: half ? 'F16' : dtypeOf(data), shape, data_offsets: [offset, offset + stored.byteLength] };
    // Joined as text: an object would put names that look like numbers first.
    fields.push(`${JSON.stringify(key)}:${JSON.stringify(entry)}`);
    chunks.push(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
    offset += stored.byteLength;
  }
  return [headOf(fields), ...chunks];
}

/** The start of a file whose header has these fields, as `"key":value`. */
export function headOf(fields: readonly string[]): Uint8Array {
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const head = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20, 8);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(json, 8);
  return head;
}

/**
 * The entries of a header in the order of their data.
 * @throws UserError unless they fill `dataBytes` without holes or overlaps
 */
export function checkedEntries(
  header: Record<string, unknown>,
  dataBytes: number,
  name: string,
): ({ key: string } & CheckedEntry)[] {
  const entries = Object.entries(header)
    .filter(([key]) => key !== metadataKey)
    .map(([key, value]) => ({ key, ...checkedEntry(key, value, name) }))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);

  let filled = 0;
  for (const { key, begin, end } of entries) {
    if (begin !== filled) {
      const fault = begin < filled ? 'overlaps the tensor before it' : 'leaves a hole before it';
      throw new UserError(`${name}: '${key}' ${fault}: found offset ${begin}, wanted ${filled}`);
    }
    filled = end;
  }
  if (filled !== dataBytes) {
    const fault = filled > dataBytes ? 'is truncated' : 'has bytes that belong to no tensor';
    throw new UserError(`${name} ${fault}: found ${dataBytes} bytes of tensors, wanted ${filled}`);
  }
  return entries;
}

interface CheckedEntry {
  dtype: ElementType;
  shape: number[];
  begin: number;
  end: number;
}

/** The header of a file that begins with these bytes, and where its tensors begin. */
export function parseHeader(bytes: Uint8Array, name: string): { header: Record<string, unknown>; dataStart: number } {
  if (bytes.length < 8) throw new UserError(`${name} is no safetensors file: it has only ${bytes.length} bytes`);
  const declared = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (declared > maxHeaderBytes) {
    throw new UserError(
      `${name} is no safetensors file: a header of ${declared} bytes, at most ${maxHeaderBytes} wanted`,
    );
  }
  const dataStart = 8 + Number(declared);
  if (dataStart > bytes.length) {
    throw new UserError(`${name} is truncated: found ${bytes.length} bytes, wanted ${dataStart} for the header alone`);
  }
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, dataStart));
    header = JSON.parse(text);
  } catch {
    throw new UserError(`${name} is no safetensors file, or a damaged one: its header is not JSON`);
  }
  if (!isRecord(header)) throw new UserError(`${name}: its header is ${brief(header)}, wanted an object`);
  const twice = duplicateKey(text);
  if (twice !== undefined) throw new UserError(`${name}: the name '${twice}' appears twice in its header`);
  return { header, dataStart };
}

function checkedEntry(key: string, value: unknown, name: string): CheckedEntry {
  const fail = (what: string, found: unknown, wanted: string): never => {
    throw new UserError(`${name}: '${key}' has ${what} ${brief(found)}, wanted ${wanted}`);
  };
  if (!isRecord(value)) return fail('the entry', value, 'an object');
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype)) return fail('the dtype', dtype, `one of ${Object.keys(BYTES_PER_ELEMENT).join(', ')}`);
  if (!isCounts(shape)) return fail('the shape', shape, 'an array of whole numbers');
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    return fail('the data_offsets', offsets, '[begin, end]');
  }
  const [begin, end] = offsets;
  const size = byteCount({ dtype, shape });
  if (end - begin !== size) return fail('the data_offsets', offsets, `${size} bytes for ${dtype} [${shape}]`);
  return { dtype, shape, begin, end };
}

/** The first key that stands twice in the outermost object of a JSON text known to be valid: JSON.parse hides it. */
function duplicateKey(json: string): string | undefined {
  const keys = new Set<string>();
  let depth = 0;
  let string = '';
  for (let i = 0; i < json.length; i++) {
    const character = json[i];
    if (character === '"') {
      const start = i++;
      while (json[i] !== '"') i += json[i] === '\\' ? 2 : 1;
      string = json.slice(start, i + 1);
    } else if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    else if (character === ':' && depth === 1) {
      const key = JSON.parse(string) as string;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

function dtypeOf(data: SafetensorsData): ElementType {
  if (data instanceof Float32Array) return 'F32';
  if (data instanceof Uint32Array) return 'U32';
  if (data instanceof Int32Array) return 'I32';
  return data instanceof BigInt64Array ? 'I64' : 'U8';
}

function checkedHalf(key: string, data: Float32Array): Uint16Array {
  const halves = floatToHalf(data);
  const beyond = data.findIndex((value, i) => Number.isFinite(value) && (halves[i] & 0x7fff) === 0x7c00);
  if (beyond >= 0) throw new Error(`${key}: ${data[beyond]} is beyond half precision: store it as F32`);
  return halves;
}

const isDtype = (value: unknown): value is ElementType =>
  typeof value === 'string' && Object.hasOwn(BYTES_PER_ELEMENT, value);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A value found, short enough for one line. */
function brief(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? 'none';
  } catch {
    return 'a value nested without end'; // JSON is read to any depth, and written to that of the stack
  }
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
