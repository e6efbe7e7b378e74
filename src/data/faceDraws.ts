import { philox4x32 } from '../runtime/philox.ts';

/** Random draws and colours for the parameters of the procedural faces. */

/** Linear light, 1 the brightest that an sRGB byte can state. */
export type Rgb = readonly [number, number, number];

/**
 * A stream of Philox draws; the counter is (identity, view, block, part), the key (seed, a constant of this data set).
 */
export class Draws {
  private block = 0;
  private left: number[] = [];
  constructor(
    private readonly identity: number,
    private readonly view: number,
    private readonly part: number,
    private readonly seed: number,
  ) {}

  /** Uniform in [low, high). */
  uniform(low = 0, high = 1): number {
    if (this.left.length === 0) {
      this.left = philox4x32([this.identity, this.view, this.block++, this.part], [this.seed, 0xface5]);
    }
    return low + ((high - low) * this.left.pop()!) / 4294967296;
  }

  /** Roughly normal: a sum of four uniforms, so that it never strays more than 3.5 deviations. */
  normal(mean: number, deviation: number): number {
    const sum = this.uniform() + this.uniform() + this.uniform() + this.uniform();
    return mean + deviation * (sum - 2) * Math.sqrt(3);
  }

  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** An index drawn with the given weights. */
  weighted(weights: readonly number[]): number {
    let at = this.uniform() * weights.reduce((a, b) => a + b, 0);
    for (let i = 0; i < weights.length - 1; i++) {
      at -= weights[i]!;
      if (at < 0) return i;
    }
    return weights.length - 1;
  }
}

export const clamp = (x: number, low: number, high: number) => Math.min(high, Math.max(low, x));
const mixNumber = (a: number, b: number, t: number) => a + (b - a) * t;
export const mixRgb = (a: Rgb, b: Rgb, t: number): Rgb => [
  mixNumber(a[0], b[0], t),
  mixNumber(a[1], b[1], t),
  mixNumber(a[2], b[2], t),
];
export const scaleRgb = (c: Rgb, k: number): Rgb => [c[0] * k, c[1] * k, c[2] * k];

/** A colour given in sRGB bytes, as linear light. */
export function srgb(r: number, g: number, b: number): Rgb {
  const linear = (byte: number) => {
    const c = byte / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return [linear(r), linear(g), linear(b)];
}

/** A colour by hue (0..1), saturation and value, as linear light. */
export function hsv(h: number, s: number, v: number): Rgb {
  const channel = (n: number) => {
    const k = (n + h * 6) % 6;
    return 255 * (v - v * s * clamp(Math.min(k, 4 - k), 0, 1));
  };
  return srgb(channel(5), channel(3), channel(1));
}
