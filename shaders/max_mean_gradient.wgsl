// h[o, r, i] = v + scale * g[o, 1, i] + (g[o, 0, i] if r = q[o, i] else 0): the gradient of max_mean.wgsl
// with v = 0, or with GATED v = u[o, r, i] * gate[o]
//
// 0: g  [outer * inner, 2] in the strides of the parameters     1: q  [outer, inner]  (u32)
// 2: u  [outer, length, inner]     3: gate  [outer]     4: h  [outer, length, inner]
// An invocation computes one element. Without GATED anything may be bound as u and gate.

struct Params {
  size: u32,
  length: u32,
  inner: u32,
  outer_stride: u32,
  mean_offset: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read> position: array<u32>;
@group(0) @binding(2) var<storage, read> upstream: array<f32>;
@group(0) @binding(3) var<storage, read> gate: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override GATED: bool = false;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (workgroup.y * groups.x + workgroup.x) * WORKGROUP + local;
  if (index >= params.size) {
    return;
  }
  let i = index % params.inner;
  let r = index / params.inner % params.length;
  let o = index / (params.inner * params.length);
  let at = o * params.outer_stride + i;
  var h = params.scale * gradient[at + params.mean_offset];
  if (r == position[o * params.inner + i]) {
    h += gradient[at];
  }
  if (GATED) {
    h += upstream[index] * gate[o];
  }
  output[index] = h;
}
