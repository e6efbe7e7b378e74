import * as ops from '../../autograd/index.ts';
import { RecognitionNetwork } from '../../models/arcface.ts';
import { E2StyleEncoder } from '../../models/e2style.ts';
import { Body, inputLayer, ResidualUnit, SqueezeExcite, UNITS, type UnitMode } from '../../models/irse.ts';
import { Module } from '../../models/module.ts';
import { GradualStyleBlock, GradualStyleEncoder, WEncoder, WPlusEncoder } from '../../models/psp.ts';
import type { Builder } from './modules.ts';

/** The fields of the cases' configs: those of the official classes, or those of the generalised encoder. */
interface Config {
  readonly inChannel: number;
  readonly depth: number;
  readonly stride: number;
  readonly reduction: number;
  readonly inC: number;
  readonly outC: number;
  readonly spatial: number;
  readonly headSpatial: readonly number[];
  readonly numLayers: keyof typeof UNITS;
  readonly mode: UnitMode;
  readonly inputNc: number;
  readonly inputSize: number;
  readonly baseWidth: number;
  readonly channels: number[];
  readonly units: number[];
  readonly split: [number, number, number];
  readonly poolSize: number;
  readonly styleDim: number;
  readonly nStyles: number;
  readonly coarseInd: number;
  readonly middleInd: number;
  readonly seRatio: number;
  readonly embedding: number;
  readonly affine: boolean;
}

const configOf = (golden: Parameters<Builder>[0]) => golden.config as unknown as Config;

/** Stem and body alone, as the official backbone without its head. */
class Backbone extends Module {
  private readonly inputLayer = this.child('input_layer', inputLayer(3, 64));
  private readonly body: Body;

  constructor(mode: UnitMode) {
    super();
    this.body = this.child('body', new Body({ mode }));
  }

  features(image: Parameters<Body['forward']>[0]) {
    return this.body.forward(this.inputLayer.forward(image));
  }
}

/** The trunk of a config: four stages of doubling width, or those of a published depth. */
const trunk = ({ numLayers, units, baseWidth = 64, mode, seRatio, inputNc }: Config) => ({
  channels: [1, 2, 4, 8].map(factor => factor * baseWidth),
  units: units ?? UNITS[numLayers],
  inputChannels: inputNc,
  mode,
  seRatio,
});

/** Units, backbones and encoders of golden files. */
export const encoders: Record<string, Builder> = {
  'irse.unit': golden => {
    const { inChannel, depth, stride, mode } = configOf(golden);
    const module = new ResidualUnit(inChannel, depth, { stride, mode });
    return { module, forward: ({ input }) => [module.forward(input)] };
  },
  'irse.se': golden => {
    const { reduction } = configOf(golden);
    const module = new SqueezeExcite(golden.config!.channels as number, reduction);
    return { module, forward: ({ input }) => [module.forward(input)] };
  },
  'irse.backbone50': golden => {
    const module = new Backbone(configOf(golden).mode);
    return { module, forward: ({ image }) => module.features(image) };
  },
  'arcface.embedding': golden => {
    const { numLayers, channels, units, mode, inputSize, embedding, affine } = configOf(golden);
    const module = new RecognitionNetwork({
      inputSize,
      channels,
      units: units ?? UNITS[numLayers],
      mode,
      embedding,
      affine,
    });
    return { module, forward: ({ image }) => [module.forward(image)] };
  },
  'psp.gradualStyleBlock': golden => {
    const { inC, outC, spatial } = configOf(golden);
    const module = new GradualStyleBlock(inC, outC, spatial);
    return { module, forward: ({ input }) => [module.forward(input)] };
  },
  'psp.encoder': golden => {
    const config = configOf(golden);
    const module = new GradualStyleEncoder({
      ...trunk(config),
      inputSize: config.inputSize ?? 16 * config.headSpatial[0],
      styles: config.nStyles,
      middle: config.coarseInd,
      fine: config.middleInd,
    });
    return { module, forward: ({ image }) => [module.forward(image)] };
  },
  'psp.encoderW': golden => {
    const module = new WEncoder(trunk(configOf(golden)));
    return { module, forward: ({ image }) => [module.forward(image)] };
  },
  'psp.encoderWPlus': golden => {
    const config = configOf(golden);
    const module = new WPlusEncoder({ ...trunk(config), styles: config.nStyles });
    return { module, forward: ({ image }) => [module.forward(image)] };
  },
  'e2style.encoder': golden => {
    const { numLayers, channels, units, inputNc, split, poolSize, styleDim, mode } = configOf(golden);
    const module = new E2StyleEncoder({
      inputChannels: inputNc,
      channels,
      units: units ?? UNITS[numLayers].slice(0, 3),
      split,
      poolSize,
      styleDim,
      mode,
      materializeUnused: channels === undefined,
    });
    return {
      module,
      forward: ({ image, previous }) => [module.forward(previous ? ops.concat([image, previous], 1) : image)],
    };
  },
};
