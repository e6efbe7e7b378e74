// gate[n, c] = 1 / (1 + exp(-t)),  t = sum over j of w2[c, j] a[n, j] + pools b2[c]
// a[n, j] = sum over pools p of max(0, b1[j] + sum over k of w1[j, k] m[p, n, k])
// The gate of squeeze and excitation (Hu et al. 2018, equation 3) with one pool and no biases; that of CBAM (Woo et al.
// 2018, equation 2) with two and biases.
//
// 0: m  [pools, N, C]     1: w1  [H, C]     2: b1  [H]     3: w2  [C, H]     4: b2  [C]     5: gate  [N, C]
// A workgroup computes one sample. Without biases anything may be bound in their places.

struct Params {
  samples: u32,
  channels: u32,
  hidden: u32,
  pools: u32,
}

@group(0) @binding(0) var<storage, read> pooled: array<f32>;
@group(0) @binding(1) var<storage, read> weight1: array<f32>;
@group(0) @binding(2) var<storage, read> bias1: array<f32>;
@group(0) @binding(3) var<storage, read> weight2: array<f32>;
@group(0) @binding(4) var<storage, read> bias2: array<f32>;
@group(0) @binding(5) var<storage, read_write> gate: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override BIASED: bool = false;

const MAX_HIDDEN: u32 = 256;

var<workgroup> hidden: array<f32, MAX_HIDDEN>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let n = workgroup.x;
  for (var j = local; j < params.hidden; j += WORKGROUP) {
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
    }
    hidden[j] = a;
  }
  workgroupBarrier();
  for (var c = local; c < params.channels; c += WORKGROUP) {
    var t = 0.0;
    if (BIASED) {
      t = f32(params.pools) * bias2[c];
    }
    for (var j = 0u; j < params.hidden; j++) {
      t += weight2[c * params.hidden + j] * hidden[j];
    }
    gate[n * params.channels + c] = 1.0 / (1.0 + exp(-t));
  }
}
