// y[n, c, r, k] = sum over i, j of h(u_y - 2 i) h(u_x - 2 j) x~[n, c, i, j]     (u_x, u_y) = 2 A_n a(k, r) + (W, H) - 1
// Affine resampling at twice the resolution (Karras et al. 2020, arXiv 2006.06676, appendix B): x is continued by
// reflection (x~) as far as the margins say, doubled by a filter f of 12 taps with sum 1, and sampled bilinearly. The
// doubling and the sampling are one: h(z) is twice the linear interpolation of f at z + 5. A_n takes a pixel of the
// output, a = ((k - W - 5) / 2, (r - H - 5) / 2), to one of the input, both from the image's centre. Beyond the
// margins, and beyond the doubled image with its margins, all is 0. ADJOINT = 1: the transposed map, for gradients.
//
// 0: x [N, 3, H, W], or y if ADJOINT     1: A [N, 2, 3]     2: margins [4]  (u32: left, top, right, bottom)
// 3: f [12]     4: y [N, 3, 2 (H + 6), 2 (W + 6)], or x if ADJOINT
// An invocation computes the three channels of one pixel. As the adjoint, it gathers over the parallelogram of y's
// pixels that read this one, and over its up to 3 x 3 reflections.

//: let ADJOINT = 0

struct Params {
  /// Images times pixels of what is written.
  size: u32,
  height: i32,
  width: i32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> maps: array<f32>;
@group(0) @binding(2) var<storage, read> margins: array<u32>;
@group(0) @binding(3) var<storage, read> taps: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

override WORKGROUP: u32 = 64;

/// A position between two neighbours `at` and `at + 1` of a doubled axis: their weights, 0 for one that is outside.
struct Between {
  at: i32,
  weights: vec2f,
}

fn between(u: f32, length: i32, before: i32, behind: i32) -> Between {
  let at = i32(floor(u));
  let t = u - floor(u);
  let first = -2 * before;
  let last = 2 * (length + behind) - 1;
  let near = select(0.0, 2 * (1 - t), at >= first && at <= last);
  let far = select(0.0, 2 * t, at + 1 >= first && at + 1 <= last);
  return Between(at, vec2f(near, far));
}

fn tap(k: i32) -> f32 {
  return select(0.0, taps[clamp(k, 0, 11)], k >= 0 && k < 12);
}

/// h(u - 2 i), or 0 where i is beyond the margins.
fn weight(u: Between, i: i32, length: i32, before: i32, behind: i32) -> f32 {
  let k = u.at - 2 * i + 5;
  let h = u.weights.x * tap(k) + u.weights.y * tap(k + 1);
  return select(0.0, h, i >= -before && i < length + behind);
}

/// The index that i stands for; indices beyond the margins, whose weight is 0, stand for any.
fn reflected(i: i32, length: i32) -> i32 {
  let j = abs(i);
  return clamp(select(j, 2 * (length - 1) - j, j >= length), 0, length - 1);
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
  let height = params.height;
  let width = params.width;
  let out_height = 2 * (height + 6);
  let out_width = 2 * (width + 6);
  let left = i32(margins[0]);
  let top = i32(margins[1]);
  let right = i32(margins[2]);
  let bottom = i32(margins[3]);
  //: if ADJOINT
  let columns = u32(width);
  let pixels = u32(height * width);
  //: else
  let columns = u32(out_width);
  let pixels = u32(out_height * out_width);
  //: end
  let n = index / pixels;
  let column = i32(index % columns);
  let row = i32(index % pixels / columns);
  let map_x = vec3f(maps[6 * n], maps[6 * n + 1], maps[6 * n + 2]);
  let map_y = vec3f(maps[6 * n + 3], maps[6 * n + 4], maps[6 * n + 5]);
  // u = map (2 a, 2) + size - 1, with 2 a = (k, r) - origin.
  let origin = vec2f(f32(width + 5), f32(height + 5));
  let offset = vec2f(f32(width - 1), f32(height - 1));
  var sum = vec3f(0);

  //: if ADJOINT
  let plane = out_height * out_width;
  let start = i32(n) * 3 * plane;
  // The inverse of the linear part takes the support of h, 6.5 pixels to each side, to a parallelogram within a box.
  let determinant = map_x.x * map_y.y - map_x.y * map_y.x;
  let inverse_x = vec2f(map_y.y, -map_x.y) / determinant;
  let inverse_y = vec2f(-map_y.x, map_x.x) / determinant;
  let reach = 6.51 * vec2f(abs(inverse_x.x) + abs(inverse_x.y), abs(inverse_y.x) + abs(inverse_y.y));
  for (var down = 0; down < 3; down++) {
    let i = select(select(2 * (height - 1) - row, -row, down == 1), row, down == 0);
    if (i < -top || i >= height + bottom || (down > 0 && i == row)) {
      continue;
    }
    for (var across = 0; across < 3; across++) {
      let j = select(select(2 * (width - 1) - column, -column, across == 1), column, across == 0);
      if (j < -left || j >= width + right || (across > 0 && j == column)) {
        continue;
      }
      let u = vec2f(f32(2 * j), f32(2 * i)) + 0.5 - offset - 2 * vec2f(map_x.z, map_y.z);
      let centre = vec2f(dot(inverse_x, u), dot(inverse_y, u)) + origin;
      let low = vec2i(clamp(ceil(centre - reach), vec2f(0), vec2f(f32(out_width), f32(out_height))));
      let high = vec2i(clamp(floor(centre + reach), vec2f(-1), vec2f(f32(out_width - 1), f32(out_height - 1))));
      for (var r = low.y; r <= high.y; r++) {
        for (var k = low.x; k <= high.x; k++) {
          let a = vec3f(vec2f(f32(k), f32(r)) - origin, 2);
          let at = vec2f(dot(map_x, a), dot(map_y, a)) + offset;
          let weight_y = weight(between(at.y, height, top, bottom), i, height, top, bottom);
          let weight_x = weight(between(at.x, width, left, right), j, width, left, right);
          if (weight_y * weight_x != 0) {
            let from_at = start + r * out_width + k;
            let value = vec3f(input[from_at], input[from_at + plane], input[from_at + 2 * plane]);
            sum += weight_y * weight_x * value;
          }
        }
      }
    }
  }
  //: else
  let plane = height * width;
  let start = i32(n) * 3 * plane;
  let a = vec3f(vec2f(f32(column), f32(row)) - origin, 2);
  let at = vec2f(dot(map_x, a), dot(map_y, a)) + offset;
  let y = between(at.y, height, top, bottom);
  let x = between(at.x, width, left, right);
  let first_i = (y.at >> 1) - 3;
  let first_j = (x.at >> 1) - 3;
  //: for b in 0..7
  let weight$b = weight(x, first_j + $b, width, left, right);
  let column$b = start + reflected(first_j + $b, width);
  //: end
  for (var i = first_i; i < first_i + 7; i++) {
    let weight_y = weight(y, i, height, top, bottom);
    let line = reflected(i, height) * width;
    var value = vec3f(0);
    //: for b in 0..7
    let from$b = line + column$b;
    value += weight$b * vec3f(input[from$b], input[from$b + plane], input[from$b + 2 * plane]);
    //: end
    sum += weight_y * value;
  }
  //: end

  let to = i32(n * 3 * pixels + index % pixels);
  output[to] = sum.x;
  output[to + i32(pixels)] = sum.y;
  output[to + 2 * i32(pixels)] = sum.z;
}
