// z[k, s] = scale * sum (or max) over r in split s of x[kept(k) + reduced(r)], or of its product with y there
//
// 0: x          1: y  (x again where there is no product)          2: z  [kept, splits]
// The axes of x are sorted into kept and reduced ones, each group collapsed to at most 3. A workgroup of LANES
// invocations along the reduction and WORKGROUP / LANES outputs: LANES is a power of two, 1 for short reductions with
// many outputs, at most WORKGROUP for long ones with few. The partial results are added as a fixed tree. `splits` cuts
// one long reduction over many workgroups; a second pass adds the parts. Where the last axis is reduced and four
// divides it, ELEMENT is vec4f and all counts and strides are of vectors; else it is f32. With HALF x or y are f16 in
// memory, STORED_X and STORED_Y then vec4h or f16; z is always f32.
//
// The size of a subgroup, whose invocations exchange their results without workgroup memory; 0 does without subgroups.
//: let SUBGROUP = 0
//: let HALF = 0
//: if SUBGROUP

enable subgroups;
//: end
//: if HALF
enable f16;
//: end

struct Params {
  kept: u32,
  reduced: u32,
  splits: u32,
  split_length: u32,
  scale: f32,
  kept_shape: vec4u,
  kept_stride: vec4u,
  reduced_shape: vec4u,
  reduced_stride: vec4u,
}

@group(0) @binding(0) var<storage, read> x_data: array<STORED_X>;
@group(0) @binding(1) var<storage, read> y_data: array<STORED_Y>;
@group(0) @binding(2) var<storage, read_write> z_data: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override WORKGROUP: u32 = 64;
override LANES: u32 = 1;
/// 1 where the group of axes is a single one, which spares the divisions.
override KEPT_RANK: u32 = 3;
override REDUCED_RANK: u32 = 3;

var<workgroup> partial: array<f32, WORKGROUP>;

fn offset(index: u32, rank: u32, shape: vec4u, stride: vec4u) -> u32 {
  if (rank == 1) {
    return index * stride.z;
  }
  let inner = index / shape.z;
  return (index % shape.z) * stride.z + (inner % shape.y) * stride.y + (inner / shape.y) * stride.x;
}

/// What is reduced, of the elements at the same place.
fn term(x: ELEMENT, y: ELEMENT) -> ELEMENT {
  return TERM;
}

fn combine(x: ELEMENT, y: ELEMENT) -> ELEMENT {
  return EXPRESSION;
}

fn combine_lanes(x: f32, y: f32) -> f32 {
  return EXPRESSION;
}

/// The components of a vector as one.
fn collect(v: ELEMENT) -> f32 {
  return COLLECT;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = local % LANES;
  let k = (workgroup.y * groups.x + workgroup.x) * (WORKGROUP / LANES) + local / LANES;
  let start = workgroup.z * params.split_length;
  let end = min(start + params.split_length, params.reduced);
  var all = ELEMENT(INITIAL);
  if (k < params.kept) {
    let base = offset(k, KEPT_RANK, params.kept_shape, params.kept_stride);
    for (var r = start + lane; r < end; r += LANES) {
      let at = base + offset(r, REDUCED_RANK, params.reduced_shape, params.reduced_stride);
      all = combine(all, term(ELEMENT(x_data[at]), ELEMENT(y_data[at])));
    }
  }
  var total = collect(all);
  // A tree: through workgroup memory down to pairs that lie in one subgroup, and then, if there are, through these.
  let outer = LANES / 2;
  let inner = $(SUBGROUP / 2)u;
  if (outer > inner) {
    partial[local] = total;
    for (var half = outer; half > inner; half /= 2) {
      workgroupBarrier();
      if (lane < half) {
        partial[local] = combine_lanes(partial[local], partial[local + half]);
      }
    }
    total = partial[local];
  }
//: if SUBGROUP
  for (var half = min(outer, inner); half > 0; half /= 2) {
    total = combine_lanes(total, subgroupShuffleXor(total, half));
  }
//: end
  if (lane == 0 && k < params.kept) {
    z_data[k * params.splits + workgroup.z] = params.scale * total;
  }
}
