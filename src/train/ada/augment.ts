import { add, affineSample, matmul, reshape, upfirdn2d } from '../../autograd/index.ts';
import { Module, type Parameter, zeros } from '../../models/module.ts';
import type { RandomSource } from '../../runtime/kernels/random.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { drawTransforms, makeTransforms, type Transforms } from './pipeline.ts';

/** The low-pass filter of the wavelet 'sym6' (Daubechies 1992), an orthogonal one, here with sum 1. */
const SYM6 = [
  0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
  0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
  0.0017677118642428036, -0.007800708325034148,
].map(tap => tap / Math.SQRT2);

/**
 * Random augmentation of whatever the discriminator sees, with probability p each (Karras et al. 2020, arXiv
 * 2006.06676): what it does not see unchanged it cannot learn by heart, and as long as p is below 0.8 or so, none of it
 * leaks into the generator's images. Differentiable in the images to every order.
 */
export class AugmentPipe extends Module {
  /** The probability [1] of each transform. */
  readonly p: Parameter = this.buffer('p', [1], zeros, { optional: true });
  private filter: Tensor | undefined;

  /** Images [N, 3, H, W] with transforms of their own, drawn from the streams that begin with this name. */
  forward(images: Tensor, source: RandomSource): Tensor {
    const [batch, , height, width] = images.shape;
    const p = this.p.value;
    return this.transform(images, makeTransforms(drawTransforms(batch, p, source), p, [height, width]));
  }

  /** The images, each with its transforms: first the geometry at twice the resolution, then the colours. */
  transform(images: Tensor, { maps, margins, colours, offsets }: Transforms): Tensor {
    const { device } = images;
    this.filter ??= device.keep(device.tensor(SYM6, [12], 'f32', 'sym6'));
    const { filter } = this;
    const sampled = affineSample(images, { maps, margins, filter });
    // Half the resolution again, one axis at a time, without the pixels around the image.
    const rows = upfirdn2d(sampled, reshape(filter, [12, 1]), { down: [2, 1], pad: [-1, -1, 0, 0], flip: true });
    const moved = upfirdn2d(rows, reshape(filter, [1, 12]), { down: [1, 2], pad: [0, 0, -1, -1], flip: true });
    const [n, c, height, width] = images.shape;
    const coloured = add(matmul(colours, reshape(moved, [n, c, height * width])), offsets);
    return reshape(coloured, images.shape);
  }
}
