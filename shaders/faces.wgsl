// Procedural faces: one image and its label map from one record of parameters, at any size.
//
//   image[n, c, y, x] = 2·tone(mean over S×S samples of radiance) − 1,   label = the class with the most samples
//
// A sample is an orthographic ray. The head is a signed distance field of smoothly joined ellipsoids, sphere-traced
// (facesHead.wgsl); hair, hat, ears and jewellery are quadrics met in closed form (facesHair.wgsl); neck and clothes
// are a profile. The nearest surface wins, features are painted on it in the head's coordinates, and turn with it.
//
// Head coordinates: x to the right of the image, y up, z to the camera, the eye line at y = 0; a head is 1.6 high.
// Ties between classes go to the higher id, as the parts of CelebAMask-HQ are painted in the order of their ids.
//
// 0: faces  [N] Face     1: image  [N, 3, H, W]  (in [-1, 1])     2: labels  [N, H, W]  (u32)
// A workgroup renders an 8×8 tile of one image, an invocation one pixel with its S×S samples (at most 15).

struct Face {
  // Rows of the inverse rotation: image axes in head coordinates. w: camera shift x, shift y, scale.
  right: vec4f, up: vec4f, toward: vec4f,
  light: vec4f,            // unit vector to the light in image axes; w intensity
  headLight: vec4f,        // the same in head coordinates; w 0
  lightColour: vec4f,      // rgb; w ambient
  skin: vec4f,             // rgb, linear as all colours; w blush
  lips: vec4f,             // rgb; w gloss
  hair: vec4f,             // rgb; w share of grey strands
  brow: vec4f,             // rgb; w density
  iris: vec4f,             // rgb; w radius
  cloth: vec4f,            // rgb; w stripes 0..1
  backdrop: vec4f,         // rgb; w angle of the gradient
  backdropFar: vec4f,      // rgb; w strength of the blurred lights
  hatColour: vec4f,        // rgb; w line above which the hat sits
  glassesColour: vec4f,    // rgb; w opacity of the lens
  jewel: vec4f,            // rgb; w metal gloss
  headWidth: f32, jawWidth: f32, jawY: f32, jawHeight: f32,
  chinY: f32, chinWidth: f32, cheekbone: f32, browRidge: f32,
  eyeX: f32, eyeY: f32, eyeWidth: f32, eyeUpper: f32,
  eyeLower: f32, eyeSlant: f32, eyeFold: f32, lash: f32,
  shadow: f32, gazeX: f32, gazeY: f32, browY: f32,
  browArch: f32, browThick: f32, browTilt: f32, browLength: f32,
  noseY: f32, noseZ: f32, noseTip: f32, noseWing: f32,
  noseBridge: f32, noseWingX: f32, mouthY: f32, mouthWidth: f32,
  lipUpper: f32, lipLower: f32, smile: f32, mouthOpen: f32,
  teeth: f32, age: f32, stubble: f32, beard: f32,
  moustache: f32, earSize: f32, earTilt: f32, freckles: f32,
  hairStyle: f32, hairThick: f32, hairTop: f32, hairline: f32,
  hairOpenWidth: f32, hairOpenPower: f32, hairPart: f32, hairSlope: f32,
  hairLength: f32, hairFlare: f32, hairCurl: f32, hairFrequency: f32,
  hat: f32, glasses: f32, glassesWidth: f32, glassesHeight: f32,
  glassesRound: f32, glassesThick: f32, earring: f32, necklace: f32,
  neckX: f32, neckY: f32, neckWidth: f32, collarY: f32,
  collarV: f32, identitySeed: f32, viewSeed: f32, recede: f32,
}

struct Grid { faces: u32, height: u32, width: u32, samples: u32 }

@group(0) @binding(0) var<storage, read> faces: array<Face>;
@group(0) @binding(1) var<storage, read_write> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> labels: array<u32>;
@group(0) @binding(3) var<uniform> grid: Grid;

const BACKGROUND = 0u; const SKIN = 1u; const NOSE = 2u; const GLASSES = 3u; const LEFT_EYE = 4u; const LEFT_BROW = 6u;
const LEFT_EAR = 8u; const MOUTH = 10u; const UPPER_LIP = 11u; const LOWER_LIP = 12u; const HAIR = 13u; const HAT = 14u;
const EARRING = 15u; const NECKLACE = 16u; const NECK = 17u; const CLOTH = 18u;
const FAR = -9.0;

struct Sample { colour: vec3f, label: u32 }
struct Surface { albedo: vec3f, gloss: f32, occlusion: f32, label: u32, glint: f32 }

var<private> f: Face;
var<private> shape: Shape;
var<private> footprint: f32;  // the distance of two samples, in head units: the width over which edges are softened

fn hash(x: i32, y: i32, seed: u32) -> f32 {
  var h = (bitcast<u32>(x) * 0x8da6b343u) ^ (bitcast<u32>(y) * 0xd8163841u) ^ (seed * 0xcb1ab31fu);
  h = (h ^ (h >> 15u)) * 0x2c1b3c6du;
  h = (h ^ (h >> 12u)) * 0x297a2d39u;
  return f32((h ^ (h >> 15u)) >> 8u) / 16777216.0;
}

/// Value noise in 0..1 of period-free lattice cells of size 1.
fn noise(p: vec2f, seed: f32) -> f32 {
  let cell = floor(p);
  let i = vec2i(cell);
  let t = p - cell;
  let s = t * t * (3.0 - 2.0 * t);
  let k = u32(seed);
  let low = mix(hash(i.x, i.y, k), hash(i.x + 1, i.y, k), s.x);
  let high = mix(hash(i.x, i.y + 1, k), hash(i.x + 1, i.y + 1, k), s.x);
  return mix(low, high, s.y);
}

/// 1 where d < 0, softened over one footprint.
fn cover(d: f32) -> f32 { return clamp(0.5 - d / footprint, 0.0, 1.0); }

/// From 0 at a to 1 at b, smoothly; b may be less than a, for which WGSL's smoothstep is not defined everywhere.
fn ramp(a: f32, b: f32, x: f32) -> f32 {
  let t = clamp((x - a) / (b - a), 0.0, 1.0);
  return t * t * (3.0 - 2.0 * t);
}

fn bump(x: f32, width: f32) -> f32 { let t = x / width; return exp(-t * t); }

/// Light that leaves a surface: a wrapped key light reddened at the terminator, sky fill from above, camera fill.
fn lit(
  albedo: vec3f, n: vec3f, toLight: vec3f, up: vec3f, toward: vec3f, occlusion: f32, visible: f32, softness: f32,
) -> vec3f {
  let facing = dot(n, toLight);
  let wrapped = max((facing + softness) / (1.0 + softness), 0.0);
  let diffuse = vec3f(wrapped) * mix(vec3f(1.0), vec3f(1.06, 0.97, 0.93), softness * 2.0 * bump(facing, 0.4)) * visible;
  let sky = 0.62 + 0.38 * dot(n, up);
  let fill = 0.35 * max(dot(n, toward), 0.0);
  let ambient = f.lightColour.w * (vec3f(0.9, 0.97, 1.08) * sky + fill) * occlusion;
  return albedo * (f.lightColour.rgb * f.light.w * diffuse * mix(1.0, occlusion, 0.5) + ambient);
}

fn backdrop(s: vec2f) -> vec3f {
  let angle = f.backdrop.w;
  let t = ramp(-1.2, 1.2, s.x * cos(angle) + s.y * sin(angle) + 0.25 * (noise(s * 1.3 + 7.0, f.viewSeed) - 0.5));
  var colour = mix(f.backdrop.rgb, f.backdropFar.rgb, t);
  if (f.backdropFar.w > 0.0) {
    for (var i = 0; i < 5; i++) {
      let k = u32(f.viewSeed);
      let centre = vec2f(hash(i, 1, k), hash(i, 2, k)) * 2.4 - 1.2;
      let radius = 0.12 + 0.3 * hash(i, 3, k);
      let tint = mix(f.backdropFar.rgb, vec3f(0.9, 0.8, 0.6), hash(i, 4, k));
      let blob = 1.0 - ramp(radius * 0.75, radius * 1.1, length(s - centre));
      colour += f.backdropFar.w * hash(i, 5, k) * blob * tint;
    }
  }
  return max(colour, vec3f(0.004)) * (1.0 - 0.16 * dot(s, s));
}

/// Half the width of neck and shoulders at this height: a profile that widens from the neck; 0 above the neck.
fn bodyHalf(w: vec2f) -> f32 {
  let drop = max(-0.94 + f.neckY - w.y, 0.0);
  return select(f.neckWidth + 2.4 * drop * drop / (drop + 0.12), 0.0, w.y > -0.3);
}

/// Neck, chest and clothes, around the neck's own axis.
fn bodyColour(w: vec2f) -> Sample {
  let x = w.x - f.neckX;
  let half = bodyHalf(w);
  let drop = max(-0.94 + f.neckY - w.y, 0.0);
  let u = x / half;
  let onNeck = 1.0 - ramp(0.02, 0.22, drop);
  let n = normalize(mix(vec3f(x * 0.5, 0.55, 0.8), vec3f(u, -0.12, sqrt(max(1.0 - u * u, 0.02))), onNeck));
  let collar = f.collarY + f.neckY + f.collarV * abs(x) + 0.9 * max(1.0 - f.collarV, 0.0) * x * x;
  var surface = Surface(f.skin.rgb * vec3f(0.93, 0.88, 0.86), 0.1, 1.0, NECK, 0.0);
  let below = w.y - collar;
  if (below < 0.0) {
    surface.label = CLOTH;
    surface.albedo = f.cloth.rgb;
    let stripe = ramp(-0.15, 0.15, sin(w.y * 44.0 + x * x * 9.0));
    surface.albedo *= 1.0 - 0.55 * f.cloth.w * stripe;
    surface.albedo *= 0.82 + 0.36 * noise(vec2f(x * 5.0 + w.y * 2.0, w.y * 2.2 - x), f.viewSeed);
    surface.albedo *= 1.0 - 0.35 * bump(below + 0.05, 0.018);
    surface.gloss = 0.0;
  } else {
    // Collar bones, the sinews of the neck, and the shadow that the collar's edge throws.
    surface.occlusion *= 1.0 - 0.35 * bump(below, 0.03);
    surface.occlusion *= 1.0 - 0.2 * bump(abs(x) - 0.1 - 0.25 * (w.y + 1.2), 0.03) * ramp(-0.8, -1.05, w.y);
  }
  if (f.necklace > 0.0) {
    let chain = w.y - f.neckY - (-1.16 + 1.25 * x * x);
    let pendant = length(vec2f(x, chain + 0.035)) - 0.05;
    let d = min(abs(chain) - 0.021, pendant);
    if (d < 0.0 && abs(x) < half - 0.02) {
      surface.label = NECKLACE;
      surface.albedo = f.jewel.rgb * (0.55 + 0.75 * noise(vec2f(x * 30.0, chain * 22.0), 3.0));
      surface.gloss = f.jewel.w;
    }
  }
  // What the head keeps from the light: its distance along the way to the light.
  let z = mix(0.02, 0.12, 1.0 - onNeck);
  let p = toHead(w, z);
  var open = vec2f(0.0);
  for (var i = 0; i < 2; i++) { open[i] = head(p + f.headLight.xyz * select(0.25, 0.0, i == 0)); }
  let shade = ramp(-0.05, 0.22, open.y);
  surface.occlusion *= 0.3 + 0.7 * ramp(0.0, 0.4, open.x);
  let colour = finish(surface, n, f.light.xyz, vec3f(0.0, 1.0, 0.0), vec3f(0.0, 0.0, 1.0), 0.15 + 0.85 * shade);
  return Sample(colour, surface.label);
}

/// A surface's light with its highlight (Blinn) and its glints.
fn finish(s: Surface, n: vec3f, toLight: vec3f, up: vec3f, toward: vec3f, visible: f32) -> vec3f {
  let halfway = normalize(toLight + toward);
  let shine = s.gloss * f.light.w * visible * s.occlusion * pow(max(dot(n, halfway), 0.0), 22.0);
  return lit(s.albedo, n, toLight, up, toward, s.occlusion, visible, 0.28)
    + f.lightColour.rgb * (shine * 0.3) + vec3f(s.glint);
}

/// The point at depth z (image axes) under the image point w, in head coordinates.
fn toHead(w: vec2f, z: f32) -> vec3f { return f.right.xyz * w.x + f.up.xyz * w.y + f.toward.xyz * z; }

fn trace(s: vec2f) -> Sample {
  let w = (s - vec2f(f.right.w, f.up.w)) / f.toward.w;
  let o = toHead(w, 0.0);
  let v = f.toward.xyz;
  var result: Sample;
  let hair = hairHit(o, v, w.y);
  let face = headHit(o, v);
  let ear = earHit(o, v);
  let hat = hatHit(o, v);
  var nearest = max(face, ear.t);
  let before = hair.front > nearest && hair.front > hat.t;
  let body = bodyHalf(w) > abs(w.x - f.neckX);
  let behind = !before && max(nearest, hat.t) == FAR && !body && hair.behind > FAR;
  if (before || behind) {
    result = Sample(hairColour(o + v * select(hair.behind, hair.front, before), behind), HAIR);
    nearest = max(nearest, hair.front);
  } else if (hat.t > nearest) {
    result = Sample(hatColour(o, v, hat), HAT);
  } else if (ear.t > face) {
    result = Sample(earColour(o + v * ear.t, ear.n), LEFT_EAR + select(1u, 0u, ear.side < 0.0));
  } else if (face > FAR) {
    result = faceColour(o + v * face);
  } else if (body) {
    result = bodyColour(w);
  } else {
    result = Sample(backdrop(s), BACKGROUND);
  }
  if (f.earring > 0.0) { result = earrings(o, v, nearest, result); }
  if (f.glasses > 0.0) { result = spectacles(o, v, nearest, result); }
  return result;
}

/// Scene light to display: an exposure with a soft shoulder, then the sRGB curve.
fn tone(c: vec3f) -> vec3f {
  let x = max(c, vec3f(0.0));
  let y = 1.0 - exp(-1.35 * x);
  return select(1.055 * pow(y, vec3f(1.0 / 2.4)) - 0.055, 12.92 * y, y < vec3f(0.0031308));
}

@compute @workgroup_size(8, 8, 1)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= grid.width || id.y >= grid.height) { return; }
  f = faces[id.z];
  shape = headShape();
  let size = vec2f(f32(grid.width), f32(grid.height));
  let count = grid.samples;
  footprint = 2.0 / (size.y * f32(count) * f.toward.w);
  var sum = vec3f(0.0);
  // Votes of the 19 classes, four bits each, eight classes a word.
  var votes = vec3u(0u);
  for (var j = 0u; j < count; j++) {
    for (var i = 0u; i < count; i++) {
      let at = (vec2f(id.xy) + (vec2f(f32(i), f32(j)) + 0.5) / f32(count)) / size;
      let hit = trace(vec2f(2.0 * at.x - 1.0, 1.0 - 2.0 * at.y));
      // Samples are averaged after the tone curve: one glint must not outshine the rest of its pixel.
      sum += tone(hit.colour);
      let vote = 1u << ((hit.label & 7u) * 4u);
      votes += select(vec3u(0u), vec3u(vote), vec3u(0u, 1u, 2u) == vec3u(hit.label >> 3u));
    }
  }
  var label = 0u;
  var most = 0u;
  for (var c = 0u; c < 19u; c++) {
    let word = select(select(votes.z, votes.y, c < 16u), votes.x, c < 8u);
    let count = (word >> ((c & 7u) * 4u)) & 15u;
    if (count > 0u && count >= most) { most = count; label = c; }
  }
  let colour = clamp(2.0 * sum / f32(count * count) - 1.0, vec3f(-1.0), vec3f(1.0));
  let plane = grid.width * grid.height;
  let pixel = id.y * grid.width + id.x;
  for (var c = 0u; c < 3u; c++) { image[(id.z * 3u + c) * plane + pixel] = colour[c]; }
  labels[id.z * plane + pixel] = label;
}
