import * as kernels from '../../runtime/kernels/affineSample.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, type Op } from '../graph.ts';

const sampleOp: Op<null> = {
  name: 'affineSample',
  forward: ([x, maps, margins, filter]) => kernels.affineSample(x, { maps, margins, filter }),
  vjp: (g, { inputs: [, ...map] }) => [apply(adjointOp, [g, ...map], null)],
};

const adjointOp: Op<null> = {
  name: 'affineSampleAdjoint',
  forward: ([g, maps, margins, filter]) => kernels.affineSampleAdjoint(g, { maps, margins, filter }),
  vjp: (v, { inputs: [, ...map] }) => [apply(sampleOp, [v, ...map], null)],
};

/**
 * The geometric step of adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676, appendix B) at twice
 * the resolution: images [N, 3, H, W] are continued by reflection, doubled by the filter and sampled bilinearly where
 * the affine map of each says, to [N, 3, 2 (H + 6), 2 (W + 6)]. Only the images have a gradient.
 */
export function affineSample(x: Tensor, { maps, margins, filter }: kernels.AffineMap): Tensor {
  return apply(sampleOp, [x, maps, margins, filter], null);
}
