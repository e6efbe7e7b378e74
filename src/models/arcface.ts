import { defer } from '../autograd/effects.ts';
import * as ops from '../autograd/index.ts';
import { oneHot } from '../runtime/kernels/oneHot.ts';
import { updateRunningAverage } from '../runtime/kernels/runningAverage.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { Body, type BodyOptions, CHANNELS, inputLayer } from './irse.ts';
import { Activation, BatchNorm, constant, Linear, Sequential } from './layers.ts';
import { Module, type Parameter, zeros } from './module.ts';

export interface RecognitionOptions extends Omit<BodyOptions, 'stem'> {
  /** Height and width of the face crop. Default 112. */
  readonly inputSize?: number;
  /** Length of the embedding. Default 512. */
  readonly embedding?: number;
  /** A learned weight and bias after the last normalisation. Default true. */
  readonly affine?: boolean;
}

/**
 * The recognition network of ArcFace (Deng et al. 2019): an IR or IR-SE trunk and BN → flatten → dense → BN. The
 * published one drops features before the dense layer while it is trained; that place, 1, is empty here.
 */
export class RecognitionNetwork extends Module {
  /** Height and width of its input. */
  readonly inputSize: number;
  private readonly inputLayer: Sequential;
  private readonly outputLayer: Sequential;
  private readonly body: Body;

  constructor(options: RecognitionOptions = {}) {
    super();
    const { channels = CHANNELS, inputSize = 112, embedding = 512, affine } = options;
    this.inputSize = inputSize;
    const last = channels[channels.length - 1];
    const size = Math.ceil(inputSize / 2 ** channels.length);
    this.inputLayer = this.child('input_layer', inputLayer(3, channels[0]));
    this.outputLayer = this.child(
      'output_layer',
      new Sequential({
        0: new BatchNorm(last),
        2: new Activation(flatten),
        3: new Linear(last * size * size, embedding),
        4: new BatchNorm(embedding, { affine }),
      }),
    );
    this.body = this.child('body', new Body(options));
  }

  /** Embeddings of unit length, [B, embedding], of faces x [B, 3, inputSize, inputSize] in [-1, 1]. */
  forward(x: Tensor): Tensor {
    return ops.l2Normalize(this.features(x)[4], 1);
  }

  /**
   * The five features of the multi-layer identity loss, [B, …] each: the map after every stage, flattened, and the
   * embedding before its normalisation.
   */
  features(x: Tensor): Tensor[] {
    const maps = this.body.forward(this.inputLayer.forward(x));
    return [...maps.map(flatten), this.outputLayer.forward(maps[maps.length - 1])];
  }
}

function flatten(x: Tensor): Tensor {
  return ops.reshape(x, [x.shape[0], -1]);
}

export interface MarginOptions {
  /** s, the length to which embeddings are scaled. Default 64. */
  readonly scale?: number;
  /** m, the angle in radians that is added to the target's. Default 0.5. */
  readonly margin?: number;
}

/** The target class's cosine after the margin, and that of cos(θ + m) alone, both [B, 1]. */
function addMargin(target: Tensor, margin: number, easyMargin = false): { margined: Tensor; phi: Tensor } {
  // sin θ; the bound keeps its derivative finite where θ = 0.
  const sine = ops.sqrt(ops.clamp(ops.affine(ops.square(target), -1, 1), { min: 1e-12 }));
  const phi = ops.sub(ops.mul(target, Math.cos(margin)), ops.mul(sine, Math.sin(margin)));
  // Beyond θ + m = π the cosine would rise again: there, a straight line goes on falling.
  const fallback = easyMargin ? target : ops.sub(target, margin * Math.sin(Math.PI - margin));
  const inside = ops.greater(target, easyMargin ? 0 : Math.cos(Math.PI - margin));
  return { margined: choose(inside, phi, fallback), phi };
}

/** a where the mask is 1, b where it is 0. */
function choose(mask: Tensor, a: Tensor, b: Tensor): Tensor {
  return ops.add(ops.mul(mask, a), ops.mul(ops.affine(mask, -1, 1), b));
}

/**
 * ArcFace's logits (Deng et al. 2019, eq. 3) of cosines [B, C] and labels u32 [B]: s cos(θ + m) for the target class,
 * s cos θ for the others. `easyMargin` leaves targets beyond 90° as they are.
 */
export function arcFaceLogits(
  cosines: Tensor,
  labels: Tensor,
  { scale = 64, margin = 0.5, easyMargin = false }: MarginOptions & { readonly easyMargin?: boolean } = {},
): Tensor {
  const { own, target } = targets(cosines, labels);
  return ops.mul(choose(own, addMargin(target, margin, easyMargin).margined, cosines), scale);
}

/**
 * CurricularFace's logits (Huang et al. 2020) of cosines [B, C] and labels u32 [B]: the target as in ArcFace; a
 * negative that is nearer than cos(θ + m) is hard and is weighted by t + cos θ, where t [1] is the running mean of the
 * targets' cosines.
 */
export function curricularFaceLogits(
  cosines: Tensor,
  labels: Tensor,
  t: Tensor,
  { scale = 64, margin = 0.5 }: MarginOptions = {},
): Tensor {
  const { own, target } = targets(cosines, labels);
  const { margined, phi } = addMargin(target, margin);
  const hard = ops.greater(cosines, phi);
  const negatives = choose(hard, ops.mul(cosines, ops.add(cosines, t)), cosines);
  return ops.mul(choose(own, margined, negatives), scale);
}

/** Which entry of each row is the label's, as indicators [B, C], and its cosine [B, 1]. */
function targets(cosines: Tensor, labels: Tensor): { own: Tensor; target: Tensor } {
  const own = oneHot(labels, cosines.shape);
  return { own, target: ops.sum(ops.mul(cosines, own), { axes: [1], keepDims: true }) };
}

/** A classifier on the sphere: one learned direction a class, compared with the embedding by their cosine. */
abstract class MarginHead extends Module {
  private readonly kernel: Parameter;
  readonly scale: number;
  /** May be raised from 0 in the first epochs, in a few steps. */
  margin: number;

  constructor(embedding: number, classes: number, { scale = 64, margin = 0.5 }: MarginOptions = {}) {
    super();
    this.kernel = this.parameter('kernel', [embedding, classes], { normal: 0.01 });
    this.scale = scale;
    this.margin = margin;
  }

  /** The cosines [B, C] between embeddings [B, E] and the classes. */
  cosines(embeddings: Tensor): Tensor {
    const products = ops.matmul(ops.l2Normalize(embeddings, 1), ops.l2Normalize(this.kernel.value, 0));
    return ops.clamp(products, { min: -1, max: 1 });
  }

  abstract logits(cosines: Tensor, labels: Tensor): Tensor;

  /** The mean cross-entropy of embeddings [B, E] (of any length) with labels u32 [B]. */
  loss(embeddings: Tensor, labels: Tensor): Tensor {
    return ops.crossEntropy(this.logits(this.cosines(embeddings), labels), labels);
  }
}

/** The additive angular margin of ArcFace (Deng et al. 2019). */
export class ArcFaceHead extends MarginHead {
  logits(cosines: Tensor, labels: Tensor): Tensor {
    return arcFaceLogits(cosines, labels, this);
  }
}

/** The adaptive curriculum of CurricularFace (Huang et al. 2020): hard negatives weigh more as training goes on. */
export class CurricularFaceHead extends MarginHead {
  private readonly t = this.buffer('t', [1], zeros);

  logits(cosines: Tensor, labels: Tensor): Tensor {
    return curricularFaceLogits(cosines, labels, this.training ? this.advance(cosines, labels) : this.t.value, this);
  }

  /** t moved by this batch's targets, before its use: t ← 0.99 t + 0.01 mean(cos θ). */
  private advance(cosines: Tensor, labels: Tensor): Tensor {
    const mean = ops.reshape(ops.stopGradient(ops.mean(targets(cosines, labels).target)), [1]);
    defer([mean], gate => updateRunningAverage(this.t.value, mean, constant(mean.device, 0.01), gate));
    return ops.add(ops.mul(this.t.value, 0.99), ops.mul(mean, 0.01));
  }
}
