import reduceSource from '../../../shaders/reduce.wgsl';
import { floatBits, grid } from '../device.ts';
import { ranges, take } from '../parts.ts';
import { normalizeAxis, type Shape, sizeOf, stridesOf } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { binary, unary } from './elementwise.ts';
import { halfTile, lanesFor, storedType } from './vector.ts';

const REDUCE = { name: 'reduce', source: reduceSource };

const COMBINE = {
  sum: { EXPRESSION: 'x + y', INITIAL: '0.0' },
  max: { EXPRESSION: 'max(x, y)', INITIAL: '-3.4028234663852886e38' },
} as const;

const COLLECT = { sum: 'dot(v, vec4f(1.0))', max: 'max(max(v.x, v.y), max(v.z, v.w))' } as const;

export type Reduction = keyof typeof COMBINE;

/**
 * scale times the sum (or the maximum) over axes, which stay with length 1. The order of additions depends on the shape
 * and the adapter alone; the result is f32, also of f16.
 */
export function reduce(x: Tensor, axes: readonly number[], kind: Reduction = 'sum', scale = 1): Tensor {
  return reduceTerms(x, undefined, axes, kind, scale);
}

/** scale times the sum over axes, which stay with length 1, of the product of two tensors of one shape. */
export function reduceProduct(x: Tensor, y: Tensor, axes: readonly number[], scale = 1): Tensor {
  return reduceTerms(x, y, axes, 'sum', scale);
}

function reduceTerms(
  x: Tensor,
  y: Tensor | undefined,
  axes: readonly number[],
  kind: Reduction,
  scale: number,
): Tensor {
  const reducedAxes = new Set(axes.map(axis => normalizeAxis(axis, x.rank)));
  const shape = x.shape.map((n, axis) => (reducedAxes.has(axis) ? 1 : n));
  if (x.parts) {
    const total = reduceParts(y ? binary(x, y, 'x * y') : x, reducedAxes, shape, kind);
    return scale === 1 ? total : unary(total, 'a * x', scale);
  }
  const { device } = x;
  const kept = group(x, axis => !reducedAxes.has(axis));
  const reduced = group(x, axis => reducedAxes.has(axis));
  const keptSize = sizeOf(shape);
  const length = x.size / keptSize;

  // Long reductions with few results are cut over several workgroups, then added.
  const splits = keptSize < 64 ? Math.min(64, Math.ceil(length / 4096)) : 1;
  const output = device.empty(splits > 1 ? [keptSize, splits] : shape);
  // The last axis, where it is reduced, is taken four elements at a time; all others then are whole vectors apart.
  const width = reduced.strides[2] === 1 && reduced.shape[2] % 4 === 0 ? 4 : 1;
  const count = length / width;
  const lanes = lanesFor(device, keptSize * splits, Math.ceil(count / splits));
  const kernel = device.kernel(REDUCE, {
    text: {
      ...COMBINE[kind],
      COLLECT: width === 4 ? COLLECT[kind] : 'v',
      ELEMENT: storedType(width, 'f32'),
      STORED_X: storedType(width, x.dtype),
      STORED_Y: storedType(width, (y ?? x).dtype),
      TERM: y ? 'x * y' : 'x',
    },
    tile: { SUBGROUP: lanes.LANES > 1 ? device.subgroupSize : 0, ...halfTile(x, y ?? x) },
    constants: { ...lanes, KEPT_RANK: rank(kept), REDUCED_RANK: rank(reduced) },
  });
  const words = [keptSize, count, splits, Math.ceil(count / splits), floatBits(splits > 1 ? 1 : scale), 0, 0, 0];
  const inVectors = (strides: readonly number[]) => strides.map(stride => Math.ceil(stride / width));
  const [outer, middle, inner] = reduced.shape;
  words.push(...kept.shape, 0, ...inVectors(kept.strides), 0);
  words.push(outer, middle, inner / width, 0, ...inVectors(reduced.strides), 0);
  const [gx, gy] = grid(keptSize, lanes.WORKGROUP / lanes.LANES);
  device.dispatch(kernel, [x, y ?? x, output], words, [gx, gy, splits], (y ? 2 : 1) * x.size);
  return splits > 1 ? reduce(output, [1], kind, scale).view(shape) : output;
}

function rank({ shape }: { shape: readonly number[] }): number {
  return shape[0] === 1 && shape[1] === 1 ? 1 : 3;
}

/** The chosen axes collapsed to three, the outer ones of length 1 where fewer are left. */
function group(x: Tensor, chosen: (axis: number) => boolean): { shape: number[]; strides: number[] } {
  const all = stridesOf(x.shape);
  const shape: number[] = [];
  const strides: number[] = [];
  for (let axis = 0; axis < x.rank; axis++) {
    if (!chosen(axis) || x.shape[axis] === 1) continue;
    const top = shape.length - 1;
    if (top >= 0 && strides[top] === all[axis] * x.shape[axis]) {
      shape[top] *= x.shape[axis];
      strides[top] = all[axis];
    } else {
      shape.push(x.shape[axis]);
      strides.push(all[axis]);
    }
  }
  if (shape.length > 3) throw new Error(`a reduction of ${x} takes at most three separate groups of axes`);
  while (shape.length < 3) {
    shape.unshift(1);
    strides.unshift(0);
  }
  return { shape, strides };
}

/** A tensor over the binding limit: ranges of its first axis one by one, which are added up or put side by side. */
function reduceParts(x: Tensor, axes: ReadonlySet<number>, shape: Shape, kind: Reduction): Tensor {
  const { device } = x;
  const first = x.shape.findIndex(n => n > 1);
  const inner = sizeOf(x.shape.slice(first + 1));
  const range = ([from, to]: [number, number]) => {
    const block = take(x, from * inner, [...x.shape.slice(0, first), to - from, ...x.shape.slice(first + 1)]);
    return reduce(block, [...axes], kind);
  };
  const all = ranges(x.shape[first], inner, device.bindingLimit / 4);
  if (axes.has(first)) {
    return all.slice(1).reduce(
      (total, next) => device.scope('reduction part', () => binary(total, range(next), COMBINE[kind].EXPRESSION)),
      device.scope('reduction part', () => range(all[0])),
    );
  }
  const output = device.empty(shape);
  const outputInner = sizeOf(shape.slice(first + 1));
  for (const next of all) {
    device.scope('reduction part', () => device.copy(range(next), output, { to: next[0] * outputInner }));
  }
  return output;
}
