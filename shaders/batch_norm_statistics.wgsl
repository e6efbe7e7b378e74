// mean[c, s] = mean of x[n, c, i] over all n and the i of split s;  variance[c, s] = mean there of (x - mean[c, s])^2
//
// 0: x  [N, C, plane]     1: mean  [C, splits]     2: variance  [C, splits]
// A workgroup computes one split of one channel, in two passes over it (the sum of squares alone would cancel), each
// ends in a tree. ELEMENT is vec4f where four divides the plane, and all counts are of vectors then; else it is f32.

struct Params {
  samples: u32,
  channels: u32,
  plane: u32,
  /// Of each plane; the last split may have less.
  split_length: u32,
}

@group(0) @binding(0) var<storage, read> input: array<ELEMENT>;
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

fn collect(v: ELEMENT) -> f32 {
  return COLLECT;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let channel = workgroup.y;
  let start = workgroup.x * params.split_length;
  let end = min(start + params.split_length, params.plane);
  let count = f32(params.samples * (end - start)) * LANE_COUNT;
  var sum = ELEMENT(0.0);
  for (var n = 0u; n < params.samples; n++) {
    let base = (n * params.channels + channel) * params.plane;
    for (var i = start + local; i < end; i += WORKGROUP) {
      sum += input[base + i];
    }
  }
  let mean = total(collect(sum), local) / count;
  var squares = ELEMENT(0.0);
  for (var n = 0u; n < params.samples; n++) {
    let base = (n * params.channels + channel) * params.plane;
    for (var i = start + local; i < end; i += WORKGROUP) {
      let centred = input[base + i] - mean;
      squares += centred * centred;
    }
  }
  let variance = total(collect(squares), local) / count;
  if (local == 0) {
    mean_data[channel * groups.x + workgroup.x] = mean;
    variance_data[channel * groups.x + workgroup.x] = variance;
  }
}
