// y[p, i, j] = mean of x[p, r, q] over r in bin(i) and q in bin(j), with bin(k) = [floor(k n / m), ceil((k + 1) n / m))
// where n pixels become m along the axis: average pooling to a size. Bins overlap where m does not divide n.
//
// 0: x  [planes, H, W]     1: y  [planes, OH, OW]
// An invocation computes one element of y.

struct Params {
  size: u32,
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

/// First pixel and end of bin k.
fn bin(k: u32, n: u32, m: u32) -> vec2u {
  return vec2u(k * n / m, ((k + 1) * n + m - 1) / m);
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
  let line = index / params.out_width;
  let p = line / params.out_height;
  let rows = bin(line % params.out_height, params.height, params.out_height);
  let columns = bin(index % params.out_width, params.width, params.out_width);
  var sum = 0.0;
  for (var r = rows.x; r < rows.y; r++) {
    let start = (p * params.height + r) * params.width;
    for (var q = columns.x; q < columns.y; q++) {
      sum += input[start + q];
    }
  }
  output[index] = sum / f32((rows.y - rows.x) * (columns.y - columns.x));
}
