/** What wgrad generate is to make, out of its options; everything that can be wrong with them shows here. */
import { UserError } from '../../io/errors.ts';
import type { Truncation } from '../../models/stylegan2/latents.ts';
import { parseChoice, parseNumber } from '../values.ts';
import { type Mixing, parseGrid, parseList, parseMixing } from './arguments.ts';
import { frameCount } from './latents.ts';
import { type SeedMode, seedModes } from './seeds.ts';

/** One file an image, one picture, or an animation. */
export type Output =
  | { readonly kind: 'images' }
  | { readonly kind: 'grid'; readonly columns: number; readonly rows: number }
  | ({ readonly kind: 'mixing' } & Mixing)
  | {
      readonly kind: 'interpolation';
      readonly space: 'w' | 'z';
      /** From one latent to the next. */
      readonly frames: number;
      readonly fps: number;
      readonly loops: number;
    };

/** Whether an interpolation that is played so often goes back to its first latent. */
export const isClosed = (loops: number) => loops !== 1;

export interface Job {
  readonly output: Output;
  /** A folder, or a file. */
  readonly out: string;
  readonly seeds: readonly number[];
  readonly seedMode: SeedMode;
  /** A file in place of seeds. */
  readonly latents: string | undefined;
  readonly truncation: Truncation;
  readonly noise: 'const' | 'random' | 'none';
  /** Of random noise; undefined for the images' own numbers. */
  readonly noiseSeeds: readonly number[] | undefined;
}

type Texts = Readonly<Record<string, string | undefined>>;

const DEFAULT_SEEDS = '0-7';

/**
 * @param texts the options' values by their names
 * @param rest what stands behind --mix and its first part
 * @param latents that the generator takes
 */
export function readJob(texts: Texts, rest: readonly string[], latents: number): Job {
  const kinds = ['grid', 'mix', 'interpolate'].filter(kind => texts[kind] !== undefined);
  if (kinds.length > 1) throw new UserError(`--${kinds[0]} and --${kinds[1]} are two pictures: make one at a time`);
  if (rest.length > 0 && texts.mix === undefined) throw new UserError(`generate: what is '${rest[0]}'? (see --help)`);
  const needs = (option: string, needed: string) => {
    if (texts[option] !== undefined && texts[needed] === undefined)
      throw new UserError(`--${option} ${texts[option]} is for --${needed}, which is not given`);
  };
  for (const option of ['frames', 'fps', 'loops']) needs(option, 'interpolate');
  needs('cutoff', 'truncation');
  const excludes = (option: string, others: readonly string[]) => {
    const other = others.find(one => texts[option] !== undefined && texts[one] !== undefined);
    if (other !== undefined) throw new UserError(`--${option} takes the place of --${other}: leave one of them out`);
  };
  excludes('latents', ['seeds', 'seed-mode', 'mix']);
  excludes('mix', ['seeds']);

  const output = readOutput(texts, rest, latents);
  const seeds = seedsOf(texts, output);
  if (texts.latents !== undefined && output.kind === 'interpolation' && output.space === 'z') {
    throw new UserError('--interpolate z: stored latents are w; give --interpolate w');
  }
  const cutoff =
    texts.cutoff === undefined ? undefined : parseNumber('--cutoff', texts.cutoff, 0, latents, { whole: true });
  const isImage = output.kind === 'images' || output.kind === 'grid';
  return {
    output,
    out: readOut(texts.out, output),
    seeds,
    seedMode: parseChoice('--seed-mode', texts['seed-mode'] ?? 'numpy', seedModes),
    latents: texts.latents,
    truncation: { psi: parseNumber('--truncation', texts.truncation ?? '1', -10, 10), cutoff },
    noise: parseChoice('--noise', texts.noise ?? 'const', ['const', 'random', 'none']),
    noiseSeeds: isImage && texts.latents === undefined ? seeds : undefined,
  };
}

function readOutput(texts: Texts, rest: readonly string[], latents: number): Output {
  if (texts.grid !== undefined) return { kind: 'grid', ...parseGrid(texts.grid) };
  if (texts.mix !== undefined) return { kind: 'mixing', ...parseMixing([texts.mix, ...rest], latents) };
  if (texts.interpolate === undefined) return { kind: 'images' };
  return {
    kind: 'interpolation',
    space: parseChoice('--interpolate', texts.interpolate, ['w', 'z']),
    frames: parseNumber('--frames', texts.frames ?? '24', 1, 10_000, { whole: true }),
    fps: parseNumber('--fps', texts.fps ?? '24', 0.1, 100),
    loops: parseNumber('--loops', texts.loops ?? '0', 0, 65_535, { whole: true }),
  };
}

/** The seeds of a job; none where it has stored latents. A grid without any takes as many as it has cells. */
function seedsOf(texts: Texts, output: Output): number[] {
  if (texts.latents !== undefined) return [];
  if (output.kind === 'mixing') return [...output.rows, ...output.columns];
  const standard = output.kind === 'grid' ? `0-${output.columns * output.rows - 1}` : DEFAULT_SEEDS;
  return parseList('--seeds', texts.seeds ?? standard);
}

/** Bytes of pixels that are held at once: of a picture, which sharp limits, and of all frames, as one of a WebP. */
const MAX_BYTES = { picture: 3 * 0x3fff ** 2, webp: 2 ** 30, png: 2 ** 33 };

/** @throws UserError where an output cannot be made of so many latents, or is too large in images of this size */
export function refuseCount({ output, out }: Job, count: number, size: number): void {
  if (output.kind === 'grid' && count !== output.columns * output.rows) {
    const { columns, rows } = output;
    throw new UserError(`--grid ${columns}x${rows} has ${columns * rows} cells, and there are ${count} images`);
  }
  if (output.kind === 'interpolation' && count < 2) {
    throw new UserError('--interpolate: it goes from one latent to the next, and there is only one');
  }
  if (output.kind === 'images') return;
  const images = imagesOf(output, count);
  const isAnimation = output.kind === 'interpolation';
  const most = MAX_BYTES[!isAnimation ? 'picture' : /\.webp$/i.test(out) ? 'webp' : 'png'];
  if (3 * size ** 2 * images > most) {
    const what = isAnimation ? 'frames' : 'images';
    throw new UserError(`${out}: ${images} ${what} of ${size} pixels are too many for one file`);
  }
}

/** The images in one file that is made of so many latents, the corner of a table of mixing included. */
function imagesOf(output: Exclude<Output, { kind: 'images' }>, count: number): number {
  if (output.kind === 'grid') return count;
  if (output.kind === 'mixing') return (output.rows.length + 1) * (output.columns.length + 1);
  return frameCount(count, { frames: output.frames, closed: isClosed(output.loops) });
}

function readOut(out: string | undefined, { kind }: Output): string {
  const [standard, endings] = {
    images: ['generated', undefined] as const,
    grid: ['grid.png', /\.png$/i] as const,
    mixing: ['mixing.png', /\.png$/i] as const,
    interpolation: ['interpolation.webp', /\.(png|webp)$/i] as const,
  }[kind];
  const path = out ?? standard;
  if (path === '' || (endings && !endings.test(path))) {
    const wanted = {
      images: 'a folder',
      grid: 'a .png file',
      mixing: 'a .png file',
      interpolation: 'a .webp or .png file',
    };
    throw new UserError(`--out ${path}: name ${wanted[kind]}`);
  }
  return path;
}
