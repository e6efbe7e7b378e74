/**
 * Animated PNG (W3C PNG Specification, third edition): frames of one size, lossless. A reader that knows no animations
 * shows the first frame.
 */
import { zlibSync } from 'fflate';
import { crc32 } from './crc.ts';
import type { Rgb8 } from './rgb8.ts';

export interface AnimationOptions {
  /** Frames a second, 0.01 to 100. */
  readonly fps: number;
  /** How often it plays; 0 for ever. */
  readonly loops: number;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** A delay is a fraction of two 16-bit numbers, in seconds: this over so many times the frames of a second. */
const DELAY = 100;

/** The file of an animation of at least one frame, in chunks. */
export function encodeApng(frames: readonly Rgb8[], { fps, loops }: AnimationOptions): Uint8Array[] {
  const [{ width, height }] = frames;
  const parts = [Uint8Array.from(SIGNATURE), chunk('IHDR', [u32(width), u32(height), [8, 2, 0, 0, 0]])];
  parts.push(chunk('acTL', [u32(frames.length), u32(loops)]));
  let sequence = 0;
  frames.forEach((frame, i) => {
    const delay = [...u16(DELAY), ...u16(Math.round(DELAY * fps))];
    const place = [...u32(width), ...u32(height), ...u32(0), ...u32(0)];
    // Each frame is a whole one that replaces the one before.
    parts.push(chunk('fcTL', [u32(sequence++), place, delay, [0, 0]]));
    const data = zlibSync(filtered(frame), { level: 9 });
    parts.push(i === 0 ? chunk('IDAT', [data]) : chunk('fdAT', [u32(sequence++), data]));
  });
  parts.push(chunk('IEND', []));
  return parts;
}

/** Length, type, content and the check of the last two. */
function chunk(type: string, content: readonly ArrayLike<number>[]): Uint8Array {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(12 + length);
  bytes.set(u32(length));
  bytes.set(new TextEncoder().encode(type), 4);
  let at = 8;
  for (const part of content) {
    bytes.set(part, at);
    at += part.length;
  }
  bytes.set(u32(crc32(bytes.subarray(4, at))), at);
  return bytes;
}

/** A predictor of a byte from that to its left, that above it and that above left. */
const FILTERS: readonly ((left: number, above: number, corner: number) => number)[] = [
  () => 0,
  left => left,
  (_, above) => above,
  (left, above) => (left + above) >> 1,
  (left, above, corner) => {
    const estimate = left + above - corner;
    const toLeft = Math.abs(estimate - left);
    const toAbove = Math.abs(estimate - above);
    const toCorner = Math.abs(estimate - corner);
    if (toLeft <= toAbove && toLeft <= toCorner) return left;
    return toAbove <= toCorner ? above : corner;
  },
];

/** The rows, each behind the number of the filter that leaves the smallest differences (section 12.7). */
function filtered({ width, height, data }: Rgb8): Uint8Array {
  const stride = 3 * width;
  const result = new Uint8Array(height * (1 + stride));
  for (let y = 0; y < height; y++) {
    const at = (x: number, row: number) => (x < 0 || row < 0 ? 0 : data[row * stride + x]);
    let least = Number.POSITIVE_INFINITY;
    FILTERS.forEach((predict, filter) => {
      const row = new Uint8Array(1 + stride);
      row[0] = filter;
      let sum = 0;
      for (let x = 0; x < stride; x++) {
        row[1 + x] = at(x, y) - predict(at(x - 3, y), at(x, y - 1), at(x - 3, y - 1));
        sum += Math.min(row[1 + x], 256 - row[1 + x]);
      }
      if (sum >= least) return;
      least = sum;
      result.set(row, y * (1 + stride));
    });
  }
  return result;
}

const u16 = (value: number) => [value >>> 8, value & 255];
const u32 = (value: number) => [...u16(value >>> 16), ...u16(value & 0xffff)];
