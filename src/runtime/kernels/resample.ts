import blurSource from '../../../shaders/blur4x4.wgsl';
import source from '../../../shaders/resample2d.wgsl';
import upfirdnSource from '../../../shaders/upfirdn2d.wgsl';
import doubleSource from '../../../shaders/upfirdn2d_double.wgsl';
import halfSource from '../../../shaders/upfirdn2d_half.wgsl';
import { type Device, floatBits, grid } from '../device.ts';
import { overPlanes } from '../parts.ts';
import type { Tensor } from '../tensor.ts';

const RESAMPLE = { name: 'resample2d', source };
const UPFIRDN = { name: 'upfirdn2d', source: upfirdnSource };
const BLUR = { name: 'blur4x4', source: blurSource };
const DOUBLE = { name: 'upfirdn2d_double', source: doubleSource };
const HALF = { name: 'upfirdn2d_half', source: halfSource };
const WORKGROUP = 64;

/** A sparse matrix [outputs, inputs] as a list of rows of (input index, weight); one axis of a resampling. */
export interface Table {
  readonly inputs: number;
  readonly rows: readonly (readonly (readonly [index: number, weight: number])[])[];
}

/** The transposed matrix: the table of the gradient. */
export function transposeTable({ inputs, rows }: Table): Table {
  const columns: [number, number][][] = Array.from({ length: inputs }, () => []);
  rows.forEach((row, output) => {
    for (const [index, weight] of row) columns[index].push([output, weight]);
  });
  return { inputs: rows.length, rows: columns };
}

/** Weights of a row, on average. */
function tapsOf({ rows }: Table): number {
  return rows.reduce((sum, row) => sum + row.length, 0) / rows.length;
}

const uploaded = new WeakMap<Device, WeakMap<Table, Tensor>>();

/** A table as resample2d.wgsl reads it, uploaded once for each device. */
function onDevice(device: Device, table: Table): Tensor {
  let tables = uploaded.get(device);
  if (!tables) {
    tables = new WeakMap();
    uploaded.set(device, tables);
  }
  let tensor = tables.get(table);
  if (!tensor) {
    const offsets = [0];
    const entries: number[] = [];
    for (const row of table.rows) {
      for (const [index, weight] of row) entries.push(index, floatBits(weight));
      offsets.push(entries.length / 2);
    }
    tensor = device.keep(device.tensor([...offsets, ...entries], [offsets.length + entries.length], 'u32', 'table'));
    tables.set(table, tensor);
  }
  return tensor;
}

/** y [N, C, OH, OW] = rows · x [N, C, H, W] · columnsᵀ, plane by plane. */
export function resample2d(x: Tensor, rows: Table, columns: Table): Tensor {
  const [n, c, height, width] = x.shape;
  if (x.rank !== 4 || rows.inputs !== height || columns.inputs !== width) {
    throw new Error(`resample2d: ${x} does not fit tables for ${rows.inputs}×${columns.inputs}`);
  }
  const { device } = x;
  const y = device.empty([n, c, rows.rows.length, columns.rows.length]);
  if (x.parts || y.parts) return overPlanes([x], y, ([planes]) => resample2d(planes, rows, columns));
  const words = [y.size, height, width, rows.rows.length, columns.rows.length];
  const tables = [onDevice(device, rows), onDevice(device, columns)];
  const flop = 2 * tapsOf(rows) * (tapsOf(columns) + 1) * y.size;
  device.dispatch(device.kernel(RESAMPLE), [x, ...tables, y], words, grid(y.size, WORKGROUP), flop);
  return y;
}

/**
 * What upfirdn2d does to an image: factors and pads for [y, x], the pads before and after each axis; negative pads
 * crop.
 */
export interface Upfirdn {
  readonly up: readonly [number, number];
  readonly down: readonly [number, number];
  readonly pad: readonly [top: number, bottom: number, left: number, right: number];
  /** False for a true convolution (the filter reversed), true for a correlation. */
  readonly flip: boolean;
  readonly gain: number;
}

/** y [N, C, OH, OW] from x [N, C, H, W] and a filter [KH, KW]: upsample, pad, filter, downsample. */
export function upfirdn2d(x: Tensor, filter: Tensor, options: Upfirdn): Tensor {
  const { up, down, pad, flip, gain } = options;
  const [n, c, height, width] = x.shape;
  const [kh, kw] = filter.shape;
  const outHeight = Math.floor((height * up[0] + pad[0] + pad[1] - kh + down[0]) / down[0]);
  const outWidth = Math.floor((width * up[1] + pad[2] + pad[3] - kw + down[1]) / down[1]);
  if (outHeight < 1 || outWidth < 1) throw new Error(`upfirdn2d: ${x} is smaller than the filter ${kh}×${kw}`);
  const { device } = x;
  const y = device.empty([n, c, outHeight, outWidth], x.dtype);
  const tile = { HALF: Number(x.dtype === 'f16') };
  if (x.parts || y.parts) return overPlanes([x], y, ([planes]) => upfirdn2d(planes, filter, options));
  const rest = [flip ? 1 : 0, floatBits(gain)];
  const [ups, downs] = [up.join(), down.join()];
  const flop = (2 * kh * kw * y.size) / (up[0] * up[1]); // the taps that meet a sample
  if (kh === 4 && kw === 4 && downs === '1,1' && ups === '2,2') {
    // Of rows and of columns; the first pair begins before pixel 0 where the padding is even.
    const pairs = (size: number, padding: number) => Math.ceil((size + 1 - (padding & 1)) / 2);
    const tilesY = Math.ceil(pairs(outHeight, pad[0]) / 2);
    const tilesX = Math.ceil(pairs(outWidth, pad[2]) / 2);
    const tiles = n * c * tilesY * tilesX;
    const words = [tiles, height, width, outHeight, outWidth, pad[0], pad[2], tilesY, tilesX, ...rest];
    device.dispatch(device.kernel(DOUBLE, { tile }), [x, filter, y], words, grid(tiles, WORKGROUP), flop);
    return y;
  }
  if (kh === 4 && kw === 4 && ups === '1,1' && (downs === '1,1' || downs === '2,2')) {
    const [kernel, tileWidth] = downs === '1,1' ? [BLUR, 4] : [HALF, 2];
    const tiles = n * c * Math.ceil(outHeight / 4) * Math.ceil(outWidth / tileWidth);
    const words = [tiles, height, width, outHeight, outWidth, pad[0], pad[2], ...rest];
    device.dispatch(device.kernel(kernel, { tile }), [x, filter, y], words, grid(tiles, WORKGROUP), flop);
    return y;
  }
  const words = [y.size, height, width, outHeight, outWidth, kh, kw, ...up, ...down, pad[0], pad[2]];
  words.push(...rest);
  device.dispatch(device.kernel(UPFIRDN, { tile }), [x, filter, y], words, grid(y.size, WORKGROUP), flop);
  return y;
}
