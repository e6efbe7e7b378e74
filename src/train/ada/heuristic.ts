import source from '../../../shaders/ada_heuristic.wgsl';
import { defer } from '../../autograd/effects.ts';
import { stopGradient } from '../../autograd/index.ts';
import { Module, type Parameter, zeros } from '../../models/module.ts';
import { floatBits } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';

const HEURISTIC = { name: 'ada_heuristic', source };
/** Steps between two changes of p. */
const INTERVAL = 4;

export interface AdaOptions {
  /** What r is to be: p rises above it and falls below. 0.6 in the paper. */
  readonly goal: number;
  /** Thousands of images within which p can go from 0 to 1. 500 in the paper. */
  readonly kimg: number;
  /** Real images of a step. */
  readonly batch: number;
}

/**
 * The heuristic that chooses p (Karras et al. 2020, arXiv 2006.06676, section 3.1): r = mean sign(D(real)) says how far
 * the discriminator overfits, 1 for entirely. Everything stays on the device.
 */
export class AdaHeuristic extends Module {
  /** r [1] of the last full window, for the log. */
  readonly r: Parameter = this.buffer('r', [1], zeros);
  /** The sum of signs and the number of images since p changed. */
  private readonly window: Parameter = this.buffer('window', [2], zeros);

  constructor(private readonly options: AdaOptions) {
    super();
  }

  /** Notes the logits of real images; p [1] changes every fourth step, once the step is known to be finite. */
  observe(logits: Tensor, p: Tensor): void {
    const values = stopGradient(logits);
    defer([values], gate => this.update(values, p, gate));
  }

  private update(logits: Tensor, p: Tensor, gate: Tensor): void {
    const { goal, kimg, batch } = this.options;
    const { device } = logits;
    const words = [logits.size, ...[INTERVAL * batch, goal, 1000 * kimg].map(floatBits)];
    device.dispatch(device.kernel(HEURISTIC), [gate, logits, p, this.r.value, this.window.value], words, [1]);
  }
}
