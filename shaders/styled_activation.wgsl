// y[n, c, i] = gain * lrelu(x[n, c, i] * d[n, c] + strength * noise[n, i] + bias[c])
// with lrelu(v) = v where v > 0, else slope * v
// What follows the convolution of a styled layer (Karras et al. 2020, section 2.2): demodulation, noise, bias,
// activation.
//
// 0: x  [N, C, plane]     1: d  [N, C]     2: noise  [1 or N, plane]     3: strength  [1]     4: bias  [C]
// 5: y  [N, C, plane]
// A workgroup computes WORKGROUP * 4 consecutive ELEMENTs: vec4f where four divides the plane, which is counted in
// vectors then, else f32. x and y are STORED as these or, with HALF, as vec4h or f16. Without NOISY anything may be
// bound as noise and strength.
//
//: let HALF = 0

//: if HALF
enable f16;
//: end

struct Params {
  size: u32,
  channels: u32,
  plane: u32,
  /// Elements of the noise from one sample to the next.
  noise_stride: u32,
  slope: f32,
  gain: f32,
}

@group(0) @binding(0) var<storage, read> input: array<STORED>;
@group(0) @binding(1) var<storage, read> demodulation: array<f32>;
@group(0) @binding(2) var<storage, read> noise: array<NOISE>;
@group(0) @binding(3) var<storage, read> strength: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> output: array<STORED>;
@group(0) @binding(6) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override NOISY: bool = true;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let first = (workgroup.y * groups.x + workgroup.x) * WORKGROUP * 4 + local;
  for (var j = 0u; j < 4; j++) {
    let i = first + j * WORKGROUP;
    if (i < params.size) {
      let p = i / params.plane;
      let n = p / params.channels;
      var v = ELEMENT(input[i]) * demodulation[p] + bias[p % params.channels];
      if (NOISY) {
        v += strength[0] * ELEMENT(noise[n * params.noise_stride + i % params.plane]);
      }
      output[i] = STORED(params.gain * select(v * params.slope, v, v > ELEMENT(0.0)));
    }
  }
}
