// t[i] += 1 for each parameter i that got a gradient, if the step is finite; and the bias corrections 1 - beta^t
//
// 0: gate  [1]  (u32: 0 if the step is finite)     1: active  [count]  (u32: 1 where there is a gradient)
// 2: progress  [count]
// An invocation serves one parameter. What the update kernels do with its elements hangs on `moves` alone. The
// corrections come from -expm1(-t * decay), decay = -ln(beta): 1 - beta^t itself would lose its digits where beta is
// close to 1.

struct Progress {
  steps: u32,
  moves: u32,
  correction1: f32,
  correction2: f32,
}

struct Params {
  count: u32,
  decay1: f32,
  decay2: f32,
}

@group(0) @binding(0) var<storage, read> gate: array<u32>;
@group(0) @binding(1) var<storage, read> active_flags: array<u32>;
@group(0) @binding(2) var<storage, read_write> progress: array<Progress>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

/// 1 - exp(-x) for x >= 0, by its series where x is small.
fn complement(x: f32) -> f32 {
  if (x > 0.5) {
    return 1 - exp(-x);
  }
  return x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5 * (1 - x / 6 * (1 - x / 7 * (1 - x / 8)))))));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= params.count) {
    return;
  }
  let moves = select(0u, 1u, gate[0] == 0 && active_flags[i] != 0);
  let steps = progress[i].steps + moves;
  let t = f32(steps);
  progress[i] = Progress(steps, moves, complement(t * params.decay1), complement(t * params.decay2));
}
