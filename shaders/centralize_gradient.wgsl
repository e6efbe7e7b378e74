// g[r, :] -= mean(g[r, :]) for each row r: an entry of the first axis of a parameter of rank above 1
// Gradient centralisation (Yong et al. 2020, equation 1) on one flat chunk of gradients.
//
// 0: rows  [count]  (first element and length of each row)     1: g  [size]
// A workgroup centralises one row; its partial sums are added as a fixed tree. ELEMENT is vec4f for rows whose length
// four divides, and their firsts and lengths are in vectors; else it is f32.

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> gradient: array<ELEMENT>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

var<workgroup> partial: array<f32, WORKGROUP>;

fn collect(v: ELEMENT) -> f32 {
  return COLLECT;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let r = workgroup.y * groups.x + workgroup.x;
  if (r >= params.count) {
    return;
  }
  let start = rows[r].x;
  let length = rows[r].y;
  var total = ELEMENT(0.0);
  for (var i = local; i < length; i += WORKGROUP) {
    total += gradient[start + i];
  }
  partial[local] = collect(total);
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (local < half) {
      partial[local] += partial[local + half];
    }
  }
  workgroupBarrier();
  let mean = partial[0] / (f32(length) * LANE_COUNT);
  for (var i = local; i < length; i += WORKGROUP) {
    gradient[start + i] -= mean;
  }
}
