import { initialize, loadStateDict, Module, type Parameter, release } from '../../models/module.ts';
import type { Device } from '../../runtime/device.ts';
import { Adam, type Optimizer, Ranger, Sgd } from '../../train/optimizers.ts';
import { type Check, check, type Filled, fillValues, type GoldenCase, type Summary } from './format.ts';

/**
 * A golden case of an optimiser: parameters, their gradients step by step, and the parameters after some of the steps.
 */
export interface OptimizerCase extends GoldenCase {
  readonly optimizer: string;
  readonly config: Record<string, never>;
  readonly params: readonly Filled[];
  /** Of each step and parameter [scale, shift, seed], or null for no gradient. */
  readonly gradientSteps: readonly (readonly (readonly [number, number, number] | null)[])[];
  readonly expected: readonly { readonly step: number; readonly params: readonly Summary[] }[];
}

/** A module that is nothing but parameters of these shapes. */
export class BareParameters extends Module {
  constructor(shapes: Readonly<Record<string, readonly number[]>>) {
    super();
    for (const [key, shape] of Object.entries(shapes)) this.parameter(key, shape, { constant: 0 });
  }
}

/** The optimisers of golden files. The learning rate and β₂ of a case are those after lazy correction. */
const optimizers: Record<string, ((module: Module, config: Record<string, never>) => Optimizer) | undefined> = {
  adam: (module, { betas, eps: epsilon }) => new Adam(module, { betas, epsilon }),
  ranger: (module, { betas, eps: epsilon, alpha, k: period, nSmaThreshold: threshold }) =>
    new Ranger(module, { betas, epsilon, alpha, period, threshold }),
  sgd: (module, { momentum, weightDecay }) => new Sgd(module, { momentum, weightDecay, decays: () => true }),
};

/** Runs a case's steps; undefined if its optimiser is unknown. */
export function optimizerChecks(device: Device, golden: OptimizerCase): Check[] | undefined {
  const build = optimizers[golden.optimizer];
  if (!build) return undefined;
  const module = new BareParameters(Object.fromEntries(golden.params.map(({ name, shape }) => [name, shape])));
  initialize(module, device);
  loadStateDict(module, new Map(golden.params.map(filled => [filled.name, { ...filled, data: fillValues(filled) }])));
  const optimizer = build(module, golden.config);
  const parameters: Parameter[] = golden.params.map(({ name }) => module.state().get(name)!);
  const rate = device.tensor([golden.config.lr], [1]);
  const gate = device.tensor([0], [1], 'u32');
  const checks: Check[] = [];
  golden.gradientSteps.forEach((fills, index) => {
    const gradients = fills.map((fill, i) => {
      if (!fill) return undefined;
      const { shape } = golden.params[i];
      return device.tensor(fillValues({ shape, scale: fill[0], shift: fill[1], seed: fill[2] }), shape);
    });
    optimizer.collect(gradients);
    optimizer.step(rate, gate);
    for (const want of golden.expected.find(({ step }) => step === index + 1)?.params ?? []) {
      const parameter = parameters.find(({ key }) => key === want.name)!;
      checks.push(check(`${want.name} after step ${index + 1}`, parameter.value, want));
    }
  });
  optimizer.release();
  release(module);
  return checks;
}
