import { defer } from '../../autograd/effects.ts';
import * as ops from '../../autograd/index.ts';
import { updateRunningAverage } from '../../runtime/kernels/runningAverage.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { constant } from '../layers.ts';
import { Module, type Parameter, zeros } from '../module.ts';

/** w [B, D] as the W+ tensor [B, n, D] whose rows are all w. */
export function repeatLatent(w: Tensor, n: number): Tensor {
  const [batch, d] = w.shape;
  return ops.expand(ops.reshape(w, [batch, 1, d]), [batch, n, d]);
}

/** The column [n, 1] for mixStyles: 0 for rows before the crossover, 1 from it on. */
export function crossoverMask(n: number, crossover: number): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => (i < crossover ? 0 : 1));
}

/**
 * Style mixing (Karras et al. 2019, section 3.1): the W+ tensor [B, n, D] whose rows are those of `first` [B, D] where
 * `mask` [n, 1] is 0, and those of `second` where it is 1. The mask is a tensor so that the crossover can change from
 * step to step.
 */
export function mixStyles(first: Tensor, second: Tensor, mask: Tensor): Tensor {
  const row = (w: Tensor) => ops.reshape(w, [w.shape[0], 1, w.shape[1]]);
  return ops.multiplyAdd(row(second), mask, ops.mul(row(first), ops.affine(mask, -1, 1)));
}

export interface Truncation {
  /** ψ: 1 keeps w, 0 gives the average. */
  readonly psi: number;
  /** Rows of a W+ tensor that are truncated, from the first on; 0 truncates none. Default all. */
  readonly cutoff?: number;
}

/** Truncation w̄ + ψ (w - w̄) of w [B, D] or [B, n, D] towards an average [D] (Karras et al. 2019, appendix B). */
export function truncate(w: Tensor, average: Tensor, { psi, cutoff }: Truncation): Tensor {
  if (cutoff !== undefined) {
    if (w.rank !== 3) throw new Error(`truncate: a cutoff is for W+ latents [B, n, D], not ${w}`);
    const n = w.shape[1];
    if (cutoff === 0) return w;
    if (cutoff < n) {
      const head = truncate(ops.narrow(w, 1, 0, cutoff), average, { psi });
      return ops.concat([head, ops.narrow(w, 1, cutoff, n)], 1);
    }
  }
  const centre = ops.reshape(average, [average.size]);
  return ops.multiplyAdd(w, constant(w.device, psi), ops.mul(centre, 1 - psi));
}

/** The running average of w, which official files keep beside the generator's state dict under this key. */
export class LatentAverage extends Module {
  readonly value: Parameter;

  constructor(wDim: number) {
    super();
    this.value = this.buffer('latent_avg', [wDim], zeros);
  }

  /** Moves the average towards the batch's mean w [B, D] by 0.005, once the step is known to be finite. */
  track(w: Tensor): void {
    const batch = ops.mean(ops.stopGradient(w), { axes: [0] });
    defer([batch], gate => updateRunningAverage(this.value.value, batch, constant(w.device, 0.005), gate));
  }
}
