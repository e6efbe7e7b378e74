import source from '../../../shaders/sgd.wgsl';
import type { Module, Parameter } from '../../models/module.ts';
import { floatBits } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type Chunk, Optimizer } from './optimizer.ts';

const SGD_KERNEL = { name: 'sgd', source };

export interface SgdOptions {
  /** Default 0. */
  readonly momentum?: number;
  /** Weight decay, added to the gradient. Default 0. */
  readonly weightDecay?: number;
  /**
   * Which parameters decay; by default those of rank above 1: no biases, no normalisation's and no PReLU's parameters.
   */
  readonly decays?: (key: string, parameter: Parameter) => boolean;
}

/** Stochastic gradient descent with momentum and weight decay, as in PyTorch. */
export class Sgd extends Optimizer {
  private readonly words: readonly number[];
  /** Of each parameter. */
  private readonly decay: Tensor;

  constructor(
    module: Module,
    { momentum = 0, weightDecay = 0, decays = (_, { shape }) => shape.length > 1 }: SgdOptions = {},
  ) {
    super(module, ['momentum'], { beta1: 0, beta2: 0 });
    this.words = [floatBits(momentum)];
    const decay = [...module.parameters()].map(([key, parameter]) => (decays(key, parameter) ? weightDecay : 0));
    this.decay = this.device.keep(this.device.tensor(decay, [decay.length], 'f32', 'weight decay'));
  }

  protected update(chunk: Chunk, rate: Tensor): void {
    const { parameters, gradient, state, owners } = chunk;
    const { quads, groups } = this.quads(chunk);
    const bindings = [this.progress, owners, rate, this.decay, gradient, state.get('momentum')!, parameters];
    this.device.dispatch(this.device.kernel(SGD_KERNEL), bindings, [quads, ...this.words], groups, 6 * parameters.size);
  }

  override release(): void {
    super.release();
    this.device.discard(this.decay);
  }
}
