// h[b, i] = -s[b, i] * sum over o of g[b, o] d[b, o]^3 q[o, i]: the gradient of demodulation.wgsl in the styles
//
// 0: g  [B, O]     1: d  [B, O]     2: s  [B, I]     3: q  [O, I]     4: h  [B, I]
// An invocation computes one element.

struct Params {
  size: u32,
  outputs: u32,
  inputs: u32,
}

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read> demodulation: array<f32>;
@group(0) @binding(2) var<storage, read> styles: array<f32>;
@group(0) @binding(3) var<storage, read> energy: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.size) {
    return;
  }
  let row = id.x / params.inputs * params.outputs;
  let i = id.x % params.inputs;
  var sum = 0.0;
  for (var o = 0u; o < params.outputs; o++) {
    let d = demodulation[row + o];
    sum += gradient[row + o] * d * d * d * energy[o * params.inputs + i];
  }
  output[id.x] = -styles[id.x] * sum;
}
