// y[n, o, p, q] = sum over c, a, b with stride_y | p + pad_y - a and stride_x | q + pad_x - b
//                 of x[n, g(o) * CG + c, (p + pad_y - a) / stride_y, (q + pad_x - b) / stride_x]
//                  * w[g(o) * CG + c, o mod OG, a, b]
// The transposed convolution, which is also the gradient of conv2d to its input; g(o) is the group of output channel o.
//
// 0: x  [N, C, H, W]     1: w  [C, OG, KH, KW]     2: y  [N, O, OH, OW]
// Output pixels that are congruent modulo the strides meet the same taps. Within such a phase a register tile is 8
// output channels x 4 pixels of a row, and a workgroup computes WORKGROUP of these quads for one block of 8 channels
// (workgroup.y; blocks do not cross groups). workgroup.z counts the phases, and over them the rows of workgroups where
// one row (x) is not enough.

struct Params {
  samples: u32,
  channels: u32,
  height: i32,
  width: i32,
  out_channels: u32,
  out_height: u32,
  out_width: u32,
  groups: u32,
  kernel_height: u32,
  kernel_width: u32,
  stride_y: u32,
  stride_x: u32,
  pad_y: u32,
  pad_x: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

fn store(at: u32, column: u32, value: vec4f) {
  let step = params.stride_x;
  output[at] = value.x;
  if (column + step < params.out_width) { output[at + step] = value.y; }
  if (column + 2 * step < params.out_width) { output[at + 2 * step] = value.z; }
  if (column + 3 * step < params.out_width) { output[at + 3 * step] = value.w; }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let phases = params.stride_y * params.stride_x;
  let phase_y = workgroup.z % phases / params.stride_x;
  let phase_x = workgroup.z % params.stride_x;
  if (phase_y >= params.out_height || phase_x >= params.out_width) {
    return;
  }
  let rows = (params.out_height - phase_y + params.stride_y - 1) / params.stride_y;
  let quads_x = ((params.out_width - phase_x + params.stride_x - 1) / params.stride_x + 3) / 4;
  let quads = params.samples * rows * quads_x;
  let index = (workgroup.z / phases * groups.x + workgroup.x) * WORKGROUP + local;
  let quad = min(index, quads - 1);
  let column = phase_x + quad % quads_x * 4 * params.stride_x;
  let row = phase_y + quad / quads_x % rows * params.stride_y;
  let sample = quad / (quads_x * rows);

  let group_outputs = params.out_channels / params.groups;
  let group_channels = params.channels / params.groups;
  let blocks = (group_outputs + 7) / 8;
  let group = workgroup.y / blocks;
  let first = workgroup.y % blocks * 8;
  let last = group_outputs - 1;
  let taps = params.kernel_height * params.kernel_width;
  let w0 = min(first + 0, last) * taps;
  let w1 = min(first + 1, last) * taps;
  let w2 = min(first + 2, last) * taps;
  let w3 = min(first + 3, last) * taps;
  let w4 = min(first + 4, last) * taps;
  let w5 = min(first + 5, last) * taps;
  let w6 = min(first + 6, last) * taps;
  let w7 = min(first + 7, last) * taps;

  let plane = params.height * params.width;
  let image = i32(sample * params.channels + group * group_channels) * plane;
  let filters = group * group_channels * group_outputs * taps;
  let edge = vec4i(params.width - 1);

  var y0 = vec4f(0);
  var y1 = vec4f(0);
  var y2 = vec4f(0);
  var y3 = vec4f(0);
  var y4 = vec4f(0);
  var y5 = vec4f(0);
  var y6 = vec4f(0);
  var y7 = vec4f(0);

  for (var a = (phase_y + params.pad_y) % params.stride_y; a < params.kernel_height; a += params.stride_y) {
    // The difference is a multiple of the stride, so that the division is exact for negative rows too.
    let y = (i32(row + params.pad_y) - i32(a)) / i32(params.stride_y);
    let valid = select(0.0, 1.0, y >= 0 && y < params.height);
    let line = image + clamp(y, 0, params.height - 1) * params.width;
    for (var b = (phase_x + params.pad_x) % params.stride_x; b < params.kernel_width; b += params.stride_x) {
      let x = (i32(column + params.pad_x) - i32(b)) / i32(params.stride_x) + vec4i(0, 1, 2, 3);
      let c0 = clamp(x, vec4i(0), edge);
      let mask = select(vec4f(0), vec4f(valid), (x >= vec4i(0)) & (x <= edge));
      for (var c = 0u; c < group_channels; c++) {
        let origin = line + i32(c) * plane;
        let p = vec4f(input[origin + c0.x], input[origin + c0.y], input[origin + c0.z], input[origin + c0.w]) * mask;
        let k = filters + c * group_outputs * taps + a * params.kernel_width + b;
        y0 += p * weight[w0 + k];
        y1 += p * weight[w1 + k];
        y2 += p * weight[w2 + k];
        y3 += p * weight[w3 + k];
        y4 += p * weight[w4 + k];
        y5 += p * weight[w5 + k];
        y6 += p * weight[w6 + k];
        y7 += p * weight[w7 + k];
      }
    }
  }

  if (index >= quads) {
    return;
  }
  let out_plane = params.out_height * params.out_width;
  let channel = group * group_outputs + first;
  let at = ((sample * params.out_channels + channel) * params.out_height + row) * params.out_width + column;
  store(at, column, y0);
  if (first + 1 <= last) { store(at + 1 * out_plane, column, y1); }
  if (first + 2 <= last) { store(at + 2 * out_plane, column, y2); }
  if (first + 3 <= last) { store(at + 3 * out_plane, column, y3); }
  if (first + 4 <= last) { store(at + 4 * out_plane, column, y4); }
  if (first + 5 <= last) { store(at + 5 * out_plane, column, y5); }
  if (first + 6 <= last) { store(at + 6 * out_plane, column, y6); }
  if (first + 7 <= last) { store(at + 7 * out_plane, column, y7); }
}
