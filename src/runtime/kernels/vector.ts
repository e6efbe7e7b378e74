import type { Device } from '../device.ts';
import type { DType, Tensor } from '../tensor.ts';

/** The ELEMENT of a shader that walks along runs of this many elements: vec4f where four divides them, else f32. */
export function vectorText(length: number): { lanes: 1 | 4; text: { ELEMENT: string } } {
  return length % 4 === 0 ? { lanes: 4, text: { ELEMENT: 'vec4f' } } : { lanes: 1, text: { ELEMENT: 'f32' } };
}

/** The type in memory of ELEMENTs of this many lanes. */
export function storedType(lanes: number, dtype: DType): string {
  if (dtype === 'f16') return lanes === 4 ? 'vec4h' : 'f16';
  return lanes === 4 ? 'vec4f' : 'f32';
}

/** The number HALF of a template that declares f16 where one of its operands is. */
export function halfTile(...operands: readonly Tensor[]): { readonly HALF: number } {
  return { HALF: Number(operands.some(({ dtype }) => dtype === 'f16')) };
}

/** The text that adds up the components of the ELEMENT v. */
export function collectText(lanes: 1 | 4): string {
  return lanes === 4 ? 'dot(v, vec4f(1.0))' : 'v';
}

/** Elements that one workgroup adds up. */
const SPLIT = 16384;

/** How many workgroups add up a run of this many elements: the splits that it is cut into. */
export function splitsOf(elements: number): number {
  return Math.min(64, Math.ceil(elements / SPLIT));
}

/** How kernels walk through x [N, C, …] channel by channel: counts are of ELEMENTs, of `lanes` elements each. */
export interface ChannelWalk {
  readonly lanes: 1 | 4;
  readonly text: { readonly ELEMENT: string };
  /** Of the whole tensor. */
  readonly size: number;
  readonly samples: number;
  readonly channels: number;
  readonly plane: number;
  /** Pieces that each plane is cut into, for several workgroups, and the length of one. */
  readonly splits: number;
  readonly splitLength: number;
}

export function channelWalk(x: Tensor): ChannelWalk {
  const [samples, channels] = x.shape;
  const elements = x.size / (samples * channels);
  const { lanes, text } = vectorText(elements);
  const plane = elements / lanes;
  const splitLength = Math.ceil(plane / Math.min(plane, splitsOf(samples * elements)));
  const size = samples * channels * plane;
  return { lanes, text, size, samples, channels, plane, splits: Math.ceil(plane / splitLength), splitLength };
}

/** The size of a workgroup that adds up `count` ELEMENTs in all its invocations. */
export function workgroupFor(device: Device, count: number): number {
  if (!device.isCpu) return 64;
  return count <= 1024 ? 8 : 16;
}

/**
 * How many invocations share an output, and the size of a workgroup, for `outputs` sums of `count` ELEMENTs each. On a
 * GPU as many as fill it, as long as each adds two; on a CPU as few as keep its vector units busy. None adds over 512
 * one after the other, which would lose digits, unless 64 invocations are too few for that.
 */
export function lanesFor(device: Device, outputs: number, count: number): { LANES: number; WORKGROUP: number } {
  const cpu = device.isCpu;
  const wanted = Math.max(Math.min((cpu ? 16 : 4096) / outputs, count / 2), count / 512);
  const LANES = Math.min(64, 2 ** Math.ceil(Math.log2(Math.max(1, wanted))));
  return { LANES, WORKGROUP: cpu && outputs * LANES < 512 ? Math.max(8, LANES) : 64 };
}
