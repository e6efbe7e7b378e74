import * as ops from '../../autograd/index.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { Module } from '../module.ts';
import { EqualLinear } from './layers.ts';

const LEARNING_RATE_MULTIPLIER = 0.01;

/** z / √(mean z² + 10⁻⁸), the mean over the components of each row. */
function pixelNorm(z: Tensor): Tensor {
  return ops.mul(z, ops.rsqrt(ops.add(ops.mean(ops.square(z), { axes: [1], keepDims: true }), 1e-8)));
}

/** The mapping network: z [B, D] → w [B, D], pixel norm (key 0, without parameters) and then dense layers. */
export class Mapping extends Module {
  private readonly layers: readonly EqualLinear[];

  constructor(wDim: number, layers: number) {
    super();
    const options = { lrMul: LEARNING_RATE_MULTIPLIER, activate: true };
    this.layers = Array.from({ length: layers }, (_, i) =>
      this.child(`${i + 1}`, new EqualLinear(wDim, wDim, options)),
    );
  }

  forward(z: Tensor): Tensor {
    return this.layers.reduce((w, layer) => layer.forward(w), pixelNorm(z));
  }
}
