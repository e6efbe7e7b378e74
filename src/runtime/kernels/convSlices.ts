import { ranges } from '../parts.ts';
import { type Shape, sizeOf, stridesOf } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { narrow, stridedCopy } from './copy.ts';
import { binary } from './elementwise.ts';

/** A convolution with a weight, plain or transposed: how it is computed, and which axis of the weight counts what. */
export interface Convolution {
  /** The axis of the weight that goes with the channels of x, and the one that goes with those of the output. */
  readonly inputAxis: 0 | 1;
  readonly outputAxis: 0 | 1;
  run(x: Tensor, w: Tensor, groups: number): Tensor;
}

/**
 * y [N, O, OH, OW] of this shape, too large (or from an x too large) for one dispatch: sample by sample, then group by
 * group, then in ranges of output channels, and last as a sum over ranges of input channels.
 */
export function convolveInSlices(x: Tensor, w: Tensor, shape: Shape, groups: number, conv: Convolution): Tensor {
  const { device } = x;
  refuseHalf(x);
  const limit = device.bindingLimit / 4;
  const [samples, channels] = x.shape;
  const outChannels = shape[1];
  if (samples > 1) {
    return sideBySide(x, shape, samples, 1, ([n]) => conv.run(narrow(x, 0, n, n + 1), w, groups));
  }
  if (groups > 1) {
    return sideBySide(x, shape, groups, 1, ([g]) => {
      const [c, rows] = [channels / groups, w.shape[0] / groups];
      return conv.run(narrow(x, 1, g * c, (g + 1) * c), narrow(w, 0, g * rows, (g + 1) * rows), 1);
    });
  }
  if (sizeOf(shape) > limit) {
    return sideBySide(x, shape, outChannels, limit, ([from, to]) =>
      conv.run(x, narrow(w, conv.outputAxis, from, to), 1),
    );
  }
  return summed(x, ranges(channels, x.size / channels, limit), ([from, to]) =>
    conv.run(narrow(x, 1, from, to), narrow(w, conv.inputAxis, from, to), 1),
  );
}

/** The gradient in the weight, u [O, C / groups, KH, KW] of this shape, in the same order of slices. */
export function weightGradientInSlices(
  x: Tensor,
  v: Tensor,
  shape: Shape,
  groups: number,
  run: (x: Tensor, v: Tensor, groups: number) => Tensor,
): Tensor {
  const { device } = x;
  refuseHalf(x);
  const limit = device.bindingLimit / 4;
  const [samples, channels] = x.shape;
  const outChannels = shape[0];
  if (samples > 1) {
    return summed(x, ranges(samples, 1, 1), ([n]) => run(narrow(x, 0, n, n + 1), narrow(v, 0, n, n + 1), groups));
  }
  if (groups > 1) {
    return sideBySide(x, shape, groups, 1, ([g]) => {
      const [c, o] = [channels / groups, outChannels / groups];
      return run(narrow(x, 1, g * c, (g + 1) * c), narrow(v, 1, g * o, (g + 1) * o), 1);
    });
  }
  if (v.size > limit) {
    return sideBySide(x, shape, outChannels, (limit * sizeOf(shape)) / v.size, ([from, to]) =>
      run(x, narrow(v, 1, from, to), 1),
    );
  }
  const output = device.empty(shape);
  const strides = stridesOf(shape);
  for (const [from, to] of ranges(channels, x.size / channels, limit)) {
    device.scope('input channels', () => {
      const block = run(narrow(x, 1, from, to), v, 1);
      const into = { start: from * strides[1], strides };
      stridedCopy(block, { start: 0, strides: stridesOf(block.shape) }, output, into, block.shape);
    });
  }
  return output;
}

function refuseHalf(x: Tensor): void {
  if (x.dtype === 'f16')
    throw new Error(`convolution: ${x} or its result is over the binding limit, where f16 is not supported`);
}

/**
 * A tensor of this shape whose elements come in `count` equal pieces, computed in ranges of at most `limit` elements.
 */
function sideBySide(
  { device }: Tensor,
  shape: Shape,
  count: number,
  limit: number,
  piece: (range: [from: number, to: number]) => Tensor,
): Tensor {
  const output = device.empty(shape);
  const size = output.size / count;
  for (const range of ranges(count, size, limit)) {
    device.scope('slice', () => device.copy(piece(range), output, { to: range[0] * size }));
  }
  return output;
}

function summed(
  { device }: Tensor,
  [first, ...rest]: readonly [from: number, to: number][],
  term: (range: [from: number, to: number]) => Tensor,
): Tensor {
  return rest.reduce(
    (sum, range) => device.scope('slice', () => binary(sum, term(range), 'x + y')),
    device.scope('slice', () => term(first)),
  );
}
