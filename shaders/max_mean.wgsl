// y[o, 0, i] = max over r of x[o, r, i],   q[o, i] = the first r that has it,   y[o, 1, i] = mean over r of x[o, r, i]
// or, with GIVEN, y[o, 0, i] = x[o, q[o, i], i]: both poolings of an attention module in one pass.
//
// 0: x  [outer, length, inner]     1: y  [outer * inner, 2] in the strides of the parameters     2: q  [outer, inner]
// (u32)
// A workgroup of LANES invocations along the reduction and WORKGROUP / LANES outputs, added as a fixed tree.

struct Params {
  outputs: u32,
  length: u32,
  inner: u32,
  /// Elements of y from one o to the next, and from the maximum to the mean.
  outer_stride: u32,
  mean_offset: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read_write> position: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override LANES: u32 = 1;
override GIVEN: bool = false;

const LOWEST: f32 = -3.4028234663852886e38;

struct Found {
  sum: f32,
  highest: f32,
  at: u32,
}

var<workgroup> partial: array<Found, WORKGROUP>;

fn combine(a: Found, b: Found) -> Found {
  let second = b.highest > a.highest || (b.highest == a.highest && b.at < a.at);
  return Found(a.sum + b.sum, select(a.highest, b.highest, second), select(a.at, b.at, second));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = local % LANES;
  let index = (workgroup.y * groups.x + workgroup.x) * (WORKGROUP / LANES) + local / LANES;
  let o = index / params.inner;
  let i = index % params.inner;
  let base = o * params.length * params.inner + i;
  var found = Found(0.0, LOWEST, params.length);
  if (index < params.outputs) {
    for (var r = lane; r < params.length; r += LANES) {
      let x = input[base + r * params.inner];
      found = combine(found, Found(x, x, r));
    }
  }
  if (LANES > 1) {
    partial[local] = found;
    for (var half = LANES / 2; half > 0; half /= 2) {
      workgroupBarrier();
      if (lane < half) {
        partial[local] = combine(partial[local], partial[local + half]);
      }
    }
    found = partial[local];
  }
  if (lane == 0 && index < params.outputs) {
    let at = o * params.outer_stride + i;
    output[at + params.mean_offset] = found.sum / f32(params.length);
    if (GIVEN) {
      output[at] = input[base + position[index] * params.inner];
    } else {
      output[at] = found.highest;
      position[index] = min(found.at, params.length - 1);
    }
  }
}
