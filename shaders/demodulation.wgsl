// d[b, o] = 1 / sqrt(sum over i of s[b, i]^2 q[o, i] + epsilon)   (Karras et al. 2020, equation 3, on activations)
//
// 0: s  [B, I]     1: q  [O, I]     2: d  [B, O]
// An invocation computes one element.

struct Params {
  size: u32,
  outputs: u32,
  inputs: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> styles: array<f32>;
@group(0) @binding(1) var<storage, read> energy: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.size) {
    return;
  }
  let row = id.x / params.outputs * params.inputs;
  let column = id.x % params.outputs * params.inputs;
  var sum = 0.0;
  for (var i = 0u; i < params.inputs; i++) {
    let s = styles[row + i];
    sum += s * s * energy[column + i];
  }
  output[id.x] = inverseSqrt(sum + params.epsilon);
}
