import { fill, stridedCopy } from '../../runtime/kernels/copy.ts';
import { normalizeAxis, type Shape, sameShape, shapeText, stridesOf } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Op } from '../graph.ts';
import { sumTo } from './reduce.ts';

const reshapeOp: Op<{ shape: Shape }> = {
  name: 'reshape',
  half: true,
  forward: ([x], { shape }) => x.view(shape),
  vjp: (g, { inputs: [x] }) => [reshape(g, x.shape)],
};

/** The same elements under another shape; one size may be -1. Shares the memory. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply(reshapeOp, [x], { shape });
}

const permuteOp: Op<{ axes: readonly number[] }> = {
  name: 'permute',
  forward: ([x], { axes }) => {
    const strides = stridesOf(x.shape);
    const shape = axes.map(axis => x.shape[axis]);
    const y = x.device.empty(shape, x.dtype);
    const from = { start: 0, strides: axes.map(axis => strides[axis]) };
    stridedCopy(x, from, y, { start: 0, strides: stridesOf(shape) }, shape);
    return y;
  },
  vjp: (g, { attributes: { axes } }) => {
    const inverse = axes.map((_, axis) => axes.indexOf(axis));
    return [permute(g, inverse)];
  },
};

/** Reorders the axes: axis i of the result is axis `axes[i]` of x. */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  if ([...axes].sort((a, b) => a - b).some((axis, i) => axis !== i) || axes.length !== x.rank) {
    throw new Error(`permute: [${axes.join(', ')}] is not an order of the axes of ${x}`);
  }
  return apply(permuteOp, [x], { axes });
}

/** Values for each channel, [C], shaped to broadcast against x [N, C, …]. */
export function perChannel(values: Tensor, x: Tensor): Tensor {
  return reshape(
    values,
    x.shape.map((n, axis) => (axis === 1 ? n : 1)),
  );
}

/** Values for each map, [N, C], shaped to broadcast against [N, C, H, W]. */
export function overPixels(values: Tensor): Tensor {
  return reshape(values, [...values.shape, 1, 1]);
}

/** Swaps the two axes of a matrix. */
export function transpose(x: Tensor): Tensor {
  return permute(x, [1, 0]);
}

const expandOp: Op<{ shape: Shape }> = {
  name: 'expand',
  forward: ([x], { shape }) => {
    const offset = shape.length - x.rank;
    const own = stridesOf(x.shape);
    const strides = shape.map((_, axis) => (axis < offset || x.shape[axis - offset] === 1 ? 0 : own[axis - offset]));
    const y = x.device.empty(shape, x.dtype);
    stridedCopy(x, { start: 0, strides }, y, { start: 0, strides: stridesOf(shape) }, shape);
    return y;
  },
  vjp: (g, { inputs: [x] }) => [sumTo(g, x.shape)],
};

/** Repeats x along the axes where it has length 1 or none, as broadcasting does. */
export function expand(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const offset = shape.length - x.rank;
  if (offset < 0 || x.shape.some((n, axis) => n !== 1 && n !== shape[axis + offset])) {
    throw new Error(`expand: ${x} does not broadcast to ${shapeText(shape)}`);
  }
  return apply(expandOp, [x], { shape });
}

/** Where a slice lies in a larger tensor: element begin + i * step of each axis. Steps may be negative. */
interface Placement {
  readonly begin: readonly number[];
  readonly step: readonly number[];
  readonly shape: Shape;
}

function walk(tensor: Shape, { begin, step }: Placement) {
  const strides = stridesOf(tensor);
  return {
    start: begin.reduce((start, at, axis) => start + at * strides[axis], 0),
    strides: step.map((s, axis) => s * strides[axis]),
  };
}

const sliceOp: Op<Placement> = {
  name: 'slice',
  forward: ([x], placement) => {
    const y = x.device.empty(placement.shape, x.dtype);
    const contiguous = { start: 0, strides: stridesOf(placement.shape) };
    stridedCopy(x, walk(x.shape, placement), y, contiguous, placement.shape);
    return y;
  },
  vjp: (g, { inputs: [x], attributes: { begin, step } }) => [apply(placeOp, [g], { begin, step, shape: x.shape })],
};

/** The adjoint of slice: zeros of `shape` with x at the given places. */
const placeOp: Op<Placement> = {
  name: 'place',
  forward: ([x], placement) => {
    const y = x.device.empty(placement.shape, x.dtype);
    fill(y, 0);
    const contiguous = { start: 0, strides: stridesOf(x.shape) };
    stridedCopy(x, contiguous, y, walk(placement.shape, placement), x.shape);
    return y;
  },
  vjp: (g, { inputs: [x], attributes: { begin, step } }) => [apply(sliceOp, [g], { begin, step, shape: x.shape })],
};

/** x[begin:end:step] along every axis; a negative step walks backwards, down to end -1. */
export function slice(
  x: Tensor,
  { begin, end, step }: { begin: readonly number[]; end: readonly number[]; step?: readonly number[] },
): Tensor {
  const steps = step ?? begin.map(() => 1);
  const shape = begin.map((from, axis) => Math.ceil((end[axis] - from) / steps[axis]));
  const isInside = (from: number, axis: number) => {
    const size = x.shape[axis];
    return from >= 0 && from < size && end[axis] >= -1 && end[axis] <= size && shape[axis] >= 1 && shape[axis] <= size;
  };
  if (begin.length !== x.rank || !begin.every(isInside)) {
    throw new Error(`slice [${begin.join(', ')}]..[${end.join(', ')}] is not inside ${x}`);
  }
  return apply(sliceOp, [x], { begin, step: steps, shape });
}

/** Entries `from` to `to` (exclusive) of one axis. */
export function narrow(x: Tensor, axis: number, from: number, to: number): Tensor {
  const at = normalizeAxis(axis, x.rank);
  if (from === 0 && to === x.shape[at]) return x;
  return slice(x, {
    begin: x.shape.map((_, i) => (i === at ? from : 0)),
    end: x.shape.map((n, i) => (i === at ? to : n)),
  });
}

/** Zero padding, [before, after] for each axis; negative pads crop. */
export function pad(x: Tensor, pads: readonly (readonly [number, number])[]): Tensor {
  const cropped = pads.some(([a, b]) => a < 0 || b < 0)
    ? slice(x, {
        begin: pads.map(([before]) => Math.max(0, -before)),
        end: x.shape.map((n, axis) => n - Math.max(0, -pads[axis][1])),
      })
    : x;
  const shape = x.shape.map((n, axis) => n + pads[axis][0] + pads[axis][1]);
  const begin = pads.map(([before]) => Math.max(0, before));
  return apply(placeOp, [cropped], { begin, step: shape.map(() => 1), shape });
}

/** Reverses the order along axes. */
export function flip(x: Tensor, axes: readonly number[]): Tensor {
  const flipped = new Set(axes.map(axis => normalizeAxis(axis, x.rank)));
  return apply(sliceOp, [x], {
    begin: x.shape.map((n, axis) => (flipped.has(axis) ? n - 1 : 0)),
    step: x.shape.map((_, axis) => (flipped.has(axis) ? -1 : 1)),
    shape: x.shape,
  });
}

const concatOp: Op<{ axis: number }> = {
  name: 'concat',
  forward: (tensors, { axis }) => {
    const total = tensors.reduce((n, tensor) => n + tensor.shape[axis], 0);
    const shape = tensors[0].shape.map((n, i) => (i === axis ? total : n));
    const y = tensors[0].device.empty(shape, tensors[0].dtype);
    const strides = stridesOf(shape);
    let at = 0;
    for (const tensor of tensors) {
      const to = { start: at * strides[axis], strides };
      stridedCopy(tensor, { start: 0, strides: stridesOf(tensor.shape) }, y, to, tensor.shape);
      at += tensor.shape[axis];
    }
    return y;
  },
  vjp: (g, { inputs, attributes: { axis }, needs }) => {
    let at = 0;
    return inputs.map((input, i) => {
      const from = at;
      at += input.shape[axis];
      return needs[i] ? narrow(g, axis, from, at) : undefined;
    });
  },
};

/** Joins tensors along an axis; their other sizes must agree. */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const at = normalizeAxis(axis, tensors[0].rank);
  for (const tensor of tensors) {
    if (tensor.rank !== tensors[0].rank || tensor.shape.some((n, i) => i !== at && n !== tensors[0].shape[i])) {
      throw new Error(`concat along axis ${axis}: ${tensor} does not fit ${tensors[0]}`);
    }
  }
  return tensors.length === 1 ? tensors[0] : apply(concatOp, tensors, { axis: at });
}

/** Joins tensors of one shape along a new axis. */
export function stack(tensors: readonly Tensor[], axis: number): Tensor {
  const at = normalizeAxis(axis, tensors[0].rank + 1);
  return concat(
    tensors.map(tensor => reshape(tensor, [...tensor.shape.slice(0, at), 1, ...tensor.shape.slice(at)])),
    at,
  );
}

/** Cuts an axis into pieces of these sizes, which add up to its length. */
export function split(x: Tensor, sizes: readonly number[], axis: number): Tensor[] {
  const length = x.shape[normalizeAxis(axis, x.rank)];
  if (sizes.reduce((a, b) => a + b, 0) !== length) {
    throw new Error(`split: pieces of ${sizes.join(', ')} do not add up to the ${length} of axis ${axis} of ${x}`);
  }
  let at = 0;
  return sizes.map(size => {
    at += size;
    return narrow(x, axis, at - size, at);
  });
}
