// The random transforms of adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676, appendix B) with
// probability p each, an image at a time:
//   A = flip 90-degree-rotation shift scale rotation stretch rotation shift: the inverse, output pixel to input pixel
//   colour C rgb + o: brightness, contrast, luma flip, hue, saturation
// and how far the images must be continued at their borders for the batch: the largest way of a corner out of the
// image, and 6 pixels for the filters, at most the size less 1.
//
// 0: p  [1]     1: u  [N, 21]  uniform in (-1, 1]     2: z  [N, 7]  standard normal
// 3: A  [N, 2, 3]     4: C  [N, 3, 3]     5: o  [N, 3, 1]     6: margins  [4]  (u32: left, top, right, bottom)
// The one workgroup makes all images, an invocation every WORKGROUP-th.

struct Params {
  batch: u32,
  height: f32,
  width: f32,
}

@group(0) @binding(0) var<storage, read> probability: array<f32>;
@group(0) @binding(1) var<storage, read> uniform_draws: array<f32>;
@group(0) @binding(2) var<storage, read> normal_draws: array<f32>;
@group(0) @binding(3) var<storage, read_write> maps: array<f32>;
@group(0) @binding(4) var<storage, read_write> colours: array<f32>;
@group(0) @binding(5) var<storage, read_write> offsets: array<f32>;
@group(0) @binding(6) var<storage, read_write> margins: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

const WORKGROUP: u32 = 64;
const PI = 3.14159265;

// Columns of u: a gate for each transform, then the values of some.
const FLIP = 0u;
const QUARTER_TURN = 1u;
const WHOLE_SHIFT = 2u;
const SCALE = 3u;
const FIRST_ROTATION = 4u;
const STRETCH = 5u;
const SECOND_ROTATION = 6u;
const SHIFT = 7u;
const BRIGHTNESS = 8u;
const CONTRAST = 9u;
const LUMA_FLIP = 10u;
const HUE = 11u;
const SATURATION = 12u;
const FLIP_VALUE = 13u;
const QUARTER_TURN_VALUE = 14u;
const WHOLE_SHIFT_X = 15u;
const WHOLE_SHIFT_Y = 16u;
const FIRST_ROTATION_VALUE = 17u;
const SECOND_ROTATION_VALUE = 18u;
const LUMA_FLIP_VALUE = 19u;
const HUE_VALUE = 20u;

// Columns of z.
const SCALE_VALUE = 0u;
const STRETCH_VALUE = 1u;
const SHIFT_X = 2u;
const SHIFT_Y = 3u;
const BRIGHTNESS_VALUE = 4u;
const CONTRAST_VALUE = 5u;
const SATURATION_VALUE = 6u;

var<workgroup> farthest: array<vec4f, WORKGROUP>;

/// Uniform in (-1, 1].
fn u(n: u32, column: u32) -> f32 {
  return uniform_draws[21 * n + column];
}

fn z(n: u32, column: u32) -> f32 {
  return normal_draws[7 * n + column];
}

/// Whether image n gets a transform that has this probability: never for 0, always for 1.
fn gate(n: u32, column: u32, chance: f32) -> bool {
  return 0.5 * (1 + u(n, column)) <= chance;
}

/// One of 0 … count - 1 with equal probability.
fn choice(n: u32, column: u32, count: f32) -> f32 {
  return ceil(0.5 * (1 + u(n, column)) * count) - 1;
}

/// [c -s; s c]
fn rotation(c: f32, s: f32) -> mat2x2f {
  return mat2x2f(c, s, -s, c);
}

/// [x 0; 0 y]
fn diagonal(x: f32, y: f32) -> mat2x2f {
  return mat2x2f(x, 0, 0, y);
}

/// The largest way of the image's corners to the left, up, right and down from its centre.
fn geometry(n: u32, p: f32) -> vec4f {
  let size = vec2f(params.width, params.height);
  var linear = diagonal(1, 1);
  var shift = vec2f(0);
  if (gate(n, FLIP, p)) {
    linear = linear * diagonal(1 - 2 * choice(n, FLIP_VALUE, 2), 1);
  }
  if (gate(n, QUARTER_TURN, p)) {
    let turns = choice(n, QUARTER_TURN_VALUE, 4);
    let c = select(0.0, 1 - turns, turns == 0 || turns == 2);
    let s = select(0.0, 2 - turns, turns == 1 || turns == 3);
    linear = linear * rotation(c, s);
  }
  if (gate(n, WHOLE_SHIFT, p)) {
    shift -= linear * round(0.125 * vec2f(u(n, WHOLE_SHIFT_X), u(n, WHOLE_SHIFT_Y)) * size);
  }
  if (gate(n, SCALE, p)) {
    linear = linear * exp2(-0.2 * z(n, SCALE_VALUE));
  }
  // Of two rotations, one happens with probability p.
  let chance = 1 - sqrt(clamp(1 - p, 0, 1));
  if (gate(n, FIRST_ROTATION, chance)) {
    let angle = PI * u(n, FIRST_ROTATION_VALUE);
    linear = linear * rotation(cos(angle), sin(angle));
  }
  if (gate(n, STRETCH, p)) {
    let stretch = exp2(-0.2 * z(n, STRETCH_VALUE));
    linear = linear * diagonal(stretch, 1 / stretch);
  }
  if (gate(n, SECOND_ROTATION, chance)) {
    let angle = PI * u(n, SECOND_ROTATION_VALUE);
    linear = linear * rotation(cos(angle), sin(angle));
  }
  if (gate(n, SHIFT, p)) {
    shift -= linear * (0.125 * vec2f(z(n, SHIFT_X), z(n, SHIFT_Y)) * size);
  }
  maps[6 * n] = linear[0].x;
  maps[6 * n + 1] = linear[1].x;
  maps[6 * n + 2] = shift.x;
  maps[6 * n + 3] = linear[0].y;
  maps[6 * n + 4] = linear[1].y;
  maps[6 * n + 5] = shift.y;
  let corner = 0.5 * (size - 1);
  let reach = abs(linear[0]) * corner.x + abs(linear[1]) * corner.y;
  return vec4f(reach - shift, reach + shift);
}

/// With luma along v = (1, 1, 1) / sqrt 3, all transforms commute: C = luma v vT + chroma (a rotation around v).
fn colour(n: u32, p: f32) {
  var luma = 1.0;
  var chroma = 1.0;
  var angle = 0.0;
  let brightness = select(0.0, 0.2 * z(n, BRIGHTNESS_VALUE), gate(n, BRIGHTNESS, p));
  if (gate(n, CONTRAST, p)) {
    luma = exp2(0.5 * z(n, CONTRAST_VALUE));
    chroma = luma;
  }
  if (gate(n, LUMA_FLIP, p)) {
    luma *= 1 - 2 * choice(n, LUMA_FLIP_VALUE, 2);
  }
  if (gate(n, HUE, p)) {
    angle = PI * u(n, HUE_VALUE);
  }
  if (gate(n, SATURATION, p)) {
    chroma *= exp2(z(n, SATURATION_VALUE));
  }
  let own = chroma * cos(angle);
  let mixed = (luma - own) / 3;
  let turn = chroma * sin(angle) / sqrt(3.0);
  for (var i = 0u; i < 3; i++) {
    colours[9 * n + 3 * i + i] = mixed + own;
    colours[9 * n + 3 * i + (i + 1) % 3] = mixed - turn;
    colours[9 * n + 3 * i + (i + 2) % 3] = mixed + turn;
    offsets[3 * n + i] = luma * brightness;
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  let p = probability[0];
  var way = vec4f(-1e30);
  for (var n = local; n < params.batch; n += WORKGROUP) {
    way = max(way, geometry(n, p));
    colour(n, p);
  }
  farthest[local] = way;
  workgroupBarrier();
  if (local == 0) {
    for (var i = 1u; i < WORKGROUP; i++) {
      way = max(way, farthest[i]);
    }
    let size = vec2f(params.width, params.height);
    let corner = 0.5 * (size - 1);
    let margin = clamp(way + 6 - vec4f(corner, corner), vec4f(0), vec4f(size, size) - 1);
    for (var i = 0u; i < 4; i++) {
      margins[i] = u32(ceil(margin[i]));
    }
  }
}
