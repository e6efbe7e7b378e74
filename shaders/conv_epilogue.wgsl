// y = gain * lrelu(sum * scale[n, o] + noise_strength * noise[n, pixel] + bias[o])
// What follows a convolution's sums before they are stored: bias and activation, lrelu(v) = v where v > 0 and else
// slope * v, and of a styled layer demodulation and noise (Karras et al. 2020, section 2.2). Put behind the file of a
// convolution, whose params it reads and which says EPILOGUE, SCALED and NOISY; there a lane calls it for four
// neighbouring pixels of an output channel, or for one. Without EPILOGUE it changes nothing; a workgroup is that of the
// file before.
//
// 3: bias  [O]     then, if SCALED, scale  [N, O], and, if NOISY, noise  [1 or N, OH, OW] and noise_strength  [1]
//
//: if EPILOGUE
@group(0) @binding(3) var<storage, read> bias: array<f32>;
//: if SCALED
@group(0) @binding(4) var<storage, read> scale: array<f32>;
//: end
//: if NOISY
@group(0) @binding($(4 + SCALED)) var<storage, read> noise: array<f32>;
@group(0) @binding($(5 + SCALED)) var<storage, read> noise_strength: array<f32>;
//: end

fn epilogue(sum: vec4f, sample: u32, channel: u32, pixel: u32) -> vec4f {
  var v = sum;
//: if SCALED
  v *= scale[sample * params.out_channels + channel];
//: end
  v += bias[channel];
//: if NOISY
  let at = sample * params.noise_stride + pixel;
  v += noise_strength[0] * vec4f(noise[at], noise[at + 1], noise[at + 2], noise[at + 3]);
//: end
  return params.gain * select(params.slope * v, v, v > vec4f(0));
}
//: else
fn epilogue(sum: vec4f, sample: u32, channel: u32, pixel: u32) -> vec4f {
  return sum;
}
//: end
