// h[n, c, i] = gain * g[n, c, i] * (1 where v[n, c, i] > 0, else slope)
// t[c, s] = sum over all n and the i of split s of h, or with LEARNED of g * v where v <= 0
// The gradient of an activation in what it is applied to, and of its bias or its learned slope; v is its input or,
// where that has the same sign, its output.
//
// 0: g  [N, C, plane]     1: v  [N, C, plane]     2: slope  [C]     3: h  [N, C, plane]     4: t  [C, splits]
// A workgroup computes one split of one channel. ELEMENT is vec4f where four divides the plane, and all counts are of
// vectors then; else it is f32. g, v and h are STORED as these or, with HALF, as vec4h or f16. Without LEARNED the
// slope is that of the parameters.
//
//: let HALF = 0

//: if HALF
enable f16;
//: end

struct Params {
  samples: u32,
  channels: u32,
  plane: u32,
  /// Of each plane; the last split may have less.
  split_length: u32,
  slope: f32,
  gain: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<STORED>;
@group(0) @binding(1) var<storage, read> decider: array<STORED>;
@group(0) @binding(2) var<storage, read> slopes: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<STORED>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override LEARNED: bool = false;

var<workgroup> partial: array<f32, WORKGROUP>;

fn collect(v: ELEMENT) -> f32 {
  return COLLECT;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let channel = workgroup.y;
  var slope = params.slope;
  if (LEARNED) {
    slope = slopes[channel];
  }
  let start = workgroup.x * params.split_length;
  let end = min(start + params.split_length, params.plane);
  var sum = ELEMENT(0.0);
  for (var n = 0u; n < params.samples; n++) {
    let base = (n * params.channels + channel) * params.plane;
    for (var i = start + local; i < end; i += WORKGROUP) {
      let at = base + i;
      let g = params.gain * ELEMENT(gradient[at]);
      let v = ELEMENT(decider[at]);
      let h = select(g * slope, g, v > ELEMENT(0.0));
      output[at] = STORED(h);
      if (LEARNED) {
        sum += select(g * v, ELEMENT(0.0), v > ELEMENT(0.0));
      } else {
        sum += h;
      }
    }
  }
  partial[local] = collect(sum);
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) {
      partial[local] += partial[local + half];
    }
  }
  if (local == 0) {
    sums[channel * groups.x + workgroup.x] = partial[0];
  }
}
