// h[n, c, i] = m[n, c, i] * d[n, c]   with m = gain * g * (1 where y > 0, else slope)
// and in split s of a plane the sums over i:   t0 = m * x,   t1 = m,   t2 = m * noise[n, i]
// The gradient of styled_activation.wgsl in x; t0 is that in d, and t1 and t2 add up to those in bias and strength.
//
// 0: g  [N, C, plane]     1: y  [N, C, plane]     2: x  [N, C, plane]     3: d  [N, C]     4: noise  [1 or N, plane]
// 5: h  [N, C, plane]     6: t0  [N, C, splits]     7: t  [2, N, C, splits]  (t1, then t2)
// A workgroup of LANES invocations along a plane and WORKGROUP / LANES planes, added as a fixed tree. ELEMENT is vec4f
// where four divides the plane, which is counted in vectors then, else f32. g, y, x and h are STORED as these or, with
// HALF, as vec4h or f16; sums are f32.
//
//: let HALF = 0

//: if HALF
enable f16;
//: end

struct Params {
  planes: u32,
  channels: u32,
  plane: u32,
  split_length: u32,
  noise_stride: u32,
  slope: f32,
  gain: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<STORED>;
@group(0) @binding(1) var<storage, read> result: array<STORED>;
@group(0) @binding(2) var<storage, read> input: array<STORED>;
@group(0) @binding(3) var<storage, read> demodulation: array<f32>;
@group(0) @binding(4) var<storage, read> noise: array<NOISE>;
@group(0) @binding(5) var<storage, read_write> output: array<STORED>;
@group(0) @binding(6) var<storage, read_write> input_sum: array<f32>;
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override LANES: u32 = 64;
override NOISY: bool = true;

var<workgroup> partial: array<vec3f, WORKGROUP>;

fn collect(v: ELEMENT) -> f32 {
  return COLLECT;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = local % LANES;
  let p = (workgroup.y * groups.x + workgroup.x) * (WORKGROUP / LANES) + local / LANES;
  var with_input = ELEMENT(0.0);
  var alone = ELEMENT(0.0);
  var with_noise = ELEMENT(0.0);
  if (p < params.planes) {
    let d = demodulation[p];
    let noise_start = p / params.channels * params.noise_stride;
    let start = workgroup.z * params.split_length;
    let end = min(start + params.split_length, params.plane);
    for (var i = start + lane; i < end; i += LANES) {
      let at = p * params.plane + i;
      let g = params.gain * ELEMENT(gradient[at]);
      let m = select(g * params.slope, g, ELEMENT(result[at]) > ELEMENT(0.0));
      output[at] = STORED(m * d);
      with_input += m * ELEMENT(input[at]);
      alone += m;
      if (NOISY) {
        with_noise += m * ELEMENT(noise[noise_start + i]);
      }
    }
  }
  partial[local] = vec3f(collect(with_input), collect(alone), collect(with_noise));
  for (var half = LANES / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (lane < half) {
      partial[local] += partial[local + half];
    }
  }
  if (lane == 0 && p < params.planes) {
    let at = p * groups.z + workgroup.z;
    input_sum[at] = partial[local].x;
    sums[at] = partial[local].y;
    sums[params.planes * groups.z + at] = partial[local].z;
  }
}
