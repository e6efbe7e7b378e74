/**
 * Tensors over the binding limit are lists of ordinary parts. Here is where they are cut, and how a range of one is
 * had; the kernels do the rest by working block by block.
 */
import { ALIGNMENT } from './memory.ts';
import { type Shape, sizeOf, stridesOf } from './shape.ts';
import { bytesOf, Tensor } from './tensor.ts';

/**
 * A contiguous piece of a tensor: the entries from `from` to `to` (exclusive) of an axis, at one index of the axes
 * before it.
 */
export interface Block {
  readonly lead: readonly number[];
  readonly from: number;
  readonly to: number;
  /** Of the piece: [to - from, …the axes behind]. */
  readonly shape: Shape;
}

/** Whether a tensor of this shape cannot be bound as a whole. */
export function isOversized(tensor: Tensor, shape: Shape = tensor.shape): boolean {
  return bytesOf(sizeOf(shape), tensor.dtype) > tensor.device.bindingLimit;
}

/**
 * `count` entries of `entrySize` elements as ranges of equal length that hold at most `limit` elements, but at least
 * one entry.
 */
export function ranges(count: number, entrySize: number, limit: number): [from: number, to: number][] {
  const most = Math.max(1, Math.floor(limit / entrySize));
  const step = Math.ceil(count / Math.ceil(count / most));
  return Array.from({ length: Math.ceil(count / step) }, (_, i) => [i * step, Math.min(count, (i + 1) * step)]);
}

/** Cuts a shape into blocks of at most `limit` elements, along the first axis whose entries are small enough. */
export function cut(shape: Shape, limit: number): Block[] {
  const strides = stridesOf(shape);
  const axis = Math.max(
    0,
    strides.findIndex(entry => entry <= limit),
  );
  const inner = shape.slice(axis + 1);
  const along = ranges(shape[axis] ?? 1, strides[axis] ?? 1, limit);
  return indices(shape.slice(0, axis)).flatMap(lead =>
    along.map(([from, to]) => ({ lead, from, to, shape: [to - from, ...inner] })),
  );
}

/** Every index of a shape, in row-major order. */
function indices(shape: Shape): number[][] {
  return shape.reduce<number[][]>(
    (all, n) => all.flatMap(index => Array.from({ length: n }, (_, i) => [...index, i])),
    [[]],
  );
}

/** What an operand that broadcasts to `shape` contributes to one block of it. */
export function blockOf(operand: Tensor, { lead, from, to }: Block, shape: Shape): Tensor {
  const aligned = [...new Array<number>(shape.length - operand.rank).fill(1), ...operand.shape];
  const strides = stridesOf(aligned);
  const axis = lead.length;
  const repeated = aligned[axis] === 1;
  let start = repeated ? 0 : from * strides[axis];
  lead.forEach((index, i) => {
    if (aligned[i] > 1) start += index * strides[i];
  });
  return take(operand, start, [repeated ? 1 : to - from, ...aligned.slice(axis + 1)]);
}

/**
 * The elements from `start` on, for reading: without a copy where they lie at a multiple of 256 bytes of one part, else
 * copied. A range over the limit is in parts again.
 */
export function take(tensor: Tensor, start: number, shape: Shape): Tensor {
  const { device, dtype } = tensor;
  const size = sizeOf(shape);
  if (size === tensor.size) return tensor.view(shape);
  const pieces = piecesOf(tensor, start, size);
  const [{ part, from }] = pieces;
  if (pieces.length === 1 && bytesOf(from, dtype) % ALIGNMENT === 0) {
    return size === part.size ? part.view(shape) : part.window(from, shape);
  }
  if (isOversized(tensor, shape)) {
    const parts = pieces.map(piece => take(piece.part, piece.from, [piece.count]));
    return new Tensor(device, shape, dtype, parts, tensor.name);
  }
  const copy = device.empty(shape, dtype, tensor.name);
  device.copy(tensor, copy, { from: start, count: size });
  return copy;
}

interface Piece {
  readonly part: Tensor;
  /** First element within the part. */
  readonly from: number;
  readonly count: number;
}

/** The parts that a range of a tensor lies in. */
export function piecesOf(tensor: Tensor, start: number, count: number): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const part of tensor.parts ?? [tensor]) {
    const from = Math.max(0, start - at);
    const to = Math.min(part.size, start + count - at);
    if (from < to) pieces.push({ part, from, count: to - from });
    at += part.size;
  }
  return pieces;
}

/**
 * Runs a kernel that treats the planes of its inputs [N, C, …] apart, on as many planes at a time as fit: `body` gets
 * [1, k, …] of each input and gives [1, k, …] of the output.
 */
export function overPlanes(
  inputs: readonly Tensor[],
  output: Tensor,
  body: (inputs: readonly Tensor[]) => Tensor,
): Tensor {
  const { device, shape } = output;
  const planes = shape[0] * shape[1];
  const sizes = inputs.map(input => input.size / planes);
  const outputSize = output.size / planes;
  for (const [from, to] of ranges(planes, Math.max(outputSize, ...sizes), device.bindingLimit / 4)) {
    device.scope('planes', () => {
      const block = body(
        inputs.map((input, i) => take(input, from * sizes[i], [1, to - from, ...input.shape.slice(2)])),
      );
      device.copy(block, output, { to: from * outputSize });
    });
  }
  return output;
}
