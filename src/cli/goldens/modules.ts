import type { Module } from '../../models/module.ts';
import type { Naming } from '../../models/stylegan2/names.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { encoders } from './encoders.ts';
import type { GoldenCase } from './format.ts';
import { inceptionBuilders } from './inception.ts';
import { lossBuilders } from './losses.ts';
import { stylegan2Builders } from './stylegan2.ts';

/** A network or loss as a golden case asks for it: its parameters, if it has any, and how its outputs are computed. */
export interface ModuleUnderTest {
  readonly module?: Module;
  /** How the case's keys differ from the module's, if they do. */
  readonly naming?: Naming;
  /** The outputs in the case's order, from its inputs by name. */
  forward(inputs: Record<string, Tensor>): Tensor[];
}

/** Builds what a case describes, from its config; throws UnknownCase for a config that is not supported. */
export type Builder = (golden: GoldenCase) => ModuleUnderTest;

/** The modules of golden files by name; the others are unknown. */
export const builders: Record<string, Builder | undefined> = {
  ...encoders,
  ...stylegan2Builders,
  ...lossBuilders,
  ...inceptionBuilders,
};
