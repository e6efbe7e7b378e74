import * as kernels from '../../runtime/kernels/resample.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Op } from '../graph.ts';
import { type Pair, pair } from './pair.ts';
import { adaptiveAvgPool2d } from './pool.ts';

type Table = kernels.Table;

interface Tables {
  readonly rows: Table;
  readonly columns: Table;
}

const transposed = new WeakMap<Table, Table>();

/** The transposed table, the same object every time: it is uploaded once. */
function transposeTable(table: Table): Table {
  let result = transposed.get(table);
  if (!result) {
    result = kernels.transposeTable(table);
    transposed.set(table, result);
    transposed.set(result, table);
  }
  return result;
}

const resampleOp: Op<Tables> = {
  name: 'resample2d',
  forward: ([x], { rows, columns }) => kernels.resample2d(x, rows, columns),
  vjp: (g, { attributes: { rows, columns } }) => [
    apply(resampleOp, [g], { rows: transposeTable(rows), columns: transposeTable(columns) }),
  ],
};

const tables = new Map<string, Table>();

/** The table of this description, made once. Throws where there is no output. */
function table(key: string, inputs: number, outputs: number, row: (output: number) => [number, number][]): Table {
  if (!(outputs >= 1)) throw new Error(`${key}: an axis of ${inputs} pixels cannot become one of ${outputs}`);
  const name = `${key}:${inputs}:${outputs}`;
  let found = tables.get(name);
  if (!found) {
    found = { inputs, rows: Array.from({ length: outputs }, (_, output) => row(output)) };
    tables.set(name, found);
  }
  return found;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

export interface AvgPoolOptions {
  /** Default: the kernel. */
  readonly stride?: number;
  /** Zeros on both sides. Default 0. */
  readonly padding?: number;
  /** Divide by the whole window also where it reaches over the border. Default true, as in PyTorch. */
  readonly countIncludePad?: boolean;
}

/** Average pooling with windows of `kernel`: PyTorch's avg_pool2d. */
export function avgPool2d(
  x: Tensor,
  kernel: number,
  { stride = kernel, padding = 0, countIncludePad = true }: AvgPoolOptions = {},
): Tensor {
  const [height, width] = x.shape.slice(2);
  if (stride === kernel && padding === 0 && height % kernel === 0 && width % kernel === 0) {
    return adaptiveAvgPool2d(x, [height / kernel, width / kernel]);
  }
  const key = `average${kernel}/${stride}+${padding}${countIncludePad ? '' : ' inside'}`;
  const axis = (inputs: number) =>
    table(key, inputs, Math.floor((inputs + 2 * padding - kernel) / stride) + 1, i => {
      const first = i * stride - padding;
      const inside = range(Math.max(0, first), Math.min(inputs, first + kernel));
      return inside.map(index => [index, 1 / (countIncludePad ? kernel : inside.length)]);
    });
  return apply(resampleOp, [x], { rows: axis(height), columns: axis(width) });
}

/** A bilinear table: two neighbours of the source coordinate, clamped at the border. */
function bilinearTable(inputs: number, outputs: number, alignCorners: boolean): Table {
  return table(alignCorners ? 'bilinearCorners' : 'bilinear', inputs, outputs, i => {
    const source = alignCorners
      ? outputs > 1
        ? (i * (inputs - 1)) / (outputs - 1)
        : 0
      : Math.max(0, ((i + 0.5) * inputs) / outputs - 0.5);
    const low = Math.min(Math.floor(source), inputs - 1);
    const t = source - low;
    if (t === 0 || low === inputs - 1) return [[low, 1]];
    return [
      [low, 1 - t],
      [low + 1, t],
    ];
  });
}

function nearestTable(inputs: number, outputs: number): Table {
  return table('nearest', inputs, outputs, i => [[Math.floor((i * inputs) / outputs), 1]]);
}

/** The triangle filter, widened by the reduction factor: an antialiased bilinear reduction, as Pillow's. */
function antialiasTable(inputs: number, outputs: number): Table {
  return table('antialias', inputs, outputs, i => {
    const scale = inputs / outputs;
    const support = Math.max(1, scale);
    const centre = (i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(centre - support + 0.5));
    const to = Math.min(inputs, Math.trunc(centre + support + 0.5));
    const weights = range(from, to).map(index => Math.max(0, 1 - Math.abs((index + 0.5 - centre) / support)));
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight, j) => [from + j, weight / total]);
  });
}

const MODES = {
  bilinear: (inputs: number, outputs: number) => bilinearTable(inputs, outputs, false),
  'bilinear-corners': (inputs: number, outputs: number) => bilinearTable(inputs, outputs, true),
  'bilinear-antialias': antialiasTable,
  nearest: nearestTable,
} as const;

/** Resizes x [N, C, H, W]. 'bilinear-corners' is PyTorch's align_corners = True. */
export function interpolate(x: Tensor, [height, width]: Pair, mode: keyof typeof MODES): Tensor {
  return apply(resampleOp, [x], {
    rows: MODES[mode](x.shape[2], height),
    columns: MODES[mode](x.shape[3], width),
  });
}

/** Correlation of x [N, C, H, W] with the outer product of `taps`, where they lie inside the image: no padding. */
export function separableFilter(x: Tensor, taps: readonly number[]): Tensor {
  const [height, width] = x.shape.slice(2);
  const filter = (inputs: number) =>
    table(`filter${taps.join()}`, inputs, inputs - taps.length + 1, i => taps.map((tap, j) => [i + j, tap]));
  const identity = (inputs: number) => table('identity', inputs, inputs, i => [[i, 1]]);
  // One axis at a time: 2 taps.length products a pixel instead of its square.
  const filtered = apply(resampleOp, [x], { rows: identity(height), columns: filter(width) });
  return apply(resampleOp, [filtered], { rows: filter(height), columns: identity(filtered.shape[3]) });
}

// upfirdn2d

const upfirdnOp: Op<kernels.Upfirdn> = {
  name: 'upfirdn2d',
  half: true,
  forward: ([x, filter], options) => kernels.upfirdn2d(x, filter, options),
  vjp: (g, { inputs: [x, filter], output, attributes: { up, down, pad, flip, gain } }) => {
    // The adjoint is the same op: the factors swapped, the filter the other way round, the pads mirrored.
    const axis = (i: 0 | 1): [number, number] => {
      const taps = filter.shape[i];
      const before = pad[2 * i];
      const length = x.shape[2 + i] * up[i] - output.shape[2 + i] * down[i];
      return [taps - 1 - before, length + before - up[i] + 1];
    };
    const options = { up: down, down: up, pad: [...axis(0), ...axis(1)] as const, flip: !flip, gain };
    return [apply(upfirdnOp, [g, filter], options), undefined];
  },
};

export interface UpfirdnOptions {
  /** Samples an input sample becomes, by zero insertion: one number or [y, x]. Default 1. */
  readonly up?: number | Pair;
  /** Every how many samples one is kept. Default 1. */
  readonly down?: number | Pair;
  /** Zeros before and after both axes, or [top, bottom, left, right]; negative pads crop. Default 0. */
  readonly pad?: Pair | readonly [number, number, number, number];
  /** Correlate instead of convolving. Default false. */
  readonly flip?: boolean;
  readonly gain?: number;
}

/**
 * Upsampling, padding, filtering and downsampling of x [N, C, H, W] by a constant filter [KH, KW] (StyleGAN2, Karras et
 * al. 2020). The filter gets no gradient.
 */
export function upfirdn2d(x: Tensor, filter: Tensor, options: UpfirdnOptions = {}): Tensor {
  const { up = 1, down = 1, pad = [0, 0], flip = false, gain = 1 } = options;
  const pads = pad.length === 2 ? ([...pad, ...pad] as const) : pad;
  return apply(upfirdnOp, [x, filter], { up: pair(up), down: pair(down), pad: pads, flip, gain });
}
