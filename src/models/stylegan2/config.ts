import { UserError } from '../../io/errors.ts';

/** The sizes of a StyleGAN2: the same table of channels serves generator and discriminator. */
export interface StyleGan2Config {
  /** Pixels of an image's side: a power of two from 8 to 1024. */
  readonly size: number;
  /** Channels at each resolution from 4 to `size`. */
  readonly channels: Readonly<Record<number, number>>;
  /** Length of z and w. */
  readonly wDim: number;
  /** Layers of the mapping network. */
  readonly mappingLayers: number;
  /**
   * Of the discriminator: residual blocks (the default); 'orig', its blocks without their skip branches; or 'skip',
   * where each resolution gets the image too (Karras et al. 2020, figure 7).
   */
  readonly architecture?: Architecture;
  /** Images whose standard deviation the discriminator sees as one, if the batch has as many. Default 4. */
  readonly mbstdGroup?: number;
  /**
   * Limits what every activated convolution and to-RGB layer gives to ± this (256 in networks trained in mixed
   * precision, whose function it is part of). Default: no limit.
   */
  readonly convClamp?: number;
  /** How many of the highest resolutions, from 8 on, compute with f16 activations. Default 0. */
  readonly halfResolutions?: number;
}

export const architectures = ['resnet', 'orig', 'skip'] as const;
export type Architecture = (typeof architectures)[number];

/** Components of w in configuration F. */
export const F_W_DIM = 512;

/**
 * Configuration F of Karras et al. 2020 (arXiv 1912.04958): min(⌊base / r⌋, 512) channels at resolution r, 8 mapping
 * layers. A base of 16384 gives the half-width networks.
 */
export function configF(size: number, base = 32768): StyleGan2Config {
  const channels: Record<number, number> = {};
  for (let r = 4; r <= size; r *= 2) channels[r] = Math.min(Math.floor(base / r), 512);
  return { size, channels, wDim: F_W_DIM, mappingLayers: 8 };
}

function small(widths: readonly number[], wDim: number, mappingLayers: number): StyleGan2Config {
  const channels = Object.fromEntries(widths.map((width, i) => [4 << i, width]));
  return { size: 4 << (widths.length - 1), channels, wDim, mappingLayers };
}

/**
 * Small networks of the same topology, for tests, demonstrations and the auxiliary generator; and the published ones.
 */
export const presets = {
  micro16: small([16, 16, 8], 32, 2),
  tiny32: small([32, 32, 16, 8], 64, 2),
  small32: small([64, 64, 32, 16], 128, 4),
  demo32: small([64, 64, 64, 32], 128, 4),
  tiny64: small([32, 32, 32, 16, 8], 64, 2),
  small64: small([64, 64, 32, 16, 8], 128, 4),
  demo64: small([64, 64, 64, 32, 16], 128, 4),
  gpu64: small([256, 256, 256, 128, 64], 512, 4),
  f256: configF(256),
  f512: configF(512),
  f1024: configF(1024),
} as const satisfies Record<string, StyleGan2Config>;

/** Throws a UserError for a size that no network has. */
export function refuseSize(size: number): void {
  if (!(size >= 8 && size <= 1024 && Number.isInteger(Math.log2(size)))) {
    throw new UserError(`StyleGAN2: size ${size} is no power of two from 8 to 1024`);
  }
}

/** The resolutions 4, 8, … of a configuration. Throws a UserError for a size or a table that cannot be built. */
export function resolutions({ size, channels }: StyleGan2Config): number[] {
  refuseSize(size);
  const all = Array.from({ length: Math.log2(size) - 1 }, (_, i) => 4 << i);
  for (const r of all) {
    if (!(channels[r] >= 1 && Number.isInteger(channels[r]))) {
      throw new UserError(`StyleGAN2: no number of channels is given for resolution ${r}`);
    }
  }
  return all;
}

/** The type of activations at a resolution: f16 at the highest ones, as many as the configuration says, from 8 on. */
export function typeAt(resolution: number, { size, halfResolutions = 0 }: StyleGan2Config): 'f16' | 'f32' {
  return halfResolutions > 0 && resolution >= Math.max((2 * size) / 2 ** halfResolutions, 8) ? 'f16' : 'f32';
}

/** Latent vectors that the synthesis of this size takes: 2 log₂(size) - 2. */
export function latentCount(size: number): number {
  return 2 * Math.log2(size) - 2;
}
