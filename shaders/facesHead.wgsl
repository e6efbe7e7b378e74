// The head of a procedural face (see faces.wgsl): its distance field, the features painted on it, and the ears.
// Features are drawn in the frontal plane of the head, (x, y) in head coordinates, and foreshorten as the head turns.

/// Distance to an ellipsoid with inverse radii i (first order, after Quilez).
fn ellipsoid(p: vec3f, i: vec3f) -> f32 {
  let k0 = length(p * i);
  return k0 * (k0 - 1.0) / max(length(p * i * i), 1e-4);
}

fn join(a: f32, b: f32, k: f32) -> f32 {
  let h = max(k - abs(a - b), 0.0) / k;
  return min(a, b) - h * h * k * 0.25;
}

fn carve(a: f32, b: f32, k: f32) -> f32 { return -join(-a, b, k); }

/// Inverse radii of the head's ellipsoids, worked out once a pixel.
struct Shape { cranium: vec3f, jaw: vec3f, chin: vec3f, cheek: vec3f, brow: vec3f, tip: vec3f, wing: vec3f }

fn headShape() -> Shape {
  return Shape(
    1.0 / vec3f(f.headWidth, 0.63, 0.69), 1.0 / vec3f(f.jawWidth, f.jawHeight, 0.46),
    1.0 / vec3f(f.chinWidth, 0.14, 0.16),
    1.0 / vec3f(0.17, 0.17, 0.14 + f.cheekbone), 1.0 / vec3f(0.2, 0.06, 0.08 + f.browRidge),
    1.0 / vec3f(f.noseTip * 1.1, f.noseTip, f.noseTip), 1.0 / vec3f(f.noseWing, 0.055, 0.085));
}

/// Signed distance to the head: cranium, jaw and chin, cheekbones, brow ridge, eye sockets and lids, nose, mouth.
fn head(p: vec3f) -> f32 {
  let q = vec3f(abs(p.x), p.y, p.z);
  var d = ellipsoid(q - vec3f(0.0, 0.16, -0.12), shape.cranium);
  d = join(d, ellipsoid(q - vec3f(0.0, f.jawY, 0.06), shape.jaw), 0.16);
  if (p.z < 0.1) { return d; }
  d = join(d, ellipsoid(q - vec3f(0.0, f.chinY + 0.14, 0.33), shape.chin), 0.14);
  d = join(d, ellipsoid(q - vec3f(0.29, -0.2 + 0.03 * f.smile, 0.27), shape.cheek), 0.14);
  d = join(d, ellipsoid(q - vec3f(0.2, 0.14, 0.43), shape.brow), 0.1);
  d = carve(d, ellipsoid(q - vec3f(f.eyeX - 0.01, f.eyeY - 0.005, 0.69), 1.0 / vec3f(0.15, 0.085, 0.14)), 0.1);
  d = join(d, ellipsoid(q - vec3f(f.eyeX, f.eyeY - 0.005, 0.41), 1.0 / vec3f(0.13, 0.09, 0.125)), 0.04);
  // Nose: a capsule down the bridge, the ball of the tip, the wings.
  let top = vec3f(0.0, 0.06, 0.50);
  let tip = vec3f(0.0, f.noseY + 0.03, f.noseZ - f.noseTip);
  let axis = tip - top;
  let along = clamp(dot(q - top, axis) / dot(axis, axis), 0.0, 1.0);
  let bridge = length(q - top - axis * along) - mix(f.noseBridge, f.noseTip * 0.8, along * along);
  d = join(d, bridge, 0.07);
  d = join(d, ellipsoid(q - tip + vec3f(0.0, 0.03, 0.0), shape.tip), 0.05);
  d = join(d, ellipsoid(q - vec3f(f.noseWingX, f.noseY - 0.01, f.noseZ - 0.17), shape.wing), 0.035);
  d = join(d, ellipsoid(q - vec3f(0.0, f.mouthY, 0.40), 1.0 / vec3f(0.2, 0.13, 0.145)), 0.1);
  return d;
}

/// Sphere tracing from in front of the head; the depth, or FAR.
fn headHit(o: vec3f, v: vec3f) -> f32 {
  let side = dot(o, f.right.xyz);
  let height = dot(o, f.up.xyz);
  let off = side * side / 0.62 + (height + 0.02) * (height + 0.02) / 1.05;
  if (off > 1.0) { return FAR; }
  var t = 0.05 + 0.9 * sqrt(1.0 - off);
  var d = 1.0;
  for (var i = 0; i < 24; i++) {
    d = head(o + v * t);
    if (d < 0.004 || t < -0.7) { break; }
    t -= d * 0.95;
  }
  return select(FAR, t, d < 0.02);
}

/// The field's gradient from the four corners of a tetrahedron (after Quilez).
fn headNormal(p: vec3f) -> vec3f {
  var n = vec3f(0.0);
  for (var i = 0u; i < 4u; i++) {
    let corner = vec3f(vec3u(((i + 3u) >> 1u) & 1u, (i >> 1u) & 1u, i & 1u)) * 2.0 - 1.0;
    n += corner * head(p + corner * 0.010);
  }
  return normalize(n);
}

/// Blends a colour over the surface; where it covers more than half, the label changes with it.
fn paint(s: ptr<function, Surface>, colour: vec3f, alpha: f32, label: u32) {
  (*s).albedo = mix((*s).albedo, colour, clamp(alpha, 0.0, 1.0));
  if (alpha > 0.5) { (*s).label = label; }
}

fn faceColour(p: vec3f) -> Sample {
  let n = headNormal(p);
  let ax = abs(p.x);
  var s = Surface(f.skin.rgb, 0.34, 1.0, SKIN, 0.0);
  // Tone: blood in cheeks, nose and ears; a paler forehead; mottling; freckles.
  let blood = bump(length(vec2f(ax - 0.32, p.y + 0.24)), 0.17) + 0.7 * bump(length(vec2f(p.x, p.y - f.noseY)), 0.1)
    + 0.25 * ramp(-0.62, -0.8, p.y);
  s.albedo *= mix(vec3f(1.0), vec3f(1.03, 0.8, 0.8), f.skin.w * blood);
  s.albedo *= 0.925 + 0.1 * noise(p.xy * 7.0 + p.z * 3.0, f.identitySeed) + 0.05 * noise(p.xy * 28.0, f.identitySeed);
  if (f.freckles > 0.0) {
    let spot = ramp(0.68, 0.85, noise(p.xy * 42.0, f.identitySeed)) * bump(p.y + 0.2, 0.2) * ramp(0.55, 0.3, ax);
    s.albedo *= 1.0 - f.freckles * spot * vec3f(0.2, 0.35, 0.42);
  }
  // Occlusion: the field a step along the normal; the shadow of nose and brow: the field on the way to the light.
  let l = f.headLight.xyz;
  var open = vec3f(1.0);
  for (var i = 0; i < 3; i++) {
    let far = select(select(0.17, 0.07, i == 1), 0.09, i == 0);
    open[i] = head(p + select(l * far + n * 0.01, n * far, i == 0)) / far;
  }
  s.occlusion = 0.45 + 0.55 * clamp(open.x, 0.0, 1.0);
  var visible = mix(0.2, 1.0, min(ramp(-0.3, 0.9, open.y), ramp(-0.3, 0.75, open.z)));
  // The shade of hair and hat along the hairline.
  if (f.hairStyle > 0.0) { s.occlusion *= 1.0 - 0.45 * ramp(-0.28, 0.02, hairOpening(p)) * step(0.0, p.z); }
  if (f.hat > 0.0) {
    let below = f.hatColour.w - p.y;
    s.occlusion *= 1.0 - 0.6 * ramp(0.2, 0.0, below);
    visible *= ramp(0.0, 0.16, below);
  }

  wrinkles(&s, p, ax);
  facialHair(&s, p, ax);
  if (p.z > 0.05) {
    noseFeatures(&s, p, ax);
    mouthFeatures(&s, p);
    browFeatures(&s, p, ax);
    eyeFeatures(&s, p, ax);
  }
  return Sample(finish(s, n, l, f.up.xyz, f.toward.xyz, visible), s.label);
}

/// Age: lines of the forehead and between the brows, crow's feet, bags; the fold from nose to mouth, also of smiles.
fn wrinkles(s: ptr<function, Surface>, p: vec3f, ax: f32) {
  let wave = 0.012 * sin(p.x * 14.0 + f.identitySeed);
  let onForehead = ramp(0.22, 0.28, p.y) * ramp(0.52, 0.42, p.y) * ramp(0.36, 0.15, ax);
  let forehead = pow(0.501 + 0.499 * sin((p.y + wave) * 62.0), 6.0) * onForehead;
  let eye = vec2f(ax - f.eyeX, p.y - f.eyeY);
  let besideEye = bump(length(eye) - f.eyeWidth - 0.08, 0.05) * ramp(0.0, 0.1, eye.x);
  let crow = pow(0.501 + 0.499 * sin(atan2(eye.y, eye.x) * 16.0), 4.0) * besideEye;
  let bag = bump(eye.y + 0.085 - 2.0 * eye.x * eye.x, 0.016) * ramp(0.13, 0.04, abs(eye.x));
  let start = vec2f(f.noseWingX + 0.045, f.noseY + 0.03);
  let to = vec2f(f.mouthWidth + 0.07, f.mouthY - 0.02);
  let t = clamp(dot(vec2f(ax, p.y) - start, to - start) / dot(to - start, to - start), 0.0, 1.0);
  let bow = 0.02 * sin(t * 3.1416);
  let fold = bump(length(vec2f(ax - bow, p.y) - mix(start, to, t)), 0.022) * (1.0 - 0.6 * t);
  let old = ramp(0.3, 0.9, f.age);
  let depth = old * (0.32 * forehead + 0.3 * crow) + 0.1 * (old + f.age) * bag
    + (0.12 + 0.3 * old + 0.25 * max(f.smile, 0.0)) * fold;
  (*s).albedo *= 1.0 - clamp(depth, 0.0, 0.6) * vec3f(0.55, 0.72, 0.75);
}

/// Stubble and beard along the jaw (below 0.5 on the chin alone), and the moustache. They count as skin.
fn facialHair(s: ptr<function, Surface>, p: vec3f, ax: f32) {
  if (f.stubble + f.beard + f.moustache <= 0.0) { return; }
  let strands = noise(vec2f(p.x * 70.0 + 3.0 * sin(p.y * 9.0), p.y * 22.0), f.identitySeed);
  let jag = 0.07 * (strands - 0.5) + 0.05 * (noise(p.xy * 13.0, f.identitySeed) - 0.5);
  let cheekLine = f.mouthY + 0.05 + 1.15 * max(ax - 0.22, 0.0) + jag;
  let jaw = ramp(0.06, -0.06, p.y - cheekLine);
  let chin = jaw * ramp(0.3, 0.2, ax + jag);
  let height = (p.y - f.mouthY + 0.01 + 0.4 * f.mouthOpen) / (0.085 + 0.5 * f.mouthOpen);
  let aroundMouth = ramp(0.86, 0.91, length(vec2f(p.x * 0.8 / f.mouthWidth, height)) + 0.5 * jag);
  let lip = ramp(0.05, -0.02, p.y - (f.noseY - 0.055)) * ramp(-0.1, -0.02, p.y - f.mouthY)
    * ramp(f.mouthWidth + 0.09, f.mouthWidth, ax + jag);
  let dark = f.brow.rgb * (0.6 + 0.8 * strands);
  let shade = max(jaw, lip) * aroundMouth;
  (*s).albedo = mix((*s).albedo, (*s).albedo * vec3f(0.62, 0.62, 0.66), f.stubble * shade * (0.5 + 0.5 * strands));
  let full = max(select(chin, jaw, f.beard > 0.5) * min(f.beard * 1.7, 1.0), lip * f.moustache) * aroundMouth;
  (*s).albedo = mix((*s).albedo, dark, clamp(full * 1.05, 0.0, 0.94));
  (*s).gloss *= 1.0 - 0.9 * full;
}

fn noseFeatures(s: ptr<function, Surface>, p: vec3f, ax: f32) {
  let down = clamp((0.06 - p.y) / (0.06 - f.noseY), 0.0, 1.3);
  let half = mix(f.noseBridge + 0.012, f.noseWingX + f.noseWing * 0.86, ramp(0.35, 1.0, down));
  let floorY = f.noseY - 0.075 + 0.02 * ramp(0.03, 0.1, ax);
  if (ax < half && p.y < 0.05 && p.y > floorY) { (*s).label = NOSE; }
  let nostril = length(vec2f((ax - f.noseWingX * 0.62) / 0.036, (p.y - f.noseY + 0.052) / 0.021));
  (*s).albedo *= 1.0 - 0.85 * ramp(1.25, 0.6, nostril) * vec3f(0.8, 0.9, 0.92);
  let wing = length(vec2f(ax - f.noseWingX, (p.y - f.noseY) * 0.9));
  (*s).albedo *= 1.0 - 0.22 * bump(wing - f.noseWing * 0.95, 0.014) * ramp(f.noseWingX, f.noseWingX + 0.03, ax);
  (*s).occlusion *= 1.0 - 0.3 * bump(p.y - f.noseY + 0.085, 0.03) * ramp(0.12, 0.06, ax);
  (*s).gloss += 0.5 * bump(length(vec2f(p.x, p.y - f.noseY - 0.02)), 0.05);
}

/// Lips, and between them the dark mouth with teeth above, below, and the tongue.
fn mouthFeatures(s: ptr<function, Surface>, p: vec3f) {
  let u = p.x / f.mouthWidth;
  let y = p.y - f.mouthY - (0.05 * f.smile + 0.022) * u * u;
  if (abs(u) > 1.3 || y > 0.2 || y < -0.4) { return; }
  let arc = max(1.0 - u * u, 0.0);
  let soft = sqrt(arc);
  let cupid = 1.0 - 0.28 * bump(p.x, 0.028) + 0.1 * bump(abs(p.x) - 0.05, 0.03);
  let gap = f.mouthOpen * mix(arc, soft, 0.5);
  let innerTop = 0.16 * gap - 0.006 * (1.0 - abs(u)) ;
  let innerBottom = innerTop - gap;
  let top = innerTop + f.lipUpper * arc * cupid;
  let bottom = innerBottom - f.lipLower * mix(arc, soft, 0.35);
  // The lips' own relief, which the field does not carry.
  let inUpper = (y - innerTop) / max(f.lipUpper, 1e-3);
  let inLower = (innerBottom - y) / max(f.lipLower, 1e-3);
  let groove = 0.9 + 0.14 * noise(vec2f(p.x * 60.0, y * 6.0), f.identitySeed);
  (*s).occlusion *= 1.0 - 0.4 * bump(y - bottom + 0.03, 0.03) * arc;
  (*s).occlusion *= 1.0 - 0.35 * bump(length(vec2f(abs(p.x) - f.mouthWidth * 1.04, y)), 0.03);
  let edge = max(y - top, bottom - y);
  let lips = cover(edge) * step(abs(u), 1.0);
  if (lips > 0.0) {
    let upper = y > 0.5 * (innerTop + innerBottom);
    let shape = select(0.95 + 0.2 * inLower * (1.0 - inLower) * 4.0 * 0.8 - 0.1 * inLower, 0.72 + 0.2 * inUpper, upper);
    paint(s, f.lips.rgb * shape * groove, lips, select(LOWER_LIP, UPPER_LIP, upper));
    (*s).gloss = mix((*s).gloss, f.lips.w * select(1.4 * bump(inLower - 0.45, 0.25), 0.35, upper), lips);
  }
  // The line where the lips meet, and what is seen between them.
  let line = bump(min(abs(y - innerTop), abs(y - innerBottom)), 0.008 + 0.25 * footprint) * ramp(1.08, 0.9, abs(u));
  (*s).albedo *= 1.0 - 0.62 * line;
  let inside = cover(max(y - innerTop, innerBottom - y)) * ramp(0.004, 0.02, gap);
  if (inside > 0.0) {
    let depth = (innerTop - y) / max(gap, 1e-3);
    var within = mix(vec3f(0.10, 0.018, 0.016), vec3f(0.025, 0.006, 0.006), ramp(0.2, 0.6, depth));
    let tongue = ramp(0.85, 0.6, length(vec2f(u * 1.15, (depth - 1.15) * 1.3)));
    within = mix(within, vec3f(0.36, 0.1, 0.09), tongue * 0.85);
    if (f.teeth > 0.0) {
      let tooth = abs(fract(p.x / 0.062 + 0.5) - 0.5) * 2.0;
      let between = 1.0 - 0.35 * ramp(0.8, 1.0, 1.0 - tooth * 1.0) * ramp(0.06, 0.02, footprint);
      let white = vec3f(0.82, 0.78, 0.70) * between * (1.0 - 0.55 * u * u);
      let reach = min(0.066, gap * 0.8) * mix(1.0, 0.8, abs(u)) ;
      within = mix(within, white * (0.8 + 0.2 * ramp(0.0, 0.02, innerTop - y)), cover(innerTop - reach - y));
      let lowerTeeth = cover(y - innerBottom - 0.035 * ramp(0.12, 0.22, f.mouthOpen)) * step(0.12, f.mouthOpen);
      within = mix(within, white * 0.55, lowerTeeth);
    }
    (*s).albedo = mix((*s).albedo, within, inside);
    (*s).gloss = mix((*s).gloss, 0.12, inside);
    (*s).occlusion = mix((*s).occlusion, 0.9, inside);
    if (inside > 0.5) { (*s).label = MOUTH; }
  }
}

fn browFeatures(s: ptr<function, Surface>, p: vec3f, ax: f32) {
  let inner = f.eyeX - 0.13;
  let u = (ax - inner) / f.browLength;
  if (u < -0.15 || u > 1.15) { return; }
  let centre = f.eyeY + f.browY + f.browTilt * (u - 0.35) + f.browArch * (1.0 - pow(abs(u - 0.58) / 0.58, 2.0));
  let taper = ramp(-0.12, 0.12, u) * (1.0 - 0.75 * ramp(0.4, 1.1, u));
  let hairs = noise(vec2f(ax * 75.0 - p.y * 40.0, p.y * 30.0 + ax * 10.0), f.identitySeed + 1.0);
  let y = p.y - centre;
  let d = abs(y) - f.browThick * taper * (0.85 + 0.35 * hairs);
  let soft = footprint * 0.6 + 0.012;
  let alpha = clamp(0.5 - d / soft, 0.0, 1.0) * ramp(-0.1, 0.05, u) * ramp(1.1, 0.95, u);
  let side = select(1u, 0u, p.x < 0.0);
  paint(s, f.brow.rgb * (0.75 + 0.5 * hairs), alpha * f.brow.w, (*s).label);
  if (alpha > 0.35) { (*s).label = LEFT_BROW + side; }
  (*s).gloss *= 1.0 - 0.8 * alpha;
}

/// Lids, lashes, and the eye between them: sclera, iris with limbal ring, pupil, highlight, and the upper lid's shade.
fn eyeFeatures(s: ptr<function, Surface>, p: vec3f, ax: f32) {
  let side = select(1.0, -1.0, p.x < 0.0);
  let c = cos(f.eyeSlant);
  let k = sin(f.eyeSlant);
  let d = vec2f(ax - f.eyeX, p.y - f.eyeY);
  if (abs(d.x) > 0.24 || abs(d.y) > 0.2) { return; }
  let e = vec2f(d.x * c + d.y * k, d.y * c - d.x * k);
  let u = e.x / f.eyeWidth;
  let arc = max(1.0 - u * u, 0.0);
  let round = mix(arc, sqrt(arc), 0.55);
  let upper = f.eyeUpper * round * (1.0 - 0.12 * u);
  let lower = -f.eyeLower * round * (1.0 + 0.2 * u);
  let beyond = max(abs(u) - 1.0, 0.0) * f.eyeWidth;
  let edge = select(max(e.y - upper, lower - e.y), length(vec2f(beyond, e.y)), beyond > 0.0);
  // Lids: darker and a little redder than the skin around; the fold above; make-up.
  let lid = bump(e.y - upper - 0.02, 0.035) * ramp(1.35, 0.8, abs(u));
  (*s).albedo *= 1.0 - lid * (0.16 + f.shadow * 0.5) * vec3f(0.75, 1.0, 0.95);
  let fold = bump(e.y - upper * 0.75 - f.eyeFold, 0.010 + 0.2 * footprint) * ramp(1.15, 0.75, abs(u - 0.05));
  (*s).albedo *= 1.0 - 0.42 * fold * vec3f(0.8, 1.0, 1.0);
  let under = bump(e.y - lower + 0.05, 0.035) * ramp(1.1, 0.4, abs(u));
  (*s).albedo *= 1.0 - (0.08 + 0.2 * f.age) * under * vec3f(0.7, 0.9, 0.8);
  let inside = cover(edge);
  if (inside > 0.0) {
    let iris = vec2f(e.x - side * f.gazeX * 0.052, e.y - 0.008 - f.gazeY * 0.028);
    let r = length(iris) / f.iris.w;
    var ball = vec3f(0.80, 0.76, 0.74) * (1.0 - 0.3 * u * u);
    ball = mix(ball, ball * vec3f(1.0, 0.72, 0.68), ramp(0.75, 1.0, -u));
    let spokes = 0.8 + 0.4 * noise(vec2f(atan2(iris.y, iris.x) * 7.0, r * 2.0), f.identitySeed);
    var disc = f.iris.rgb * spokes * (0.75 + 0.6 * ramp(0.3, -0.9, iris.y / f.iris.w));
    disc = mix(disc, disc * 0.25, ramp(0.72, 1.0, r));
    disc = mix(disc, vec3f(0.006), ramp(0.08, -0.08, r - 0.46));
    let soft = footprint / f.iris.w * 0.5 + 0.06;
    ball = mix(ball, disc, ramp(soft, -soft, r - 1.0));
    let shade = 1.0 - 0.55 * ramp(0.045, 0.0, upper - e.y);
    let wet = length(iris - vec2f(side * f.headLight.x * 0.02, 0.016)) - 0.0125;
    (*s).albedo = mix((*s).albedo, ball * shade, inside);
    (*s).occlusion = mix((*s).occlusion, 0.95, inside);
    (*s).gloss = mix((*s).gloss, 0.15, inside);
    (*s).glint = 0.75 * inside * clamp(0.5 - wet / (footprint + 0.006), 0.0, 1.0) * min(f.light.w, 1.0);
    if (inside > 0.5) { (*s).label = LEFT_EYE + select(1u, 0u, side < 0.0); }
  }
  let lashTop = e.y - upper - f.lash * 0.4 * ramp(-0.6, 1.0, u);
  let lashes = cover(abs(lashTop) - f.lash * (0.55 + 0.45 * ramp(-1.0, 0.6, u))) * ramp(1.2, 1.0, abs(u - 0.06));
  let liner = cover(abs(e.y - lower) - 0.004 - 0.25 * f.lash) * ramp(1.0, 0.9, abs(u)) * ramp(-0.6, 0.4, u);
  (*s).albedo = mix((*s).albedo, vec3f(0.022, 0.015, 0.012), max(lashes * 0.88, liner * 0.4));
}

struct EarHit { t: f32, n: vec3f, side: f32 }

/// Two tilted ellipsoids at the sides of the head.
fn earHit(o: vec3f, v: vec3f) -> EarHit {
  var best = EarHit(FAR, vec3f(0.0), 1.0);
  for (var k = -1.0; k < 2.0; k += 2.0) {
    let centre = vec3f(k * (f.headWidth - 0.01), -0.12, -0.16);
    let i = 1.0 / vec3f(0.05 + f.earTilt, f.earSize, 0.11);
    var a = o - centre;
    a.x += k * -0.12 * (a.y);
    let q = a * i;
    let w = vec3f(v.x - k * 0.12 * v.y, v.y, v.z) * i;
    let aa = dot(w, w);
    let b = dot(q, w);
    let disc = b * b - aa * (dot(q, q) - 1.0);
    if (disc > 0.0) {
      let t = (-b + sqrt(disc)) / aa;
      if (t > best.t) { best = EarHit(t, normalize((q + w * t) * i), k); }
    }
  }
  return best;
}

fn earColour(p: vec3f, n: vec3f) -> vec3f {
  let side = select(1.0, -1.0, p.x < 0.0);
  let a = vec2f((abs(p.x) - f.headWidth) / (0.05 + f.earTilt), (p.y + 0.12) / f.earSize);
  let hollow = length(vec2f(a.x + 0.25, (a.y - 0.1) * 1.25));
  var s = Surface(f.skin.rgb * vec3f(1.0, 0.84, 0.82), 0.2, 0.92, SKIN, 0.0);
  s.occlusion *= 1.0 - 0.55 * ramp(0.62, 0.25, hollow);
  s.occlusion *= 1.0 - 0.25 * bump(hollow - 0.78, 0.12);
  s.occlusion *= 0.75 + 0.25 * ramp(-0.9, 0.2, a.x);
  return finish(s, normalize(n + vec3f(side * 0.2, 0.0, 0.3)), f.headLight.xyz, f.up.xyz, f.toward.xyz, 0.9);
}
