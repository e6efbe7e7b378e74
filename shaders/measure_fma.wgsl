// x ← x · a + b, 64 times a round, in eight independent chains: arithmetic in registers and nothing else.
// What it reaches is the ceiling of every other kernel: 64 multiply-adds, 128 FLOP, a round of each invocation.
//
// 0: y  [invocations]  written so that the compiler keeps the loop
// A workgroup is 64 invocations, each of which holds its chains in two vec4f.

struct Params {
  rounds: u32,
  a: f32,
  b: f32,
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = vec4f(params.a);
  let b = vec4f(params.b);
  var p = vec4f(f32(id.x)) + vec4f(0, 1, 2, 3);
  var q = p + 4;
  for (var round = 0u; round < params.rounds; round++) {
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
    p = fma(p, a, b);
    q = fma(q, a, b);
  }
  y[id.x] = dot(p + q, vec4f(1));
}
