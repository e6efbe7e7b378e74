/** Convolutions and matrix products, which have variants. */
import { CONV2D } from '../../runtime/kernels/convForward.ts';
import type { ConvSizes } from '../../runtime/kernels/convSizes.ts';
import { CONV_TRANSPOSE2D } from '../../runtime/kernels/convTransposed.ts';
import { WEIGHT_GRADIENT } from '../../runtime/kernels/convWeightGradient.ts';
import { MATMUL } from '../../runtime/kernels/matmul.ts';
import { type Entry, familyEntry } from './entry.ts';
import { demand, pairOf, type Spec } from './spec.ts';

const gemm = ['gemm', 'gemm_subgroup_matrix'];
const convLetters = { s: 'stride, s2 or s2x1', p: 'padding', g: 'groups', half: 'f16 operands' };

function matrices(spec: Spec) {
  const [a, b] = spec.shapes.map(shape => (shape.length === 2 ? [1, ...shape] : shape));
  demand(a.length === 3 && b.length === 3, 'matrices have two sizes, or three with a batch');
  const [transposeA, transposeB] = ['ta', 'tb'].map(letter => letter in spec.numbers);
  const [m, k] = transposeA ? [a[2], a[1]] : [a[1], a[2]];
  const [inner, n] = transposeB ? [b[2], b[1]] : [b[1], b[2]];
  demand(k === inner, `the inner sizes ${k} and ${inner} differ`);
  const batch = Math.max(a[0], b[0]);
  demand([1, batch].includes(a[0]) && [1, batch].includes(b[0]), `the batches ${a[0]} and ${b[0]} differ`);
  const half = 'half' in spec.numbers;
  return { batch, batchA: a[0], batchB: b[0], m, n, k, transposeA, transposeB, half };
}

/** Of shapes x [N, C, H, W] and w [O, C / groups, KH, KW]. */
function convolution(spec: Spec): ConvSizes {
  const [x, w] = spec.shapes;
  demand(x.length === 4 && w.length === 4, 'images and weights have four sizes');
  const [[n, c, height, width], [o, inputs, kh, kw]] = [x, w];
  const [stride, padding, [groups]] = [pairOf(spec, 's', 1), pairOf(spec, 'p', 0), pairOf(spec, 'g', 1)];
  demand(Math.min(...stride, groups) > 0, 'strides and groups are over 0');
  demand(
    inputs * groups === c && o % groups === 0,
    `${c} channels and weights [${w}] do not fit with ${groups} groups`,
  );
  const [outHeight, outWidth] = [height, width].map((size, i) =>
    Math.floor((size + 2 * padding[i] - w[2 + i]) / stride[i] + 1),
  );
  demand(outHeight > 0 && outWidth > 0, 'the kernel is larger than the image');
  const half = 'half' in spec.numbers;
  return { n, c, height, width, o, outHeight, outWidth, kh, kw, stride, padding, groups, half };
}

/** The adjoint of a convolution: of shapes x [N, C, H, W] and w [C, O / groups, KH, KW]. */
function transposed(spec: Spec): ConvSizes {
  const [x, w] = spec.shapes;
  demand(x.length === 4 && w.length === 4, 'images and weights have four sizes');
  const [[n, c, height, width], [inputs, outputs, kh, kw]] = [x, w];
  const [stride, padding, [groups]] = [pairOf(spec, 's', 2), pairOf(spec, 'p', 0), pairOf(spec, 'g', 1)];
  demand(Math.min(...stride, groups) > 0, 'strides and groups are over 0');
  demand(inputs === c && c % groups === 0, `${c} channels and weights [${w}] do not fit with ${groups} groups`);
  const [outHeight, outWidth] = [height, width].map((size, i) => (size - 1) * stride[i] - 2 * padding[i] + w[2 + i]);
  demand(outHeight > 0 && outWidth > 0, 'the padding leaves nothing');
  const half = 'half' in spec.numbers;
  return { n, c, height, width, o: outputs * groups, outHeight, outWidth, kh, kw, stride, padding, groups, half };
}

export const familyEntries: readonly Entry[] = [
  familyEntry(CONV2D, {
    about: 'y [N, O, OH, OW] of x [N, C, H, W] and w [O, C / groups, KH, KW]; its input gradient at stride 1',
    shaders: [
      ...['conv2d', 'conv2d_subgroup', 'conv_store', 'conv2d_small_maps', 'conv_epilogue'],
      ...['gemm_conv2d', 'gemm_conv_input', ...gemm],
    ],
    shape: '4x64x64x64,64x64x3x3,p1',
    letters: { ...convLetters, fused: 'bias and activation behind it' },
    problem: spec => ({ ...convolution(spec), ...('fused' in spec.numbers ? { fused: true } : {}) }),
  }),
  familyEntry(CONV_TRANSPOSE2D, {
    about: 'y [N, O, OH, OW] of x [N, C, H, W] and w [C, O / groups, KH, KW]: the adjoint of conv2d in its input',
    shaders: ['conv_transpose2d', 'conv_transpose2d_subgroup', 'conv_store'],
    shape: '8x64x32x32,64x32x3x3,s2',
    letters: convLetters,
    problem: transposed,
  }),
  familyEntry(WEIGHT_GRADIENT, {
    about: 'u [O, C / groups, KH, KW], the gradient of conv2d in w, whose shapes x and w are given',
    shaders: [
      ...['conv2d_weight_gradient', 'conv2d_weight_gradient_taps'],
      ...['gemm_conv2d_weight_gradient', 'gemm_conv_input', ...gemm],
    ],
    shape: '4x64x64x64,64x64x3x3,p1',
    letters: convLetters,
    problem: convolution,
  }),
  familyEntry(MATMUL, {
    about: 'C [Z, M, N] of A [Z, M, K] and B [Z, K, N]',
    shaders: ['matmul', 'gemm_matmul', ...gemm],
    shape: '512x512,512x512',
    letters: { ta: 'A is given as [K, M]', tb: 'B is given as [N, K]', half: 'f16 operands' },
    problem: matrices,
  }),
];
