// The heuristic of adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676, section 3.1), unless the
// step was found to be not finite. Over the window of images since the last change, with their logits as reals:
//   s += sum of sign(D(x));  n += batch;   as soon as n >= interval:
//   r = s / n;  p = max(0, p + rate n sign(r - goal));  s = n = 0
//
// 0: gate  [1]  (u32: 0 if the step is finite)     1: logits  [batch]     2: p  [1]     3: r  [1]
// 4: window  [2]: s, n
// One workgroup does all.

struct Params {
  batch: u32,
  interval: f32,
  goal: f32,
  /// How far p moves for an image; 0 leaves it where it is.
  rate: f32,
}

@group(0) @binding(0) var<storage, read> gate: array<u32>;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> probability: array<f32>;
@group(0) @binding(3) var<storage, read_write> mean_sign: array<f32>;
@group(0) @binding(4) var<storage, read_write> window: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

const WORKGROUP: u32 = 64;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  var sum = 0.0;
  for (var i = local; i < params.batch; i += WORKGROUP) {
    sum += sign(logits[i]);
  }
  sums[local] = sum;
  workgroupBarrier();
  if (local > 0 || gate[0] != 0) {
    return;
  }
  for (var i = 1u; i < WORKGROUP; i++) {
    sum += sums[i];
  }
  let signs = window[0] + sum;
  let count = window[1] + f32(params.batch);
  if (count < params.interval) {
    window[0] = signs;
    window[1] = count;
    return;
  }
  let r = signs / count;
  mean_sign[0] = r;
  probability[0] = max(0, probability[0] + params.rate * count * sign(r - params.goal));
  window[0] = 0;
  window[1] = 0;
}
