/** Adaptive discriminator augmentation as it is defined (NVlabs/stylegan2-ada-pytorch), step by step and in f64. */
import { NORMAL_DRAWS, UNIFORM_DRAWS } from '../src/train/ada/pipeline.ts';

type Matrix = readonly (readonly number[])[];
/** [height][width] */
type Plane = readonly Float64Array[];

/** Columns of the uniform and of the normal draws, in the order of the transforms. */
export const GATES = {
  flip: 0,
  quarterTurn: 1,
  wholeShift: 2,
  scale: 3,
  firstRotation: 4,
  stretch: 5,
  secondRotation: 6,
  shift: 7,
  brightness: 8,
  contrast: 9,
  lumaFlip: 10,
  hue: 11,
  saturation: 12,
} as const;
export type Transform = keyof typeof GATES;

const SYM6 = [
  0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
  0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
  0.0017677118642428036, -0.007800708325034148,
];
const FILTER = SYM6.map(tap => tap / SYM6.reduce((a, b) => a + b, 0));

function multiply(...[first, ...rest]: Matrix[]): Matrix {
  return rest.reduce(
    (a, b) => a.map(row => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0))),
    first,
  );
}

const scale2d = (x: number, y: number): Matrix => [
  [x, 0, 0],
  [0, y, 0],
  [0, 0, 1],
];
const translate2d = (x: number, y: number): Matrix => [
  [1, 0, x],
  [0, 1, y],
  [0, 0, 1],
];
/** Exact at multiples of 90°, which decide about whole margins. */
function rotate2d(angle: number): Matrix {
  const clean = (x: number) => (Math.abs(x - Math.round(x)) < 1e-15 ? Math.round(x) : x);
  const [c, s] = [clean(Math.cos(angle)), clean(Math.sin(angle))];
  return [
    [c, -s, 0],
    [s, c, 0],
    [0, 0, 1],
  ];
}
const scale3d = (s: number): Matrix => [0, 1, 2, 3].map(i => [0, 1, 2, 3].map(j => (i === j ? (i < 3 ? s : 1) : 0)));
const translate3d = (t: number): Matrix => scale3d(1).map((row, i) => row.map((x, j) => (i < 3 && j === 3 ? t : x)));
const V = [1, 1, 1, 0].map(x => x / Math.sqrt(3));
/** a I + b v vᵀ */
const axial = (a: number, b: number): Matrix =>
  scale3d(1).map((row, i) => row.map((x, j) => (i === 3 && j === 3 ? 1 : a * x) + b * V[i] * V[j]));
/** Rotation around the unit vector v (Rodrigues). */
function rotate3d(angle: number): Matrix {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const [x, y, z] = V;
  const k = 1 - c;
  return [
    [x * x * k + c, x * y * k - z * s, x * z * k + y * s, 0],
    [y * x * k + z * s, y * y * k + c, y * z * k - x * s, 0],
    [z * x * k - y * s, z * y * k + x * s, z * z * k + c, 0],
    [0, 0, 0, 1],
  ];
}

/** G_inv and C of one image, by the draws that it has. */
export function transformsOf(
  uniform: ArrayLike<number>,
  normal: ArrayLike<number>,
  p: number,
  [height, width]: readonly [number, number],
): { map: Matrix; colour: Matrix } {
  if (uniform.length !== UNIFORM_DRAWS || normal.length !== NORMAL_DRAWS) throw new Error('draws of another image');
  const unit = (i: number) => (uniform[i] + 1) / 2;
  const gate = (name: Transform, chance = p) => unit(GATES[name]) <= chance;
  /** Floor of a uniform number below n; the draws are in (0, 1]. */
  const choice = (i: number, n: number) => Math.ceil(unit(i) * n) - 1;
  // torch.round and WGSL's round take ties to even numbers.
  const round = (x: number) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));
  let g = scale2d(1, 1);
  const then = (inverse: Matrix) => {
    g = multiply(g, inverse);
  };
  if (gate('flip')) then(scale2d(1 / (1 - 2 * choice(13, 2)), 1));
  if (gate('quarterTurn')) then(rotate2d((Math.PI / 2) * choice(14, 4)));
  if (gate('wholeShift')) then(translate2d(-round(uniform[15] * 0.125 * width), -round(uniform[16] * 0.125 * height)));
  if (gate('scale')) then(scale2d(1 / 2 ** (0.2 * normal[0]), 1 / 2 ** (0.2 * normal[0])));
  const chance = 1 - Math.sqrt(Math.min(1, Math.max(0, 1 - p)));
  if (gate('firstRotation', chance)) then(rotate2d(Math.PI * uniform[17]));
  if (gate('stretch')) then(scale2d(1 / 2 ** (0.2 * normal[1]), 2 ** (0.2 * normal[1])));
  if (gate('secondRotation', chance)) then(rotate2d(Math.PI * uniform[18]));
  if (gate('shift')) then(translate2d(-normal[2] * 0.125 * width, -normal[3] * 0.125 * height));
  let c = scale3d(1);
  const also = (matrix: Matrix) => {
    c = multiply(matrix, c);
  };
  if (gate('brightness')) also(translate3d(0.2 * normal[4]));
  if (gate('contrast')) also(scale3d(2 ** (0.5 * normal[5])));
  if (gate('lumaFlip')) also(axial(1, -2 * choice(19, 2)));
  if (gate('hue')) also(rotate3d(Math.PI * uniform[20]));
  if (gate('saturation')) also(axial(2 ** normal[6], 1 - 2 ** normal[6]));
  return { map: g, colour: c };
}

/** [x0, y0, x1, y1] for a batch: the farthest corner and 6 pixels, at most the size less 1. */
export function marginsOf(maps: readonly Matrix[], [height, width]: readonly [number, number]): number[] {
  const [cx, cy] = [(width - 1) / 2, (height - 1) / 2];
  const corners = [
    [-cx, -cx, cx, cx],
    [-cy, cy, -cy, cy],
    [1, 1, 1, 1],
  ];
  const moved = maps.map(map => multiply(map, corners));
  const farthest = [-1, 1].flatMap(sign =>
    [0, 1].map(axis => Math.max(...moved.flatMap(points => points[axis].map(x => sign * x)))),
  );
  return farthest.map((x, i) => {
    const [centre, size] = i % 2 === 0 ? [cx, width] : [cy, height];
    return Math.ceil(Math.min(Math.max(x + 6 - centre, 0), size - 1));
  });
}

/** Rows and columns exchanged. */
const transpose = (plane: Plane): Plane => Array.from(plane[0], (_, j) => Float64Array.from(plane, row => row[j]));

function reflectRows(plane: Plane, before: number, behind: number): Plane {
  const length = plane.length;
  return Array.from({ length: before + length + behind }, (_, i) => {
    const at = Math.abs(i - before);
    return plane[at < length ? at : 2 * (length - 1) - at];
  });
}

/** y[o] = gain Σ F[k] v(o down + k - p0) along the rows, by the definition of upfirdn2d. */
function upfirdnRows(
  plane: Plane,
  { up = 1, down = 1, pads, flip, gain }: { up?: number; down?: number; pads: number[]; flip: boolean; gain: number },
): Plane {
  const filter = flip ? FILTER : [...FILTER].reverse();
  const length = Math.floor((plane.length * up + pads[0] + pads[1] - filter.length + down) / down);
  return Array.from({ length }, (_, o) =>
    Float64Array.from(plane[0], (_, x) => {
      let sum = 0;
      filter.forEach((tap, k) => {
        const at = o * down + k - pads[0];
        if (at >= 0 && at % up === 0 && at / up < plane.length) sum += tap * plane[at / up][x];
      });
      return gain * sum;
    }),
  );
}

/** F.grid_sample with an affine_grid, both with align_corners = False: bilinear, zeros outside. */
function gridSample(plane: Plane, theta: Matrix, height: number, width: number): Plane {
  const [rows, columns] = [plane.length, plane[0].length];
  const at = (y: number, x: number) => (y >= 0 && y < rows && x >= 0 && x < columns ? plane[y][x] : 0);
  return Array.from({ length: height }, (_, r) =>
    Float64Array.from({ length: width }, (_, k) => {
      const point = [[(2 * k + 1) / width - 1], [(2 * r + 1) / height - 1], [1]];
      const [[gx], [gy]] = multiply(theta, point);
      const [x, y] = [((gx + 1) * columns - 1) / 2, ((gy + 1) * rows - 1) / 2];
      // A rounding error must not move a whole coordinate across the border of the zeros.
      const whole = (u: number) => (Math.abs(u - Math.round(u)) < 1e-9 ? Math.round(u) : u);
      const [x0, y0] = [Math.floor(whole(x)), Math.floor(whole(y))];
      const [s, t] = [whole(x) - x0, whole(y) - y0];
      const line = (row: number) => (1 - s) * at(row, x0) + s * at(row, x0 + 1);
      return (1 - t) * line(y0) + t * line(y0 + 1);
    }),
  );
}

/** What AugmentPipe.transform computes, of images [N, 3, H, W]. */
export function augmentReference(
  images: ArrayLike<number>,
  transforms: readonly { readonly map: Matrix; readonly colour: Matrix }[],
  [height, width]: readonly [number, number],
): Float64Array {
  const [mx0, my0, mx1, my1] = marginsOf(
    transforms.map(({ map }) => map),
    [height, width],
  );
  const output = new Float64Array(transforms.length * 3 * height * width);
  const [upWidth, upHeight] = [2 * (width + mx0 + mx1), 2 * (height + my0 + my1)];
  const [outWidth, outHeight] = [2 * (width + 6), 2 * (height + 6)];
  transforms.forEach(({ map, colour }, n) => {
    const theta = multiply(
      scale2d(2 / upWidth, 2 / upHeight),
      translate2d(-0.5, -0.5),
      scale2d(2, 2),
      translate2d((mx0 - mx1) / 2, (my0 - my1) / 2),
      map,
      scale2d(0.5, 0.5),
      translate2d(0.5, 0.5),
      scale2d(outWidth / 2, outHeight / 2),
    );
    const planes = [0, 1, 2].map(c => {
      let plane: Plane = Array.from({ length: height }, (_, y) =>
        Float64Array.from({ length: width }, (_, x) => images[((n * 3 + c) * height + y) * width + x]),
      );
      const both = (each: (plane: Plane, axis: number) => Plane) => {
        plane = transpose(each(transpose(each(plane, 1)), 0));
      };
      both((p, axis) => (axis === 1 ? reflectRows(p, my0, my1) : reflectRows(p, mx0, mx1)));
      both(p => upfirdnRows(p, { up: 2, pads: [6, 5], flip: false, gain: 2 }));
      plane = gridSample(plane, theta, outHeight, outWidth);
      both(p => upfirdnRows(p, { down: 2, pads: [-1, -1], flip: true, gain: 1 }));
      return plane;
    });
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const rgb = multiply(colour, [...planes.map(plane => [plane[y][x]]), [1]]);
        for (let c = 0; c < 3; c++) output[((n * 3 + c) * height + y) * width + x] = rgb[c][0];
      }
    }
  });
  return output;
}
