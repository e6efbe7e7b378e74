import { applyEffects, discardEffects } from '../../autograd/effects.ts';
import { add, grad, isTracked, mul, sum, variable } from '../../autograd/index.ts';
import { initialize, loadStateDict, type Module, release } from '../../models/module.ts';
import type { Device } from '../../runtime/device.ts';
import { sizeOf } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type Check, check, type Filled, fillValues, type GoldenCase, relativeError, v } from './format.ts';
import { builders } from './modules.ts';
import { evaluateOp, UnknownCase } from './ops.ts';
import { type OptimizerCase, optimizerChecks } from './optimizers.ts';

/**
 * How one golden case came out: its largest error in units of the comparison rule, undefined if the case is unknown.
 */
export interface CaseResult {
  readonly name: string;
  readonly error: number | undefined;
  readonly tolerance: number;
  /** The quantity that is furthest off, or why the case failed. */
  readonly worst: string;
  readonly passed: boolean;
}

/** A tensor as a golden file describes it. */
function filledTensor(device: Device, filled: Omit<Filled, 'name'>): Tensor {
  return device.tensor(fillValues(filled), filled.shape, filled.dtype === 'int64' ? 'u32' : 'f32');
}

/** Σ_k Σ_i x_k[i] · v(i, seed + k), over the tensors that gradients can flow through. */
function weightedSum(tensors: readonly Tensor[], seed: number): Tensor | undefined {
  let total: Tensor | undefined;
  tensors.forEach((tensor, k) => {
    if (!isTracked(tensor)) return;
    const values = Float32Array.from({ length: sizeOf(tensor.shape) }, (_, i) => v(i, seed + k));
    const term = sum(mul(tensor, tensor.device.tensor(values, tensor.shape)));
    total = total ? add(total, term) : term;
  });
  return total;
}

function opChecks(device: Device, golden: GoldenCase): Check[] | undefined {
  const inputs: Record<string, Tensor> = {};
  for (const filled of golden.inputs) {
    const tensor = filledTensor(device, filled);
    inputs[filled.name] = tensor.dtype === 'f32' ? variable(tensor, filled.name) : tensor;
  }
  const outputs = evaluateOp(golden, inputs);
  if (!outputs) return undefined;
  const checks = golden.outputs.map((want, k) => check(`output ${want.name}`, outputs[k], want));
  if (!golden.gradients) return checks;
  const wrt = golden.gradients.map(({ wrt: name }) => inputs[name!]);
  const loss = weightedSum(outputs, 2000)!;
  const gradients = grad(loss, wrt, { createGraph: golden.secondOrder !== undefined, unused: 'zero' });
  golden.gradients.forEach((want, j) => {
    checks.push(check(`gradient of ${want.wrt}`, gradients[j], want));
  });
  if (!golden.secondOrder) return checks;
  const second = golden.secondOrder.map(({ wrt: name }) => inputs[name!]);
  const results = grad(weightedSum(gradients, 3000)!, second, { unused: 'zero' });
  golden.secondOrder.forEach((want, j) => {
    checks.push(check(`second-order gradient of ${want.wrt}`, results[j], want));
  });
  return checks;
}

function moduleChecks(device: Device, golden: GoldenCase): Check[] | undefined {
  const build = builders[golden.module!];
  if (!build) return undefined;
  const { module, naming, forward } = build(golden);
  if (module) initialize(module, device);
  try {
    if (module) {
      const values = goldenState(golden, module);
      loadStateDict(module, naming?.convert(values) ?? values, { source: golden.name, ignoreUnknown: true });
      if (golden.mode === 'train') module.train();
      else module.eval();
    }
    discardEffects();
    const inputs: Record<string, Tensor> = {};
    for (const filled of golden.inputs) inputs[filled.name] = variable(filledTensor(device, filled), filled.name);
    const outputs = forward(inputs);
    const checks = golden.outputs.map((want, k) => check(`output ${want.name}`, outputs[k], want));
    if (golden.gradients?.length) {
      const state = module?.state();
      const wrt = golden.gradients.map(
        ({ wrt: name }) => inputs[name!] ?? state!.get(naming?.key(name!) ?? name!)!.value,
      );
      const loss = golden.scalar ? outputs[0] : weightedSum(outputs, 2000)!;
      grad(loss, wrt).forEach((gradient, j) => {
        checks.push(check(`gradient of ${golden.gradients![j].wrt}`, gradient, golden.gradients![j]));
      });
    }
    applyEffects(device.tensor([0], [1], 'u32'));
    for (const want of golden.stateAfter ?? []) {
      const key = want.key ?? want.name!;
      checks.push(check(`${key} afterwards`, module!.state().get(key)!.value, want));
    }
    return checks;
  } finally {
    discardEffects();
    if (module) release(module);
  }
}

/** The values of a case's parameters and buffers. Tensors given in full and not listed have the module's shapes. */
function goldenState(golden: GoldenCase, module: Module): Map<string, { shape: number[]; data: ArrayLike<number> }> {
  const state = new Map<string, { shape: number[]; data: ArrayLike<number> }>();
  for (const [key, shape, scale, shift, seed] of golden.state ?? []) {
    const values = golden.explicit?.[key];
    state.set(key, { shape, data: fillValues({ shape, scale, shift, seed, values }) });
  }
  for (const [key, shape, data] of golden.constants ?? []) state.set(key, { shape, data });
  const own = module.state();
  for (const [key, data] of Object.entries(golden.explicit ?? {})) {
    if (!state.has(key)) state.set(key, { shape: [...(own.get(key)?.shape ?? [data.length])], data });
  }
  return state;
}

/** Runs one case on the device. */
export async function verifyCase(device: Device, golden: GoldenCase): Promise<CaseResult> {
  const { name, tolerance } = golden;
  try {
    const checks = device.scope(`golden case ${name}`, () => {
      try {
        if (golden.kind === 'op') return opChecks(device, golden);
        if (golden.kind === 'optimizer') return optimizerChecks(device, golden as OptimizerCase);
        return moduleChecks(device, golden);
      } catch (error) {
        if (error instanceof UnknownCase) return undefined;
        throw error;
      }
    });
    if (!checks) return { name, tolerance, error: undefined, worst: 'unknown', passed: false };
    const values = await Promise.all(checks.map(({ got }) => got));
    const errors = checks.map(({ label, want }, i) => ({ label, error: relativeError(values[i], want) }));
    if (errors.length === 0) throw new Error('the case says nothing to compare');
    const { label, error } = errors.reduce((worst, each) => (each.error > worst.error ? each : worst));
    return { name, tolerance, error, worst: label, passed: error <= tolerance };
  } catch (error) {
    const worst = error instanceof Error ? error.message : String(error);
    return { name, tolerance, error: Number.POSITIVE_INFINITY, worst, passed: false };
  }
}
