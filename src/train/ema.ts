import { type Module, placementOf } from '../models/module.ts';
import { updateRunningAverage } from '../runtime/kernels/runningAverage.ts';
import type { Tensor } from '../runtime/tensor.ts';

/**
 * Moves the parameters of `average` towards those of `source`, a module of the same structure, by `rate` f32 [1], and
 * copies buffers. Nothing moves where `gate` u32 [1] is not 0 (the step was not finite).
 */
export function updateEma(average: Module, source: Module, rate: Tensor, gate: Tensor): void {
  const chunks = placementOf(source).chunks;
  placementOf(average).chunks.forEach((chunk, i) => {
    updateRunningAverage(chunk, chunks[i], rate, gate);
  });
  copyBuffers(average, source);
}

/** Copies parameters and buffers: where an average starts. */
export function copyState(target: Module, source: Module): void {
  const chunks = placementOf(source).chunks;
  placementOf(target).chunks.forEach((chunk, i) => {
    chunk.device.copy(chunks[i], chunk);
  });
  copyBuffers(target, source);
}

/**
 * Buffers are never averaged: noise maps are noise, and running statistics are averages already, gated as they are
 * made.
 */
function copyBuffers(target: Module, source: Module): void {
  const chunks = placementOf(source).bufferChunks;
  placementOf(target).bufferChunks.forEach((chunk, i) => {
    chunk.device.copy(chunks[i], chunk);
  });
}

export interface EmaSchedule {
  /** Images per step. */
  readonly batch: number;
  /** Half-life in thousands of images. */
  readonly halfLife: number;
  /** Shortens the half-life to this share of the images seen so far; none by default. */
  readonly rampUp?: number;
}

/**
 * The rate 1 - β of a step, β = ½^(batch / half-life), after `seen` images (NVlabs/stylegan2-ada-pytorch). With a ramp
 * the first step copies.
 */
export function emaRate(seen: number, { batch, halfLife, rampUp }: EmaSchedule): number {
  const full = 1000 * halfLife;
  const images = rampUp === undefined ? full : Math.min(full, rampUp * seen);
  return 1 - 0.5 ** (batch / Math.max(images, 1e-8));
}
