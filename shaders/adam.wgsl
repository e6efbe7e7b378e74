// m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
// p -= rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
// Adam (Kingma and Ba 2015, algorithm 1) on one flat chunk of parameters; t counts the steps of each parameter.
//
// 0: progress  [parameters]  (see optimizer_step.wgsl)
// 1: owners  [size / 64]  (u32: the parameter of each 64 elements)
// 2: rate  [1]     3: g  [size]     4: m  [size]     5: v  [size]     6: p  [size]
// An invocation updates four neighbours. Parameters that do not move keep p, m and v.

struct Progress {
  steps: u32,
  moves: u32,
  correction1: f32,
  correction2: f32,
}

struct Params {
  quads: u32,
  rate_scale: f32,
  beta1: f32,
  beta2: f32,
  rest1: f32,
  rest2: f32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> progress: array<Progress>;
@group(0) @binding(1) var<storage, read> owners: array<u32>;
@group(0) @binding(2) var<storage, read> rate: array<f32>;
@group(0) @binding(3) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> moment1: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> moment2: array<vec4f>;
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
  let own = progress[owners[i / 16]];
  if (own.moves == 0) {
    return;
  }
  let g = gradient[i];
  let m = params.beta1 * moment1[i] + params.rest1 * g;
  let v = params.beta2 * moment2[i] + params.rest2 * g * g;
  moment1[i] = m;
  moment2[i] = v;
  let step = rate[0] * params.rate_scale / own.correction1;
  parameter[i] -= step * m / (sqrt(v) / sqrt(own.correction2) + params.epsilon);
}
