// h[p, r, q] = sum over the bins (i, j) that hold (r, q) of g[p, i, j] / (size of the bin)
// The adjoint of adaptive_pool.wgsl: of m bins over n pixels, r lies in floor(r m / n) to floor(((r + 1) m - 1) / n).
//
// 0: g  [planes, OH, OW]     1: h  [planes, H, W]
// An invocation computes one element of h.

struct Params {
  size: u32,
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
}

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

/// Pixels in bin k.
fn bin_length(k: u32, n: u32, m: u32) -> f32 {
  return f32(((k + 1) * n + m - 1) / m - k * n / m);
}

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
  let line = index / params.width;
  let p = line / params.height;
  let r = line % params.height;
  let q = index % params.width;
  let last_i = ((r + 1) * params.out_height - 1) / params.height;
  let last_j = ((q + 1) * params.out_width - 1) / params.width;
  var sum = 0.0;
  for (var i = r * params.out_height / params.height; i <= last_i; i++) {
    let rows = bin_length(i, params.height, params.out_height);
    for (var j = q * params.out_width / params.width; j <= last_j; j++) {
      let value = gradient[(p * params.out_height + i) * params.out_width + j];
      sum += value / (rows * bin_length(j, params.width, params.out_width));
    }
  }
  output[index] = sum;
}
