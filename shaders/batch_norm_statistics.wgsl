// mean[c] = mean over n, i of x[n, c, i];  variance[c] = mean over n, i of (x[n, c, i] - mean[c])²  (biased)
//
// 0: x  [N, C, plane]     1: mean  [C]     2: variance  [C]
// A workgroup computes one channel, in two passes over it (the sum of squares alone would cancel), each ends in a tree.

struct Params {
  samples: u32,
  channels: u32,
  plane: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> mean_data: array<f32>;
@group(0) @binding(2) var<storage, read_write> variance_data: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

var<workgroup> partial: array<f32, WORKGROUP>;

fn total(value: f32, local: u32) -> f32 {
  workgroupBarrier();
  partial[local] = value;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) {
      partial[local] += partial[local + half];
    }
  }
  workgroupBarrier();
  return partial[0];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let channel = workgroup.x;
  let count = f32(params.samples * params.plane);
  var sum = 0.0;
  for (var n = 0u; n < params.samples; n++) {
    let base = (n * params.channels + channel) * params.plane;
    for (var i = local; i < params.plane; i += WORKGROUP) {
      sum += input[base + i];
    }
  }
  let mean = total(sum, local) / count;
  var squares = 0.0;
  for (var n = 0u; n < params.samples; n++) {
    let base = (n * params.channels + channel) * params.plane;
    for (var i = local; i < params.plane; i += WORKGROUP) {
      let centred = input[base + i] - mean;
      squares += centred * centred;
    }
  }
  let variance = total(squares, local) / count;
  if (local == 0) {
    mean_data[channel] = mean;
    variance_data[channel] = variance;
  }
}
