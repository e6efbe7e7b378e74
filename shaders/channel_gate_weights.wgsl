// dw1[j, k] = sum over n, p of dh[p, n, j] m[p, n, k]         db1[j] = sum over n, p of dh[p, n, j]
// dw2[c, j] = sum over n of dt[n, c] a[n, j]                  db2[c] = pools * sum over n of dt[n, c]
// The gradients of channel_gate.wgsl in its weights and biases; dt, dh and a are those of channel_gate_gradient.wgsl.
//
// 0: g  [N, C]     1: gate  [N, C]     2: m  [pools, N, C]     3: s  [N, pools + 1, H]
// 4: dw1  [H, C]     5: dw2  [C, H]     6: db1  [H]     7: db2  [C]
// An invocation computes dw1[j, k] and dw2[k, j], the first ones of their rows the biases' too.

struct Params {
  samples: u32,
  channels: u32,
  hidden: u32,
  pools: u32,
}

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> pooled: array<f32>;
@group(0) @binding(3) var<storage, read> hidden_gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> weight1_gradient: array<f32>;
@group(0) @binding(5) var<storage, read_write> weight2_gradient: array<f32>;
@group(0) @binding(6) var<storage, read_write> bias1_gradient: array<f32>;
@group(0) @binding(7) var<storage, read_write> bias2_gradient: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override BIASED: bool = false;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let j = id.x / params.channels;
  let k = id.x % params.channels;
  if (j >= params.hidden) {
    return;
  }
  var dw1 = 0.0;
  var dw2 = 0.0;
  var db1 = 0.0;
  var db2 = 0.0;
  for (var n = 0u; n < params.samples; n++) {
    let own = n * (params.pools + 1) * params.hidden + j;
    for (var p = 0u; p < params.pools; p++) {
      let dh = hidden_gradient[own + p * params.hidden];
      dw1 += dh * pooled[(p * params.samples + n) * params.channels + k];
      db1 += dh;
    }
    let y = gate[n * params.channels + k];
    let dt = gradient[n * params.channels + k] * y * (1.0 - y);
    dw2 += dt * hidden_gradient[own + params.pools * params.hidden];
    db2 += dt;
  }
  weight1_gradient[j * params.channels + k] = dw1;
  weight2_gradient[k * params.hidden + j] = dw2;
  if (BIASED && k == 0) {
    bias1_gradient[j] = db1;
  }
  if (BIASED && j == 0) {
    bias2_gradient[k] = f32(params.pools) * db2;
  }
}
