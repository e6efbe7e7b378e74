import { type Device, grid } from '../device.ts';
import type { Shape } from '../shape.ts';
import type { Tile } from '../template.ts';
import { rounded, type Variant } from '../variants.ts';

/** Geometry of a convolution: [vertical, horizontal] strides and zero padding, and the number of groups. */
export interface ConvGeometry {
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly groups: number;
}

/** Sizes of a convolution: c channels of height × width in, o of outHeight × outWidth out. */
export interface ConvSizes extends ConvGeometry {
  readonly n: number;
  readonly c: number;
  readonly height: number;
  readonly width: number;
  readonly o: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly kh: number;
  readonly kw: number;
  /** Whether the operands are f16; sums are f32. */
  readonly half: boolean;
  /** Whether an epilogue follows, which needs whole sums. */
  readonly fused?: boolean;
}

/** What convolutions that take the same variant have in common; see Family.shapeClass. */
export function shapeClass(sizes: ConvSizes): string {
  const { n, c, width, o, outHeight, outWidth, kh, kw, stride, padding, groups, half, fused } = sizes;
  const kernel = `k${kh}x${kw} s${stride.join('x')} p${padding.join('x')}`;
  const channels = `${rounded(c / groups)}-${rounded(o / groups)}${groups > 1 ? ` g${rounded(groups)}` : ''}`;
  const maps = `${rounded(n)}x${rounded(outHeight)}x${rounded(outWidth)}`;
  const vectors = [width, outWidth].map(size => (size % 4 === 0 ? 'v' : 's')).join('');
  return `${kernel} ${channels} ${maps} ${vectors}${half ? ' f16' : ''}${fused ? ' fused' : ''}`;
}

/** Multiply-adds with the padding, counted twice. */
export function flopOf({ n, c, o, outHeight, outWidth, kh, kw, groups }: ConvSizes): number {
  return 2 * n * o * (c / groups) * kh * kw * outHeight * outWidth;
}

/** The type of the operands. */
export function typeOf({ half }: ConvSizes): 'f16' | 'f32' {
  return half ? 'f16' : 'f32';
}

/** [N, C, H, W] */
export function inputShape({ n, c, height, width }: Pick<ConvSizes, 'n' | 'c' | 'height' | 'width'>): Shape {
  return [n, c, height, width];
}

/** Blocks of output channels, which do not cross groups. */
export function channelBlocks({ o, groups }: ConvSizes, block: number): number {
  return groups * Math.ceil(o / groups / block);
}

/**
 * The workgroups for patches of pixels in blocks of output channels. The lanes of a workgroup have a patch each, or as
 * a subgroup (a tile with LANES) one patch and other channels each.
 */
export function patchGrid(
  sizes: ConvSizes,
  patches: number,
  { OUTPUTS, LANES = 1, WORKGROUP = 1 }: Tile,
): [x: number, y: number, z: number] {
  const [x, z] = grid(patches, WORKGROUP);
  return [x, channelBlocks(sizes, LANES * OUTPUTS), z];
}

/** The variants with those first that GPUs, or CPU drivers, are fastest with. */
export function inOrder(direct: Variant[], gemm: Variant[], { isCpu }: Device): Variant[] {
  return isCpu ? [...direct, ...gemm] : [...gemm, ...direct];
}

/** Rows and vectors of a subgroup's patch of pixels, and how much longer a pixel takes in smaller ones. */
const SUBGROUP_PATCHES = [
  { ROWS: 4, VECTORS: 2, cost: 1 },
  { ROWS: 1, VECTORS: 8, cost: 1 },
  { ROWS: 4, VECTORS: 1, cost: 1.2 },
  { ROWS: 2, VECTORS: 2, cost: 1.2 },
  { ROWS: 1, VECTORS: 4, cost: 1.2 },
  { ROWS: 1, VECTORS: 1, cost: 2 },
] as const;

/**
 * Tiles of the shaders in which a subgroup's lanes are output channels and load the pixels together, for maps of
 * height × width and at least as many channels as lanes: the cheapest first, by the pixels that lie outside the maps.
 */
export function subgroupTiles({ o, groups, kw }: ConvSizes, height: number, width: number, LANES: number): Tile[] {
  if (LANES === 0 || o / groups < LANES) return [];
  const OUTPUTS = Math.min(kw === 1 ? 4 : 2, 2 ** Math.floor(Math.log2(o / groups / LANES)));
  const padded = (size: number, block: number) => Math.ceil(size / block) * block;
  return SUBGROUP_PATCHES.map(({ cost, ...tile }) => ({
    tile: { LANES, OUTPUTS, ...tile },
    cost: cost * padded(height, tile.ROWS) * padded(width, 4 * tile.VECTORS),
  }))
    .filter(({ cost }, i, all) => i === all.length - 1 || cost <= 2 * height * width)
    .sort((a, b) => a.cost - b.cost)
    .map(({ tile }) => tile);
}

/** A sum of `length` products cut into about `wanted` pieces, whose lengths are multiples of 4. */
export function cutSums(length: number, wanted: number): [piece: number, count: number] {
  const piece = 4 * Math.ceil(length / wanted / 4);
  return [piece, Math.ceil(length / piece)];
}

/** The remainder from 0 on, also of a negative number. */
export function modulo(a: number, b: number): number {
  return ((a % b) + b) % b;
}
