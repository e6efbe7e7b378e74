import * as ops from '../autograd/index.ts';
import type { PerceptualDistance } from '../models/lpips.ts';
import { Module } from '../models/module.ts';
import type { Tensor } from '../runtime/tensor.ts';

/** A loss [] and the terms that it is the sum of, [L]. */
export interface LayeredLoss {
  readonly loss: Tensor;
  readonly perLayer: Tensor;
}

/** A network whose layers' maps are compared: [N, …] each. */
export interface FeatureNetwork extends Module {
  features(images: Tensor): Tensor[];
}

/**
 * Σ over layers of the mean over samples of 1 - cos(a, b), the cosine over the whole flattened map (E2Style, Wei et al.
 * 2022). Two maps that are all zero have cosine 0.
 */
export function multiLayerCosine(targets: readonly Tensor[], outputs: readonly Tensor[]): LayeredLoss {
  const perLayer = ops.cosineDistance(outputs, targets);
  return { loss: ops.sum(perLayer), perLayer };
}

/** The mean over all elements of (output - target)²: L2 of images in [-1, 1]. */
export function l2(target: Tensor, output: Tensor): Tensor {
  return ops.meanSquaredError(output, ops.stopGradient(target));
}

/**
 * The mean over samples of ‖latent - average‖₂ over all rows [N, n, D], neither squared nor divided by n (pSp, eq. 3).
 * The average is [D] or [n, D]; its gradient is computed too where it is a variable.
 */
export function wNorm(latent: Tensor, average?: Tensor): Tensor {
  return ops.mean(ops.l2Norm(average ? ops.sub(latent, average) : latent, [1, 2]));
}

/**
 * A frozen network, in evaluation mode, that compares outputs with a target. The target's features are constants:
 * `target` computes them once, for any number of `compare`s. Gradients flow to the output only.
 */
abstract class FeatureLoss<Network extends Module> extends Module {
  protected readonly network: Network;

  constructor(network: Network) {
    super();
    this.network = this.child('network', network);
    this.freeze().eval();
  }

  /** The features of target images [N, 3, H, W] in [-1, 1]. */
  target(images: Tensor): Tensor[] {
    return ops.noGrad(() => this.features(images));
  }

  protected abstract features(images: Tensor): Tensor[];
}

/** LPIPS, or LPIPS-like(self), of outputs against a target. */
export class LpipsLoss extends FeatureLoss<PerceptualDistance> {
  protected features(images: Tensor): Tensor[] {
    return this.network.features(images);
  }

  /** The distance of each image [N], and their mean. */
  compare(target: readonly Tensor[], output: Tensor): { loss: Tensor; perImage: Tensor } {
    const perImage = this.network.distance(this.features(output), target);
    return { loss: ops.mean(perImage), perImage };
  }
}

/** The multi-layer face parsing loss (E2Style): five maps of the parsing network's encoder, of the whole image. */
export class ParsingLoss extends FeatureLoss<FeatureNetwork> {
  protected features(images: Tensor): Tensor[] {
    return this.network.features(images);
  }

  compare(target: readonly Tensor[], output: Tensor): LayeredLoss {
    return multiLayerCosine(target, this.features(output));
  }
}

/** A recognition network: the maps of its stages and, last, the embedding before its normalisation. */
export interface FaceNetwork extends FeatureNetwork {
  /** Height and width of its input. */
  readonly inputSize: number;
}

/**
 * The identity loss: the face is cropped and pooled to the recognition network's input, and the features are compared;
 * all five (E2Style), or the embedding alone (pSp).
 */
export class IdLoss extends FeatureLoss<FaceNetwork> {
  private readonly layers: 'all' | 'embedding';

  constructor(network: FaceNetwork, { layers = 'all' }: { layers?: 'all' | 'embedding' } = {}) {
    super(network);
    this.layers = layers;
  }

  protected features(images: Tensor): Tensor[] {
    const features = this.network.features(cropFace(images, this.network.inputSize));
    return this.layers === 'all' ? features : features.slice(-1);
  }

  compare(target: readonly Tensor[], output: Tensor): LayeredLoss {
    return multiLayerCosine(target, this.features(output));
  }
}

/** The part of an image of this size that holds the face: [top, bottom, left, right], the ends exclusive. */
export function faceWindow(size: number): [top: number, bottom: number, left: number, right: number] {
  // At 64 pixels the scaled window would be 47 × 47; 48 × 48 halves evenly.
  if (size === 64) return [8, 56, 8, 56];
  const at = (pixel: number) => Math.round((pixel * size) / 256);
  return [at(35), at(223), at(32), at(220)];
}

/** The face of images [N, 3, S, S], average-pooled to `inputSize` pixels. */
export function cropFace(images: Tensor, inputSize: number): Tensor {
  const [n, channels, size] = images.shape;
  const [top, bottom, left, right] = faceWindow(size);
  const face = ops.slice(images, { begin: [0, 0, top, left], end: [n, channels, bottom, right] });
  return ops.adaptiveAvgPool2d(face, [inputSize, inputSize]);
}
