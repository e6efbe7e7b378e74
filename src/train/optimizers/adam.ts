import source from '../../../shaders/adam.wgsl';
import type { Module } from '../../models/module.ts';
import { floatBits } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type Chunk, Optimizer } from './optimizer.ts';

const ADAM = { name: 'adam', source };

export interface AdamOptions {
  /** Rates of the two averages. Default [0.9, 0.999]; StyleGAN2 uses [0, 0.99]. */
  readonly betas?: readonly [number, number];
  readonly epsilon?: number;
  /**
   * Where a regulariser is only evaluated every `interval` steps in a step of its own (StyleGAN2's lazy regularisation,
   * Karras et al. 2020, appendix B): with c = interval / (interval + 1), the learning rate becomes c · rate and each β
   * becomes βᶜ.
   */
  readonly lazyInterval?: number;
}

/** Adam (Kingma and Ba 2015). */
export class Adam extends Optimizer {
  private readonly words: readonly number[];

  constructor(module: Module, { betas = [0.9, 0.999], epsilon = 1e-8, lazyInterval }: AdamOptions = {}) {
    const share = lazyInterval === undefined ? 1 : lazyInterval / (lazyInterval + 1);
    const [beta1, beta2] = betas.map(beta => beta ** share);
    super(module, ['m', 'v'], { beta1, beta2 });
    this.words = [share, beta1, beta2, 1 - beta1, 1 - beta2, epsilon].map(floatBits);
  }

  protected update(chunk: Chunk, rate: Tensor): void {
    const { parameters, gradient, state, owners } = chunk;
    const { quads, groups } = this.quads(chunk);
    const bindings = [this.progress, owners, rate, gradient, state.get('m')!, state.get('v')!, parameters];
    this.device.dispatch(this.device.kernel(ADAM), bindings, [quads, ...this.words], groups, 13 * parameters.size);
  }
}
