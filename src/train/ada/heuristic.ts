import source from '../../../shaders/ada_heuristic.wgsl';
import { defer } from '../../autograd/effects.ts';
import { stopGradient } from '../../autograd/index.ts';
import { Module, type Parameter, zeros } from '../../models/module.ts';
import { floatBits } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { AugmentPipe } from './augment.ts';

const HEURISTIC = { name: 'ada_heuristic', source };
/** Steps between two changes of p. */
const INTERVAL = 4;

export interface AdaOptions {
  /** What r is to be: p rises above it and falls below. 0.6 in the paper. */
  readonly target: number;
  /** Thousands of images within which p can go from 0 to 1: 500 in the paper. Infinity leaves p where it is. */
  readonly kimg: number;
  /** Real images of a step. */
  readonly batch: number;
}

/**
 * Adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676): augmentation with a probability p that
 * follows how far the discriminator overfits, r = mean sign(D(real)) (section 3.1). Everything stays on the device.
 * Checkpoints from before there was any go on with p = 0.
 */
export class AdaptiveAugmentation extends Module {
  readonly pipe: AugmentPipe = this.child('augment_pipe', new AugmentPipe());
  /** r [1] of the last full window, for the log. */
  readonly r: Parameter = this.buffer('r', [1], zeros, { optional: true });
  /** The sum of signs and the number of images since p changed. */
  private readonly window: Parameter = this.buffer('window', [2], zeros, { optional: true });

  constructor(private readonly options: AdaOptions) {
    super();
  }

  /** Notes the logits of real images; p changes every fourth step, once the step is known to be finite. */
  observe(logits: Tensor): void {
    const values = stopGradient(logits);
    defer([values], gate => this.update(values, gate));
  }

  private update(logits: Tensor, gate: Tensor): void {
    const { target, kimg, batch } = this.options;
    const { device } = logits;
    const words = [logits.size, ...[INTERVAL * batch, target, 1 / (1000 * kimg)].map(floatBits)];
    const state = [this.pipe.p, this.r, this.window].map(({ value }) => value);
    device.dispatch(device.kernel(HEURISTIC), [gate, logits, ...state], words, [1]);
  }
}
