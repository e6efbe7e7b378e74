// y[i] = offset + scale * draw(seed, stream, step, i): uniform in (-1, 1] or standard normal
// Philox4x32-10 (Salmon et al. 2011) with the key (seed, stream) and the counter (i / 4, step, 0, 0): a draw depends on
// nothing else, so that leaving one stream out moves no other. Normal numbers come from pairs of draws (Box and Muller
// 1958).
//
// 0: step  [1]  (u32)     1: y  [size]
// An invocation makes the four neighbours of one counter. A part of a larger tensor starts at its element `start`: i
// counts through the whole tensor.

struct Params {
  start: u32,
  size: u32,
  seed: u32,
  stream: u32,
  offset: f32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> step_number: array<u32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
/// 1 for normal numbers, 0 for uniform ones.
override NORMAL: u32 = 0;

/// The high word of a 64-bit product.
fn multiply_high(a: u32, b: u32) -> u32 {
  let a0 = a & 0xffffu;
  let a1 = a >> 16;
  let b0 = b & 0xffffu;
  let b1 = b >> 16;
  let middle = a1 * b0 + ((a0 * b0) >> 16);
  let carry = a0 * b1 + (middle & 0xffffu);
  return a1 * b1 + (middle >> 16) + (carry >> 16);
}

fn philox(start: vec4u, start_key: vec2u) -> vec4u {
  var c = start;
  var key = start_key;
  for (var round = 0; round < 10; round++) {
    let high0 = multiply_high(0xd2511f53u, c.x);
    let high1 = multiply_high(0xcd9e8d57u, c.z);
    c = vec4u(high1 ^ c.y ^ key.x, 0xcd9e8d57u * c.z, high0 ^ c.w ^ key.y, 0xd2511f53u * c.x);
    key += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

/// Uniform in (0, 1]: the 24 high bits, in the middle of their interval (rounded), so that the logarithm is finite.
fn unit(bits: vec4u) -> vec4f {
  return (vec4f(bits >> vec4u(8)) + 0.5) * 0x1p-24;
}

fn draw(bits: vec4u) -> vec4f {
  let u = unit(bits);
  if (NORMAL == 0) {
    return u * 2 - 1;
  }
  let radius = sqrt(-2 * log(u.xz));
  let angle = 6.283185307179586 * u.yw;
  return vec4f(radius.x * cos(angle.x), radius.x * sin(angle.x), radius.y * cos(angle.y), radius.y * sin(angle.y));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let counter = params.start / 4 + (workgroup.y * groups.x + workgroup.x) * WORKGROUP + local;
  if (counter * 4 >= params.start + params.size) {
    return;
  }
  let bits = philox(vec4u(counter, step_number[0], 0, 0), vec2u(params.seed, params.stream));
  let value = params.offset + params.scale * draw(bits);
  for (var j = 0u; j < 4; j++) {
    let i = counter * 4 + j;
    if (i >= params.start && i < params.start + params.size) {
      output[i - params.start] = value[j];
    }
  }
}
