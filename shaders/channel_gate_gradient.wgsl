// dt[n, c] = g[n, c] gate[n, c] (1 - gate[n, c]),   dh[p, n, j] = sum over c of dt[n, c] w2[c, j]  where h[p, n, j] > 0
// dm[p, n, k] = scale[p] * sum over j of w1[j, k] dh[p, n, j],   a[n, j] = sum over p of max(0, h[p, n, j])
// The gradient of channel_gate.wgsl in the pools, h being the hidden units before their ReLU; the last pool's is scaled
// by 1 / pixels, as it is a mean.
//
// 0: g  [N, C]     1: gate  [N, C]     2: m  [pools, N, C]     3: w1  [H, C]     4: b1  [H]     5: w2  [C, H]
// 6: dm  [pools, N, C]     7: s  [N, pools + 1, H]  (dh of each pool, then a)
// A workgroup computes one sample.

struct Params {
  samples: u32,
  channels: u32,
  hidden: u32,
  pools: u32,
  mean_scale: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> pooled: array<f32>;
@group(0) @binding(3) var<storage, read> weight1: array<f32>;
@group(0) @binding(4) var<storage, read> bias1: array<f32>;
@group(0) @binding(5) var<storage, read> weight2: array<f32>;
@group(0) @binding(6) var<storage, read_write> pooled_gradient: array<f32>;
@group(0) @binding(7) var<storage, read_write> hidden_gradient: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override BIASED: bool = false;

const MAX_HIDDEN: u32 = 256;

var<workgroup> hidden: array<f32, MAX_HIDDEN>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let n = workgroup.x;
  let own = n * (params.pools + 1) * params.hidden;
  for (var j = local; j < params.hidden; j += WORKGROUP) {
    var back = 0.0;
    for (var c = 0u; c < params.channels; c++) {
      let y = gate[n * params.channels + c];
      back += gradient[n * params.channels + c] * y * (1.0 - y) * weight2[c * params.hidden + j];
    }
    var a = 0.0;
    for (var p = 0u; p < params.pools; p++) {
      let row = (p * params.samples + n) * params.channels;
      var h = 0.0;
      if (BIASED) {
        h = bias1[j];
      }
      for (var k = 0u; k < params.channels; k++) {
        h += weight1[j * params.channels + k] * pooled[row + k];
      }
      a += max(h, 0.0);
      let dh = select(0.0, back, h > 0.0);
      hidden[p * params.hidden + j] = dh;
      hidden_gradient[own + p * params.hidden + j] = dh;
    }
    hidden_gradient[own + params.pools * params.hidden + j] = a;
  }
  workgroupBarrier();
  for (var k = local; k < params.channels; k += WORKGROUP) {
    for (var p = 0u; p < params.pools; p++) {
      var sum = 0.0;
      for (var j = 0u; j < params.hidden; j++) {
        sum += weight1[j * params.channels + k] * hidden[p * params.hidden + j];
      }
      let scale = select(1.0, params.mean_scale, p + 1 == params.pools);
      pooled_gradient[(p * params.samples + n) * params.channels + k] = scale * sum;
    }
  }
}
