import gemmSource from '../../shaders/gemm.wgsl';
import matrixSource from '../../shaders/gemm_subgroup_matrix.wgsl';
import type { Device, Shader } from './device.ts';
import type { Tile } from './template.ts';
import { splitsFor, type Variant } from './variants.ts';

/** C [rows × columns] of sums over `inner`, `count` of them: what the tiles of a product have to cover. */
export interface Extent {
  readonly count: number;
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
  /** Whether the operands are f16. */
  readonly half: boolean;
  /** How many partial results there is memory for. */
  readonly mostSplits?: number;
}

/** Tiles of gemm.wgsl, from those for large products to those for small ones. */
const TILES: readonly Tile[] = [
  { TILE_M: 128, TILE_N: 128, TILE_K: 16, ROWS: 8, COLUMNS: 8 },
  { TILE_M: 64, TILE_N: 128, TILE_K: 16, ROWS: 8, COLUMNS: 4 },
  { TILE_M: 64, TILE_N: 64, TILE_K: 16, ROWS: 8, COLUMNS: 4 },
  { TILE_M: 64, TILE_N: 64, TILE_K: 16, ROWS: 4, COLUMNS: 4 },
  { TILE_M: 32, TILE_N: 64, TILE_K: 16, ROWS: 4, COLUMNS: 4 },
  { TILE_M: 32, TILE_N: 32, TILE_K: 16, ROWS: 4, COLUMNS: 4 },
];

/** How many matrices a subgroup holds, and how many subgroups a workgroup has, in gemm_subgroup_matrix.wgsl. */
const MATRIX_TILES: readonly Tile[] = [
  { TILE_K: 32, ROWS: 4, COLUMNS: 4, SUBGROUPS_Y: 2, SUBGROUPS_X: 2 },
  { TILE_K: 32, ROWS: 2, COLUMNS: 4, SUBGROUPS_Y: 2, SUBGROUPS_X: 2 },
  { TILE_K: 32, ROWS: 2, COLUMNS: 2, SUBGROUPS_Y: 2, SUBGROUPS_X: 2 },
];

/** What gemm_subgroup_matrix.wgsl needs to say before everything else. */
const MATRIX_ENABLES = `diagnostic(off, chromium.subgroup_matrix_uniformity);
enable subgroups;
enable chromium_experimental_subgroup_matrix;
`;

/** The operands' file of a product with each of the loops that it can be put before. */
export function gemmShaders(name: string, operands: string): { readonly gemm: Shader; readonly matrix: Shader } {
  return {
    gemm: { name: `gemm_${name}`, source: operands + gemmSource },
    matrix: { name: `gemm_subgroup_matrix_${name}`, source: MATRIX_ENABLES + operands + matrixSource },
  };
}

/**
 * The variants with tiles in workgroup memory that fit the device: with subgroup matrices where it has them, then
 * without.
 */
export function gemmVariants(extent: Extent, device: Device): Variant[] {
  const matrix = extent.half ? MATRIX_TILES.flatMap(tile => withUnit(tile, device)) : [];
  const withSplits = (kernel: string, tile: Tile): Variant[] => {
    const [rows, columns] = tileSize(tile);
    const workgroups = extent.count * Math.ceil(extent.rows / rows) * Math.ceil(extent.columns / columns);
    const most = 2 ** Math.floor(Math.log2(Math.max(1, extent.mostSplits ?? Number.POSITIVE_INFINITY)));
    const wanted = Math.min(splitsFor(extent.inner, workgroups, device), most);
    return [...new Set([wanted, 1])].map(SPLITS => ({ kernel, tile: { ...tile, SPLITS } }));
  };
  return [
    ...matrix.filter(tile => fits(tile, extent, device)).flatMap(tile => withSplits('matrix', tile)),
    ...TILES.filter(tile => fits(tile, extent, device)).flatMap(tile => withSplits('gemm', tile)),
  ];
}

/** Rows and columns of the result that a workgroup computes. */
export function tileSize(tile: Tile): [rows: number, columns: number] {
  if ('TILE_M' in tile) return [tile.TILE_M, tile.TILE_N];
  return [tile.M * tile.ROWS * tile.SUBGROUPS_Y, tile.N * tile.COLUMNS * tile.SUBGROUPS_X];
}

/** The tile with the sizes of the adapter's matrices, if it multiplies f16 to f32 in subgroups of one known size. */
function withUnit(tile: Tile, { adapter, features }: Device): Tile[] {
  if (!features.has('chromium-experimental-subgroup-matrix') || !features.has('subgroups')) return [];
  const info = adapter.adapter.info as GPUAdapterInfo & { readonly subgroupMatrixConfigs?: readonly MatrixConfig[] };
  const size = info.subgroupMinSize;
  if (!size || size !== info.subgroupMaxSize) return [];
  const unit = info.subgroupMatrixConfigs?.find(
    ({ componentType, resultComponentType }) => componentType === 'f16' && resultComponentType === 'f32',
  );
  return unit ? [{ ...tile, M: unit.M, N: unit.N, K: unit.K, SUBGROUP: size }] : [];
}

/** As Dawn tells them. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Whether a tile keeps the device's limits, and is not much larger than the result. */
function fits(tile: Tile, { rows, columns, half }: Extent, { limits, features }: Device): boolean {
  const [tileRows, tileColumns] = tileSize(tile);
  const isMatrix = 'SUBGROUP' in tile;
  const lanes = isMatrix
    ? tile.SUBGROUP * tile.SUBGROUPS_X * tile.SUBGROUPS_Y
    : (tileRows / tile.ROWS) * (tileColumns / tile.COLUMNS);
  const results = isMatrix ? tile.M * tile.N * tile.SUBGROUPS_X * tile.SUBGROUPS_Y * 4 : 0;
  const bytes = (tileRows + tileColumns) * tile.TILE_K * (half ? 2 : 4) + results;
  return (
    lanes <= Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX) &&
    bytes <= limits.maxComputeWorkgroupStorageSize &&
    (!half || features.has('shader-f16')) &&
    (tileRows <= 32 || tileRows < 4 * rows) &&
    (tileColumns <= 32 || tileColumns < 4 * columns)
  );
}
