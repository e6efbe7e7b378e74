/** Latents on the host: from seeds and files, and between them. */
import { readFile } from 'node:fs/promises';
import { UserError } from '../../io/errors.ts';
import { stateDictOf } from '../../io/weights.ts';
import type { Latents } from '../../models/stylegan2/sampler.ts';
import type { Mixing } from './arguments.ts';

/**
 * All latents of a file, one behind the other as W+ [N, n, D]: of each tensor [D] or [N, D] as W, [N, n, D] as W+.
 * @throws UserError where a tensor has another shape, or a value that is not finite
 */
export async function readLatents(path: string, n: number, d: number): Promise<Latents> {
  const parts: Float32Array[] = [];
  for (const [key, { shape, data }] of stateDictOf(await readFile(path), path)) {
    const isWide = shape.length === 3 && shape[1] === n;
    if (shape.at(-1) !== d || !(isWide || shape.length === 1 || shape.length === 2)) {
      throw new UserError(`${path}: "${key}" is [${shape}], wanted [N, ${d}] of W or [N, ${n}, ${d}] of W+`);
    }
    if (!Array.from(data, Number).every(Number.isFinite))
      throw new UserError(`${path}: "${key}" has values that are not finite`);
    const values = Float32Array.from(data, Number);
    parts.push(isWide ? values : repeated({ shape: [values.length / d, d], data: values }, n).data);
  }
  const count = parts.reduce((sum, part) => sum + part.length, 0) / (n * d);
  if (count === 0) throw new UserError(`${path}: there is no latent in it`);
  const data = new Float32Array(count * n * d);
  parts.reduce((at, part) => {
    data.set(part, at);
    return at + part.length;
  }, 0);
  return { shape: [count, n, d], data };
}

/** W [N, D] as W+ [N, n, D]. */
export function repeated({ shape: [count, d], data }: Latents, n: number): Latents {
  const wide = new Float32Array(count * n * d);
  for (let i = 0; i < count * n; i++) wide.set(rowOf(data, Math.floor(i / n), d), i * d);
  return { shape: [count, n, d], data: wide };
}

/**
 * The cells of a table of style mixing, row by row behind the corner: the columns' own latents on top, the rows' at the
 * left (Karras et al. 2019, figure 3). @param wide W+ of the rows' seeds and then of the columns'
 */
export function mixed({ shape: [, n, d], data }: Latents, { rows, columns, layers }: Mixing): Latents {
  const latent = (i: number) => rowOf(data, i, n * d);
  const cells = columns.map((_, column) => latent(rows.length + column));
  rows.forEach((_, row) => {
    cells.push(latent(row));
    columns.forEach((_, column) => {
      const cell = latent(row).slice();
      for (const layer of layers) cell.set(rowOf(latent(rows.length + column), layer, d), layer * d);
      cells.push(cell);
    });
  });
  const result = new Float32Array(cells.length * n * d);
  cells.forEach((cell, i) => {
    result.set(cell, i * n * d);
  });
  return { shape: [cells.length, n, d], data: result };
}

export interface Path {
  /** From one latent to the next, that of the one included. */
  readonly frames: number;
  /** Back to the first one at the end, which is not shown twice. */
  readonly closed: boolean;
  /** Along the arc between two (Shoemake 1985), as z lie, and not along the straight line, as w do. */
  readonly spherical: boolean;
}

/** The frames of a path through so many latents. */
export function frameCount(count: number, { frames, closed }: Pick<Path, 'frames' | 'closed'>): number {
  return closed ? count * frames : (count - 1) * frames + 1;
}

/** A walk through latents in their order, all with the same number of frames between them. */
export function interpolated({ shape: [count, ...row], data }: Latents, { frames, closed, spherical }: Path): Latents {
  const size = row.reduce((a, b) => a * b, 1);
  const total = frameCount(count, { frames, closed });
  const result = new Float32Array(total * size);
  for (let frame = 0; frame < total; frame++) {
    const piece = Math.floor(frame / frames);
    const t = (frame % frames) / frames;
    const [a, b] = [rowOf(data, piece, size), rowOf(data, (piece + 1) % count, size)];
    const [of, to] = spherical ? arc(a, b, t) : [1 - t, t];
    for (let i = 0; i < size; i++) result[frame * size + i] = of * a[i] + to * b[i];
  }
  return { shape: [total, ...row], data: result };
}

/** The factors of two vectors at a part of the angle between them. */
function arc(a: Float32Array, b: Float32Array, t: number): [number, number] {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const sine = Math.sin(angle);
  return sine < 1e-6 ? [1 - t, t] : [Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine];
}

function rowOf(data: Float32Array, i: number, size: number): Float32Array {
  return data.subarray(i * size, (i + 1) * size);
}
