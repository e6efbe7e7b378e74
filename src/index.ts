/**
 * The library: a tensor runtime with reverse-mode autograd on hand-written WGSL, StyleGAN2 and its inversion encoders, and their
 * training. The same in Node and in a page.
 */

export { defineOp, type OpDefinition, type Operation } from './autograd/defineOp.ts';
export { applyEffects } from './autograd/effects.ts';
export * as ops from './autograd/index.ts';
export { grad, noGrad, stopGradient, variable } from './autograd/index.ts';
export { faceInput, faceParameters, faceTargets, packFaces, renderFaces, sampleFaces } from './data/faces.ts';
export { loadImages } from './data/imageFolder.ts';
export { UserError } from './io/errors.ts';
export { openFolder } from './io/files.ts';
export { readSafetensors, writeSafetensors } from './io/safetensors.ts';
export { RecognitionNetwork } from './models/arcface.ts';
export { E2Style, E2StyleEncoder } from './models/e2style.ts';
export type { Foreign } from './models/foreign/kinds.ts';
export { foreignState, readForeign } from './models/foreign/read.ts';
export { foreignToSafetensors, foreignToTorch } from './models/foreign/write.ts';
export { Inception } from './models/inception.ts';
export * from './models/layers.ts';
export { Lpips, LpipsLike } from './models/lpips.ts';
export { initialize, loadStateDict, Module, type Parameter, readStateDict, release } from './models/module.ts';
export { ParsingUNet } from './models/parsing.ts';
export { GradualStyleEncoder } from './models/psp.ts';
export { configF, presets } from './models/stylegan2/config.ts';
export { Discriminator } from './models/stylegan2/discriminator.ts';
export { Generator } from './models/stylegan2/generator.ts';
export { findGenerator, inferConfig, loadGenerator } from './models/stylegan2/inference.ts';
export { Sampler, type SamplingOptions } from './models/stylegan2/sampler.ts';
export { numpyNormals } from './models/stylegan2/seeds.ts';
export { Device, type DeviceOptions, floatBits, grid } from './runtime/device.ts';
export { random } from './runtime/kernels/random.ts';
export { type Program, Programs } from './runtime/program.ts';
export type { Tensor } from './runtime/tensor.ts';
export { AbortionMonitor } from './train/abortion.ts';
export { presetOptions } from './train/abortionPresets.ts';
export * from './train/adversarial.ts';
export { copyState, type EmaSchedule, emaRate, updateEma } from './train/ema.ts';
export * from './train/losses.ts';
export { type MetricsOptions, metricsOf } from './train/metrics/metricsOf.ts';
export { type FeatureNetwork, inceptionNetwork, perceptualNetwork } from './train/metrics/networks.ts';
export { openReference, type Reference } from './train/metrics/reference.ts';
export { Adam, checkFinite, Ranger, Sgd } from './train/optimizers.ts';
export { type Profile, type ProfileOptions, profile } from './train/profile.ts';
export { recipes } from './train/recipes/index.ts';
export { train } from './train/trainer.ts';
export type { Recipe, RecipeContext, Stages, StepContext, Training } from './train/training.ts';
