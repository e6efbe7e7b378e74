import * as ops from '../autograd/index.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { type CheckpointingOptions, segment } from './checkpointing.ts';
import { Activation, BatchNorm, Conv2d, type Layer, PReLU, Sequential } from './layers.ts';
import { Module } from './module.ts';

/** Residual units with or without squeeze and excitation. */
export type UnitMode = 'ir' | 'ir_se';

/** Units of each stage (64, 128, 256 and 512 channels) at the published depths. */
export const UNITS: Readonly<Record<50 | 100 | 152, readonly number[]>> = {
  50: [3, 4, 14, 3],
  100: [3, 13, 30, 3],
  152: [3, 8, 36, 3],
};

/** Channels of the four stages as published. */
export const CHANNELS: readonly number[] = [64, 128, 256, 512];

/**
 * Scales each channel of x [B, C, H, W] by σ(W₂ relu(W₁ mean(x))),
 * with C / ratio hidden units (Hu et al. 2018, eq. 2-4).
 */
export class SqueezeExcite extends Module {
  private readonly fc1: Conv2d;
  private readonly fc2: Conv2d;

  constructor(channels: number, ratio = 16) {
    super();
    const hidden = Math.max(1, Math.floor(channels / ratio));
    this.fc1 = this.child('fc1', new Conv2d(channels, hidden, { kernel: 1, bias: false }));
    this.fc2 = this.child('fc2', new Conv2d(hidden, channels, { kernel: 1, bias: false }));
  }

  /** The scaled channels, plus the shortcut [B, C, H, W] where there is one. */
  forward(x: Tensor, shortcut?: Tensor): Tensor {
    const [w1, w2] = [this.fc1, this.fc2].map(({ weight }) => ops.reshape(weight.value, weight.shape.slice(0, 2)));
    return ops.channelGate(x, { w1, w2, shortcut });
  }
}

export interface UnitOptions {
  readonly stride: number;
  readonly mode?: UnitMode;
  /** Channels of the unit for each hidden one of its squeeze and excitation. Default 16. */
  readonly seRatio?: number;
}

/**
 * The improved residual unit of ArcFace (Deng et al. 2019): normalised at the entry, the stride in its second
 * convolution, nothing after the sum. Where the channels stay, the shortcut is x itself, subsampled.
 */
export class ResidualUnit extends Module {
  private readonly shortcut: Layer;
  private readonly residual: Sequential;
  private readonly excite: SqueezeExcite | undefined;

  constructor(inChannels: number, channels: number, { stride, mode = 'ir_se', seRatio }: UnitOptions) {
    super();
    this.shortcut =
      inChannels === channels
        ? new Activation(x => ops.subsample(x, stride))
        : this.child(
            'shortcut_layer',
            new Sequential([
              new Conv2d(inChannels, channels, { kernel: 1, stride, bias: false }),
              new BatchNorm(channels),
            ]),
          );
    this.residual = this.child(
      'res_layer',
      new Sequential([
        new BatchNorm(inChannels),
        new Conv2d(inChannels, channels, { kernel: 3, padding: 1, bias: false }),
        new PReLU(channels),
        new Conv2d(channels, channels, { kernel: 3, stride, padding: 1, bias: false }),
        new BatchNorm(channels),
      ]),
    );
    this.excite = mode === 'ir_se' ? new SqueezeExcite(channels, seRatio) : undefined;
    if (this.excite) this.child('res_layer.5', this.excite);
  }

  forward(x: Tensor): Tensor {
    const residual = this.residual.forward(x);
    const shortcut = this.shortcut.forward(x);
    return this.excite ? this.excite.forward(residual, shortcut) : ops.add(residual, shortcut);
  }
}

/** The stem of every network here: image [B, inChannels, H, W] → [B, channels, H, W]. */
export function inputLayer(inChannels: number, channels: number): Sequential {
  return new Sequential([
    new Conv2d(inChannels, channels, { kernel: 3, padding: 1, bias: false }),
    new BatchNorm(channels),
    new PReLU(channels),
  ]);
}

export interface BodyOptions extends CheckpointingOptions {
  /** Channels that come in from the stem. Default: those of the first stage. */
  readonly stem?: number;
  /** Channels of each stage. Default 64, 128, 256, 512. */
  readonly channels?: readonly number[];
  /** Units of each stage. Default those of depth 50. */
  readonly units?: readonly number[];
  readonly mode?: UnitMode;
  readonly seRatio?: number;
}

/** The residual units between stem and head, numbered through all stages; each stage's first halves the resolution. */
export class Body extends Module {
  private readonly stages: readonly (readonly ResidualUnit[])[];

  constructor(private readonly options: BodyOptions = {}) {
    super();
    const { channels = CHANNELS, units = UNITS[50], stem = channels[0], mode, seRatio } = options;
    if (units.length !== channels.length) {
      throw new Error(`${units.length} entries in units, but ${channels.length} in channels: both are one a stage`);
    }
    let index = 0;
    let inChannels = stem;
    this.stages = channels.map((outChannels, stage) =>
      Array.from({ length: units[stage] }, (_, unit) => {
        const made = new ResidualUnit(inChannels, outChannels, { stride: unit === 0 ? 2 : 1, mode, seRatio });
        inChannels = outChannels;
        return this.child(`${index++}`, made);
      }),
    );
  }

  /** The map after each of the first `stages` stages, all by default: the k-th of [B, stem, H, W] has ⌈H / 2ᵏ⌉ rows. */
  forward(x: Tensor, stages = this.stages.length): Tensor[] {
    let y = x;
    return this.stages.slice(0, stages).map(units => {
      for (const unit of units) y = segment(this.options, x => unit.forward(x), y);
      return y;
    });
  }

  /** The units of the stages from this index on. */
  unitsFrom(stage: number): readonly ResidualUnit[] {
    return this.stages.slice(stage).flat();
  }
}
