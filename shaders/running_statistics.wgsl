// mean += rate * (m - mean),   variance += rate * (correction * v - variance),   batches += 1
// unless the step was found to be not finite: what batch normalisation keeps for evaluation.
//
// 0: gate  [1]  (u32: 0 if the step is finite)     1: m  [C]     2: v  [C]     3: mean  [C]     4: variance  [C]
// 5: batches  [1]
// An invocation updates one channel, the first one the count of batches too.

struct Params {
  channels: u32,
  rate: f32,
  correction: f32,
}

@group(0) @binding(0) var<storage, read> gate: array<u32>;
@group(0) @binding(1) var<storage, read> batch_mean: array<f32>;
@group(0) @binding(2) var<storage, read> batch_variance: array<f32>;
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> variance: array<f32>;
@group(0) @binding(5) var<storage, read_write> batches: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.channels || gate[0] != 0) {
    return;
  }
  mean[c] += params.rate * (batch_mean[c] - mean[c]);
  variance[c] += params.rate * (params.correction * batch_variance[c] - variance[c]);
  if (c == 0) {
    batches[0] += 1.0;
  }
}
