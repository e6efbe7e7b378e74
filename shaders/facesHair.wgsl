// Hair, hat, glasses and jewellery of a procedural face (see faces.wgsl).
// Hair is a shell around the cranium, an ellipsoid above and, where it is long, a flaring cylinder below, with an
// opening for the face; its outline is ruffled by noise.
// hairStyle: 0 bald, 1 short, 2 medium or long, 3 tied in a bun, 4 curly volume.

struct HairHit { front: f32, behind: f32 }

const HAIR_CENTRE = vec3f(0.0, 0.16, -0.13);

/// Below 0 where the face shows through the hair, in the frontal plane: a superellipse leaning to the parting.
fn hairOpening(p: vec3f) -> f32 {
  let above = max((p.y - f.hairSlope * p.x) / f.hairline, 0.0);
  let x = abs(p.x - f.hairPart * min(above, 1.0)) / f.hairOpenWidth;
  let jag = 0.12 * (noise(vec2f(p.x * f.hairFrequency * 0.4, p.y * 2.0), f.identitySeed + 5.0) - 0.5)
    + 0.08 * (noise(vec2f(p.x * f.hairFrequency * 2.4, p.y * 9.0), f.identitySeed + 6.0) - 0.5);
  return pow(pow(x, f.hairOpenPower) + pow(above, f.hairOpenPower), 1.0 / f.hairOpenPower) - 1.0 + jag;
}

/// Whether the shell carries hair at this point of its surface.
fn hairCovers(p: vec3f) -> bool {
  if (p.y > f.hatColour.w + 0.05) { return false; }
  let ruffle = 0.05 * (noise(vec2f(p.x * f.hairFrequency, p.z * f.hairFrequency), f.identitySeed) - 0.5);
  if (p.z > -0.02 && hairOpening(p) < 0.0) { return false; }
  let bald = p.y > 0.4 && p.z + ruffle > -0.55 * f.recede && abs(p.x) < 0.16 + 0.3 * f.recede + ruffle;
  if (f.recede > 0.0 && bald) { return false; }
  if (f.hairLength > 0.0) { return p.y > 0.25 - f.hairLength + ruffle * 1.4; }
  // Short: above the ear, with a sideburn in front of it and the nape behind.
  let sideburn = mix(0.02, -0.16, ramp(-0.02, 0.02, p.z));
  return p.y > mix(-0.5, sideburn, ramp(-0.34, -0.24, p.z)) + ruffle;
}

fn hairHit(o: vec3f, v: vec3f, height: f32) -> HairHit {
  var hit = HairHit(FAR, FAR);
  if (f.hairStyle == 0.0) { return hit; }
  // Ruffled radius: a function of where the ray passes, so that outline and surface agree.
  let a = o - HAIR_CENTRE;
  let side = dot(a, f.right.xyz);
  let angle = atan2(side, dot(a, f.up.xyz));
  let rough = f.hairCurl * (noise(vec2f(angle * 5.0, 2.0), f.identitySeed) - 0.4
    + 0.5 * (noise(vec2f(angle * 13.0, 5.0), f.identitySeed) - 0.5));
  let r = vec3f(f.headWidth + f.hairThick, 0.63 + f.hairTop, 0.70 + f.hairThick) * (1.0 + rough);
  let i = 1.0 / r;
  let q = a * i;
  let w = v * i;
  let ww = dot(w, w);
  let b = dot(q, w);
  let disc = b * b - ww * (dot(q, q) - 1.0);
  if (disc > 0.0) {
    let t = (-b + sqrt(disc)) / ww;
    let p = o + v * t;
    if ((p.y > HAIR_CENTRE.y || f.hairLength <= 0.0) && hairCovers(p)) { hit.front = t; }
    let far = (-b - sqrt(disc)) / ww;
    let back = o + v * far;
    if (back.y > select(-0.45, 0.0, f.hairLength > 0.0) && hairCovers(back)) { hit.behind = far; }
  }
  if (f.hairLength > 0.0) {
    let fall = ramp(0.17, -0.9, height);
    let wave = f.hairCurl * 0.9 * (noise(vec2f(height * 6.0, sign(side) * 3.0), f.identitySeed) - 0.5)
      + 0.03 * (noise(vec2f(height * 15.0, sign(side)), f.identitySeed) - 0.5);
    let spread = 1.0 + (f.hairFlare + wave) * fall + rough * (1.0 - fall);
    let flat = vec2f(f.headWidth + f.hairThick, 0.70 + f.hairThick) * spread;
    let k = 1.0 / flat;
    let q2 = a.xz * k;
    let w2 = v.xz * k;
    let ww2 = dot(w2, w2);
    let b2 = dot(q2, w2);
    let disc2 = b2 * b2 - ww2 * (dot(q2, q2) - 1.0);
    if (disc2 > 0.0) {
      let near = (-b2 + sqrt(disc2)) / ww2;
      let p = o + v * near;
      if (p.y <= HAIR_CENTRE.y && hairCovers(p)) { hit.front = max(hit.front, near); }
      let far = (-b2 - sqrt(disc2)) / ww2;
      let back = o + v * far;
      if (back.y <= HAIR_CENTRE.y && hairCovers(back)) { hit.behind = max(hit.behind, far); }
    }
  }
  if (f.hairStyle == 3.0) {
    let c = o - vec3f(f.hairPart * 0.3, 0.83, -0.2);
    let bun = 0.2 * (1.0 + rough);
    let b3 = dot(c, v);
    let disc3 = b3 * b3 - dot(c, c) + bun * bun;
    if (disc3 > 0.0) { hit.front = max(hit.front, -b3 + sqrt(disc3)); }
  }
  return hit;
}

/// Strands along the fall of the hair, lit after Kajiya and Kay (1989): diffuse sine and a band of highlight.
fn hairColour(p: vec3f, inner: bool) -> vec3f {
  let a = p - HAIR_CENTRE;
  let n = normalize(a / vec3f(0.62, select(0.72, 4.0, f.hairLength > 0.0 && p.y < HAIR_CENTRE.y), 0.75));
  let around = atan2(a.x - f.hairPart * 0.6, a.z + 0.55);
  let wavy = f.hairCurl * 2.2 * sin(p.y * 13.0 + around * 3.0 + f.identitySeed);
  let u = around * f.hairFrequency + wavy;
  var strand: f32;
  if (f.hairStyle == 4.0) {
    strand = 0.6 * noise(vec2f(around * 11.0, p.y * 12.0), f.identitySeed)
      + 0.4 * noise(vec2f(around * 25.0, p.y * 26.0), f.identitySeed);
  } else {
    strand = 0.55 * noise(vec2f(u, p.y * 1.6), f.identitySeed)
      + 0.45 * noise(vec2f(u * 3.1, p.y * 3.0), f.identitySeed);
  }
  var albedo = f.hair.rgb * (0.5 + 1.0 * strand);
  let grey = f.hair.w * (0.35 + 0.5 * noise(vec2f(u * 4.0, p.y * 2.0), f.identitySeed + 9.0));
  albedo = mix(albedo, vec3f(0.36, 0.35, 0.335) * (0.6 + 0.6 * strand), grey);
  let along = normalize(vec3f(-n.x * n.y, 1.0 - n.y * n.y + 0.02, -n.z * n.y) + vec3f(0.0, 0.0, 0.05));
  let l = f.headLight.xyz;
  let halfway = normalize(l + f.toward.xyz);
  let cosine = dot(along, halfway) + 0.12 * (strand - 0.5);
  let sine = sqrt(max(1.0 - cosine * cosine, 0.0));
  let band = pow(sine, 34.0) * max(dot(n, f.toward.xyz), 0.0) * select(1.0, 0.25, f.hairStyle == 4.0);
  let shade = select(1.0, 0.42, inner);
  let edge = 0.55 + 0.45 * ramp(0.0, 0.25, select(0.25, abs(hairOpening(p)), p.z > -0.02));
  var occlusion = edge * (0.55 + 0.45 * strand);
  if (f.hat > 0.0) { occlusion *= ramp(-0.02, 0.22, f.hatColour.w - p.y) * 0.7 + 0.3; }
  let body = lit(albedo, n, l, f.up.xyz, f.toward.xyz, occlusion * shade, shade, 0.2);
  let sheen = (albedo * 0.9 + 0.035) * f.lightColour.rgb * f.light.w;
  return body + sheen * (band * shade * ramp(-0.4, 0.5, dot(n, l)));
}

struct HatHit { t: f32, brim: bool }

/// A knitted cap (hat = 1), or a brimmed hat (hat = 2): a dome above the line, and a flat ellipse.
fn hatHit(o: vec3f, v: vec3f) -> HatHit {
  var hit = HatHit(FAR, false);
  if (f.hat == 0.0) { return hit; }
  let a = o - HAIR_CENTRE;
  let thick = max(f.hairThick, 0.05) + 0.05;
  let i = 1.0 / vec3f(f.headWidth + thick, 0.68 + thick, 0.72 + thick);
  let q = a * i;
  let w = v * i;
  let ww = dot(w, w);
  let b = dot(q, w);
  let disc = b * b - ww * (dot(q, q) - 1.0);
  if (disc > 0.0) {
    let t = (-b + sqrt(disc)) / ww;
    let y = o.y + v.y * t;
    let z = o.z + v.z * t;
    if (y > f.hatColour.w + 0.1 * (z - 0.6)) { hit.t = t; }
  }
  if (f.hat == 2.0) {
    let rim = 1.0 / vec3f(0.98, 0.05, 0.95);
    let c = (a - vec3f(0.0, f.hatColour.w - HAIR_CENTRE.y + 0.02, 0.02)) * rim;
    let r = v * rim;
    let rr = dot(r, r);
    let br = dot(c, r);
    let dr = br * br - rr * (dot(c, c) - 1.0);
    if (dr > 0.0) {
      let t = (-br + sqrt(dr)) / rr;
      if (t > hit.t) { hit = HatHit(t, true); }
    }
  }
  return hit;
}

fn hatColour(o: vec3f, v: vec3f, hit: HatHit) -> vec3f {
  let p = o + v * hit.t;
  let a = p - HAIR_CENTRE;
  var n = normalize(a / vec3f(0.45, 0.6, 0.6));
  let up = p.y - f.hatColour.w - 0.1 * (p.z - 0.6);
  var albedo = f.hatColour.rgb;
  if (f.hat == 1.0) {
    let around = atan2(a.x, a.z);
    let rib = sin(around * 58.0) * ramp(0.08, 0.02, footprint);
    albedo *= 0.86 + 0.12 * rib + 0.1 * (noise(vec2f(around * 30.0, p.y * 40.0), f.viewSeed) - 0.5);
    if (up < 0.17) { albedo *= 1.12 - 0.4 * bump(up - 0.17, 0.02); }
  } else if (hit.brim) {
    n = normalize(vec3f(a.x * 0.3, 0.8, a.z * 0.5 + 0.25));
    albedo *= 0.85;
  } else if (up < 0.15) {
    albedo *= 0.35;
  }
  let s = Surface(albedo, 0.03, 0.85 + 0.15 * ramp(0.0, 0.1, up), HAT, 0.0);
  return finish(s, n, f.headLight.xyz, f.up.xyz, f.toward.xyz, 1.0);
}

/// Drops that hang from the lobes.
fn earrings(o: vec3f, v: vec3f, nearest: f32, behind: Sample) -> Sample {
  var result = behind;
  for (var k = -1.0; k < 2.0; k += 2.0) {
    let centre = vec3f(k * (f.headWidth + 0.015), -0.12 - f.earSize - 0.05, -0.12);
    let i = 1.0 / vec3f(0.05, 0.075, 0.05);
    let q = (o - centre) * i;
    let w = v * i;
    let ww = dot(w, w);
    let b = dot(q, w);
    let disc = b * b - ww * (dot(q, q) - 1.0);
    if (disc > 0.0) {
      let t = (-b + sqrt(disc)) / ww;
      if (t > nearest) {
        let n = normalize((q + w * t) * i);
        let s = Surface(f.jewel.rgb, f.jewel.w * 2.0, 1.0, EARRING, 0.0);
        result = Sample(finish(s, n, f.headLight.xyz, f.up.xyz, f.toward.xyz, 1.0), EARRING);
      }
    }
  }
  return result;
}

/// Glasses in the plane before the eyes, with temples back to the ears. The class covers frame and lens; the eyes and
/// brows seen through the lens keep their own, as their parts are painted later in CelebAMask-HQ.
fn spectacles(o: vec3f, v: vec3f, nearest: f32, behind: Sample) -> Sample {
  var result = behind;
  let plane = 0.63;
  let t = (plane - o.z) / v.z;
  let p = o + v * t;
  let half = vec2f(f.glassesWidth, f.glassesHeight);
  if (t > nearest - 0.02) {
    let c = vec2f(abs(p.x) - f.eyeX - 0.015, p.y - f.eyeY + 0.02);
    let corner = abs(c) - half + f.glassesRound;
    let lens = length(max(corner, vec2f(0.0))) + min(max(corner.x, corner.y), 0.0) - f.glassesRound;
    let gap = f.eyeX + 0.015 - f.glassesWidth;
    let bridge = max(abs(p.y - f.eyeY - 0.03 + 0.4 * p.x * p.x) - f.glassesThick * 0.8, abs(p.x) - gap);
    let frame = min(abs(lens) - f.glassesThick, bridge);
    let alpha = cover(frame);
    if (lens < 0.0) {
      let streak = ramp(0.03, 0.0, abs(c.x + c.y * 0.7 - 0.05) - 0.02) * ramp(0.0, 0.05, -lens);
      result.colour = mix(result.colour, f.glassesColour.rgb * 0.35 + 0.02, f.glassesColour.w);
      result.colour += f.lightColour.rgb * f.light.w * 0.07 * streak;
      if (result.label < 4u || result.label > 7u || f.glassesColour.w > 0.5) { result.label = GLASSES; }
    }
    if (alpha > 0.0) {
      let shine = 0.8 + 0.5 * ramp(-0.5, 0.5, c.y / half.y);
      result.colour = mix(result.colour, f.glassesColour.rgb * shine * (0.3 + 0.7 * f.light.w), alpha * 0.95);
      if (alpha > 0.5) { result.label = GLASSES; }
    }
  }
  // Temples: planes that run from the frame's hinges to the ears.
  for (var k = -1.0; k < 2.0; k += 2.0) {
    let wide = f.eyeX + 0.015 + f.glassesWidth;
    let splay = (f.headWidth + 0.015 - wide) / (plane + 0.1);
    let facing = v.x + k * splay * v.z;
    if (facing * k < 0.01) { continue; }
    let at = (k * (wide + (plane - o.z) * splay) - o.x) / facing;
    let q = o + v * at;
    let onTemple = q.z < plane && q.z > -0.2 && abs(q.y - f.eyeY - 0.03) < f.glassesThick * 1.1;
    if (onTemple && at > nearest - 0.02 && result.label != GLASSES) {
      result = Sample(f.glassesColour.rgb * 0.8, GLASSES);
    }
  }
  return result;
}
