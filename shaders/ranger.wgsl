// m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
// p -= rate * r / (1 - beta1^t) * m / (sqrt(v) + epsilon)   if N > threshold, else   p -= rate / (1 - beta1^t) * m
// every `period` steps: slow += alpha (p - slow),  p = slow
// RAdam (Liu et al. 2020, algorithm 2; the bias correction of v sits in r) with Lookahead (Zhang et al. 2019, algorithm
// 1) on one flat chunk of parameters; g is centralised already. With N0 = 2 / (1 - beta2) - 1:
//   N = N0 - 2 t beta2^t / (1 - beta2^t),   r = sqrt((1 - beta2^t) (N - 4) / (N0 - 4) (N - 2) / N N0 / (N0 - 2))
//
// 0: progress  [parameters]  (see optimizer_step.wgsl)
// 1: owners  [size / 64]  (u32: the parameter of each 64 elements)
// 2: rate  [1]     3: g  [size]     4: m  [size]     5: v  [size]     6: slow  [size]     7: p  [size]
// An invocation updates four neighbours. Parameters that do not move keep p, m, v and slow.

struct Progress {
  steps: u32,
  moves: u32,
  correction1: f32,
  correction2: f32,
}

struct Params {
  quads: u32,
  period: u32,
  alpha: f32,
  beta1: f32,
  beta2: f32,
  rest1: f32,
  rest2: f32,
  epsilon: f32,
  threshold: f32,
  longest: f32,
  decay2: f32,
  longest_excess: f32,
}

@group(0) @binding(0) var<storage, read> progress: array<Progress>;
@group(0) @binding(1) var<storage, read> owners: array<u32>;
@group(0) @binding(2) var<storage, read> rate: array<f32>;
@group(0) @binding(3) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> moment1: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> moment2: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> slow: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> parameter: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

/// N at step t. As written above it is a small difference of large numbers while s = t decay2 = -t ln(beta2) is small;
/// there s / (e^s - 1) = 1 - s / 2 + s^2 / 12 - s^4 / 720 + ... leaves longest_excess = N0 - 2 / decay2, rounded on the
/// host, and small terms.
fn simple_average_length(t: f32) -> f32 {
  let s = t * params.decay2;
  if (s > 1) {
    return params.longest - 2 * t / (exp(s) - 1);
  }
  let q = s * s;
  return params.longest_excess + t - 2 * t * s * (1.0 / 12 - q * (1.0 / 720 - q * (1.0 / 30240 - q / 1209600)));
}

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

  var p = parameter[i];
  let start = select(slow[i], p, own.steps == 1);
  let step = rate[0] / own.correction1;
  let n = simple_average_length(f32(own.steps));
  let n0 = params.longest;
  if (n > params.threshold) {
    let r = sqrt(own.correction2 * (n - 4) / (n0 - 4) * (n - 2) / n * n0 / (n0 - 2));
    p -= step * r * m / (sqrt(v) + params.epsilon);
  } else {
    p -= step * m;
  }
  if (own.steps % params.period == 0) {
    p = start + params.alpha * (p - start);
    slow[i] = p;
  } else if (own.steps == 1) {
    slow[i] = start;
  }
  parameter[i] = p;
}
