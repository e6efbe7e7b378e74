import { withoutEffects } from '../../autograd/effects.ts';
import { noGrad } from '../../autograd/index.ts';
import type { Device } from '../../runtime/device.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import type { Compute } from '../training.ts';
import type { Features } from './frechet.ts';
import { type FeatureNetwork, quantized } from './networks.ts';

/** Gathers the features of images, a batch at a time, by programs of `compute`. */
export class FeatureCollector {
  private readonly parts: Float32Array[] = [];
  private rows = 0;

  constructor(
    private readonly device: Device,
    private readonly network: FeatureNetwork,
    private readonly compute: Compute,
  ) {}

  /** Adds the first `images` of the batch that `make` makes in the program of this name, as they are when saved. */
  async add(name: string, make: () => Tensor, images: number): Promise<void> {
    const { device, network, compute } = this;
    const forward = () =>
      device.scope(name, () => noGrad(() => withoutEffects(() => network.forward(quantized(make())))));
    const values = await (await compute(name, forward)).read();
    this.parts.push(values.subarray(0, images * network.length));
    this.rows += images;
  }

  get features(): Features {
    const values = new Float32Array(this.rows * this.network.length);
    let at = 0;
    for (const part of this.parts) {
      values.set(part, at);
      at += part.length;
    }
    return { rows: this.rows, values };
  }
}
