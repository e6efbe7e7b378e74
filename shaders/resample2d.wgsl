// y[p, i, j] = sum over (a, wa) in rows(i), (b, wb) in columns(j) of wa * wb * x[p, a, b]
//
// 0: x  [planes, H, W]     1: rows     2: columns     3: y  [planes, OH, OW]
// A separable linear map of planes by two sparse matrices. A table for n outputs holds n + 1 offsets, then pairs
// (index, weight), the integers as u32 and the weights as f32 bits. Average pooling, adaptive pooling and every
// interpolation are such maps, and so are their gradients, with the transposed tables. An invocation computes one
// element of y.

struct Params {
  size: u32,
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read> columns: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

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
  let j = index % params.out_width;
  let i = (index / params.out_width) % params.out_height;
  let plane = index / (params.out_width * params.out_height) * params.height * params.width;
  var sum = 0.0;
  for (var r = rows[i]; r < rows[i + 1]; r++) {
    let row = plane + rows[params.out_height + 1 + 2 * r] * params.width;
    var line = 0.0;
    for (var c = columns[j]; c < columns[j + 1]; c++) {
      let entry = params.out_width + 1 + 2 * c;
      line += bitcast<f32>(columns[entry + 1]) * input[row + columns[entry]];
    }
    sum += bitcast<f32>(rows[params.out_height + 2 + 2 * r]) * line;
  }
  output[index] = sum;
}
