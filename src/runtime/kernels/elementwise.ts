import broadcastSource from '../../../shaders/broadcast.wgsl';
import unarySource from '../../../shaders/unary.wgsl';
import { floatBits, grid } from '../device.ts';
import { blockOf, cut } from '../parts.ts';
import { broadcastShapes, type Shape, stridesOf } from '../shape.ts';
import type { DType, Tensor } from '../tensor.ts';
import { halfTile, storedType } from './vector.ts';

const UNARY = { name: 'unary', source: unarySource };
const BROADCAST = { name: 'broadcast', source: broadcastSource };
const WORKGROUP = 64;
const MAX_RANK = 6;

// An expression is WGSL of the type ELEMENT, which is f32 or vec4f: literals that are compared or chosen are
// ELEMENT(0.0), and so on.

/** y = f(x): `expression` is in `x` and the constants `a` and `b`. */
export function unary(x: Tensor, expression: string, a = 0, b = 0): Tensor {
  const { device } = x;
  const y = device.empty(x.shape, x.dtype);
  inParts([x], y, ([from], to) => {
    const lanes = to.size % 4 === 0 ? 4 : 1;
    const types = { ELEMENT: storedType(lanes, 'f32'), STORED: storedType(lanes, x.dtype) };
    const kernel = device.kernel(UNARY, { text: { EXPRESSION: expression, ...types }, tile: halfTile(x) });
    const size = to.size / lanes;
    const words = [size, floatBits(a), floatBits(b)];
    device.dispatch(kernel, [from, to], words, grid(size, WORKGROUP * 4), to.size * operations(expression));
  });
  return y;
}

/**
 * z = f(x, y) with broadcasting: `expression` is in `x`, `y` and the constant `a`. It is computed in f32; the result has
 * the type of the largest operand, and smaller ones may be f32 beside f16.
 */
export function binary(x: Tensor, y: Tensor, expression: string, a = 0): Tensor {
  return broadcast([x, y], expression, a);
}

/** w = f(x, y, z) with broadcasting: `expression` is in `x`, `y`, `z` and the constant `a`. */
export function ternary(x: Tensor, y: Tensor, z: Tensor, expression: string, a = 0): Tensor {
  return broadcast([x, y, z], expression, a);
}

function broadcast(operands: readonly Tensor[], expression: string, a: number): Tensor {
  const { device } = operands[0];
  const shape = operands.map(operand => operand.shape).reduce(broadcastShapes);
  const output = device.empty(shape, typeOf(operands));
  inParts(operands, output, (inputs, to) => {
    const axes = collapse(
      to.shape,
      inputs.map(input => input.shape),
    );
    const last = axes.shape.length - 1;
    const width = axes.shape[last] % 4 === 0 ? 4 : 1;
    // Along the last axis an operand walks element by element, or is repeated: then it is read as scalars.
    const lanes = axes.strides.map(strides => (width === 4 && strides[last] === 1 ? 4 : 1));
    const kernel = device.kernel(BROADCAST, {
      text: {
        EXPRESSION: expression,
        ELEMENT: storedType(width, 'f32'),
        RESULT: storedType(width, to.dtype),
        ...Object.fromEntries(lanes.map((count, i) => [`TYPE${i}`, storedType(count, 'f32')])),
        ...Object.fromEntries(lanes.map((count, i) => [`STORED${i}`, storedType(count, inputs[i].dtype)])),
      },
      tile: { OPERANDS: operands.length, RANK: axes.shape.length, ...halfTile(...inputs) },
    });
    const size = to.size / width;
    const shape = axes.shape.with(last, axes.shape[last] / width);
    const strides = axes.strides.map((own, i) =>
      lanes[i] === 4 ? own.map((stride, axis) => (axis === last ? 1 : stride / 4)) : own,
    );
    const words = [size, floatBits(a), 0, 0, ...pad(shape), ...strides.flatMap(pad)];
    device.dispatch(kernel, [...inputs, to], words, grid(size, WORKGROUP * 4), to.size * operations(expression));
  });
  return output;
}

/** The type of the largest operand. @throws where there are several of different types */
function typeOf(operands: readonly Tensor[]): DType {
  const size = Math.max(...operands.map(operand => operand.size));
  const [first, ...others] = operands.filter(operand => operand.size === size);
  const other = others.find(({ dtype }) => dtype !== first.dtype);
  if (other) throw new Error(`${first} is ${first.dtype}, ${other} is ${other.dtype}; cast() one of them`);
  return first.dtype;
}

const counts = new Map<string, number>();

/** Arithmetic operators and calls in an expression: its operations an element. */
function operations(expression: string): number {
  let count = counts.get(expression);
  if (count === undefined) {
    count = expression.replaceAll('ELEMENT(', '(').match(/[-+*/]|\w\(/g)?.length ?? 0;
    counts.set(expression, count);
  }
  return count;
}

/** Two vec4u of a uniform block. */
function pad(values: readonly number[]): number[] {
  return Array.from({ length: 8 }, (_, i) => values[i] ?? 0);
}

/**
 * The iteration space with neighbouring axes merged wherever every operand walks through them as through one; strides
 * are 0 along the axes that an operand is repeated on.
 */
function collapse(shape: Shape, operands: readonly Shape[]): { shape: number[]; strides: number[][] } {
  const strides = operands.map(operand => {
    const own = stridesOf(operand);
    const offset = shape.length - operand.length;
    return shape.map((_, axis) => (axis < offset || operand[axis - offset] === 1 ? 0 : own[axis - offset]));
  });
  const merged: number[] = [];
  const mergedStrides: number[][] = operands.map(() => []);
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] === 1) continue;
    const top = merged.length - 1;
    const joins = top >= 0 && strides.every((s, i) => mergedStrides[i][top] === s[axis] * shape[axis]);
    if (joins) merged[top] *= shape[axis];
    else merged.push(shape[axis]);
    strides.forEach((s, i) => {
      mergedStrides[i][joins ? top : merged.length - 1] = s[axis];
    });
  }
  if (merged.length === 0) return { shape: [1], strides: operands.map(() => [0]) };
  if (merged.length > MAX_RANK) throw new Error(`elementwise ops take at most ${MAX_RANK} axes after merging`);
  return { shape: merged, strides: mergedStrides };
}

/** Runs `body` once for ordinary tensors, or once for each part of an output over the binding limit. */
function inParts(
  operands: readonly Tensor[],
  output: Tensor,
  body: (inputs: readonly Tensor[], output: Tensor) => void,
): void {
  if (!output.parts) {
    body(operands, output);
    return;
  }
  const { device, shape, parts } = output;
  cut(shape, device.bindingLimit / 4).forEach((block, i) => {
    device.scope('elementwise part', () => {
      body(
        operands.map(operand => blockOf(operand, block, shape)),
        parts[i],
      );
    });
  });
}
