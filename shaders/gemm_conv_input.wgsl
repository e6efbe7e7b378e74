// x[n, channel, i * STRIDE_Y + a - pad_y, j * STRIDE_X + b - pad_x] of four pixels (n, i, j) that follow one another
// What a convolution's output pixels read of its input at one tap, 0 in the padding. Put behind gemm_conv2d.wgsl or
// gemm_conv2d_weight_gradient.wgsl, whose input, params and numbers it uses; a workgroup is that of gemm.wgsl.

fn input_pixel(plane: i32, row: i32, column: i32) -> f32 {
  if (row < 0 || row >= params.height || column < 0 || column >= params.width) {
    return 0;
  }
  return f32(input[(plane + row) * params.width + column]);
}

/// The pixels first .. first + 3 of all samples' output maps, 0 from `end` on, which is over `first`.
fn input_pixels(first: u32, end: u32, channel: u32, tap: u32) -> vec4f {
  let area = params.out_height * params.out_width;
  let a = i32(tap / $KW) - params.pad_y;
  let b = i32(tap % $KW) - params.pad_x;
//: if VECTOR_OUTPUT
  let plane = i32(first / area * params.channels + channel) * params.height;
  let i = i32(first % area / params.out_width) * $STRIDE_Y + a;
  let j = i32(first % params.out_width) * $STRIDE_X + b;
  return vec4f(
    input_pixel(plane, i, j), input_pixel(plane, i, j + $STRIDE_X), input_pixel(plane, i, j + $(2 * STRIDE_X)),
    input_pixel(plane, i, j + $(3 * STRIDE_X)));
//: else
  let pixels = min(first + vec4u(0, 1, 2, 3), vec4u(end - 1));
  let plane = vec4i(pixels / area * params.channels + channel) * params.height;
  let i = vec4i(pixels % area / params.out_width) * $STRIDE_Y + a;
  let j = vec4i(pixels % params.out_width) * $STRIDE_X + b;
  let value = vec4f(
    input_pixel(plane.x, i.x, j.x), input_pixel(plane.y, i.y, j.y), input_pixel(plane.z, i.z, j.z),
    input_pixel(plane.w, i.w, j.w));
  return select(vec4f(0), value, vec4u(0, 1, 2, 3) < vec4u(end - first));
//: end
}
