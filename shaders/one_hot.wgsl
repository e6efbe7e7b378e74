// y[n, c, i] = 1 if label[n, i] = c, else 0
//
// 0: label  [N, plane]  (u32)     1: y  [N, C, plane]
// A workgroup computes WORKGROUP consecutive elements. A part of a larger y starts at its element `start`.

struct Params {
  start: u32,
  size: u32,
  classes: u32,
  plane: u32,
}

@group(0) @binding(0) var<storage, read> label: array<u32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (workgroup.y * groups.x + workgroup.x) * WORKGROUP + local;
  if (at < params.size) {
    let index = params.start + at;
    let i = index % params.plane;
    let c = index / params.plane % params.classes;
    let n = index / (params.plane * params.classes);
    output[at] = select(0.0, 1.0, label[n * params.plane + i] == c);
  }
}
