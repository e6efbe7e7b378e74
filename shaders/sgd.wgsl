// u = momentum u + (g + decay p),  p -= rate u
// Stochastic gradient descent with momentum and weight decay as in PyTorch, on one flat chunk of parameters.
//
// 0: progress  [parameters]  (see optimizer_step.wgsl)
// 1: owners  [size / 64]  (u32: the parameter of each 64 elements)
// 2: rate  [1]     3: decay  [parameters]     4: g  [size]     5: u  [size]     6: p  [size]
// An invocation updates four neighbours. Parameters that do not move keep p and u.

struct Progress {
  steps: u32,
  moves: u32,
  correction1: f32,
  correction2: f32,
}

struct Params {
  quads: u32,
  momentum: f32,
}

@group(0) @binding(0) var<storage, read> progress: array<Progress>;
@group(0) @binding(1) var<storage, read> owners: array<u32>;
@group(0) @binding(2) var<storage, read> rate: array<f32>;
@group(0) @binding(3) var<storage, read> decay: array<f32>;
@group(0) @binding(4) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> velocity: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> parameter: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (workgroup.y * groups.x + workgroup.x) * WORKGROUP + local;
  if (i >= params.quads) {
    return;
  }
  let owner = owners[i / 16];
  if (progress[owner].moves == 0) {
    return;
  }
  let p = parameter[i];
  let u = params.momentum * velocity[i] + (gradient[i] + decay[owner] * p);
  velocity[i] = u;
  parameter[i] = p - rate[0] * u;
}
