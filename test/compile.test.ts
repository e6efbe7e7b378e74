/** Every shader, in every variant and with every text that is put into it, compiles without a message. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { discardEffects } from '../src/autograd/effects.ts';
import { batchNormTraining, grad, maxMean, maxPool2d, square, sum, variable } from '../src/autograd/index.ts';
import type { GoldenCase } from '../src/cli/goldens/format.ts';
import { verifyCase } from '../src/cli/goldens/verify.ts';
import { Device } from '../src/runtime/device.ts';
import type { Kernel } from '../src/runtime/kernel.ts';
import { measureCeilings } from '../src/runtime/measure.ts';
import { settle } from '../src/runtime/wait.ts';
import { commonDefaults } from '../src/train/options.ts';
import { recipes } from '../src/train/recipes/index.ts';
import { StepWords } from '../src/train/ring.ts';
import type { Options, Recipe } from '../src/train/training.ts';
import { openNullDevice } from './nullDevice.ts';
import { familyProblems } from './variantProblems.ts';

let everything: Device;
let adapter: Device;
beforeAll(async () => {
  [everything, adapter] = [await openNullDevice(), await Device.open()];
});
afterAll(() => {
  everything?.destroy();
  adapter?.destroy();
});

/** The kernels of all variants of the families' problems, which nothing computes. */
function variantsOf(device: Device): Set<Kernel> {
  const kernels = new Set<Kernel>();
  for (const [family, problems] of familyProblems) {
    for (const problem of problems) {
      if (family.dtype(problem) === 'f16' && !device.features.has('shader-f16')) continue;
      for (const variant of family.variants(problem, device)) {
        const program = device.record('variant', () => {
          const operands = family.operands(problem).map(shape => device.empty(shape, family.dtype(problem)));
          return family.run(operands, problem, variant);
        });
        for (const kernel of program.kernels()) kernels.add(kernel);
        program.release();
      }
    }
  }
  return kernels;
}

/** What the compiler says of kernels, each message with the kernel's name and the line. */
async function messagesOf({ gpu }: Device, kernels: Iterable<Kernel>): Promise<string[]> {
  const found: string[] = [];
  const codes = new Map([...kernels].map(({ name, code }) => [code, name]));
  for (const [code, name] of codes) {
    gpu.pushErrorScope('validation');
    const { messages } = await settle(gpu.createShaderModule({ code }).getCompilationInfo());
    await settle(gpu.popErrorScope());
    const lines = code.split('\n');
    for (const { type, message, lineNum } of messages)
      found.push(`${name}: ${type}: ${message}: ${lines[lineNum - 1]}`);
  }
  return found;
}

/** The kernels that something uses, which runs on a device that computes nothing. */
async function kernelsOf(use: (device: Device) => Promise<unknown>): Promise<Kernel[]> {
  const device = await openNullDevice(); // one for each, as none has much memory
  await use(device);
  const kernels = [...device.kernels.all()];
  device.destroy();
  return kernels;
}

async function goldens(device: Device, file: string): Promise<void> {
  const { cases } = JSON.parse(readFileSync(new URL(`./goldens/${file}.json`, import.meta.url), 'utf8'));
  for (const golden of cases as GoldenCase[]) await verifyCase(device, golden);
}

/** What goldens and recipes have no use for: gates, a second derivative, sums that are cut over several workgroups. */
function rest(device: Device): void {
  device.scope('rest', () => {
    for (const over of ['pixels', 'channels'] as const) {
      const x = variable(device.empty([1, 4, 8, 8]));
      grad(sum(maxMean(x, over)), [x]);
    }
    const x = variable(device.empty([1, 1, 4, 4]));
    const [gradient] = grad(sum(square(maxPool2d(x, { kernel: 2 }))), [x], { createGraph: true });
    grad(sum(gradient), [x]);
    const [weight, bias] = [device.empty([1]), device.empty([1])];
    batchNormTraining(device.empty([1, 1, 256, 256]), weight, bias);
  });
}

/** Settings with which a step is short. */
const SMALL: Record<string, Options> = {
  stylegan2: { model: 'micro16', batch: 4, augment: 'ada' },
  recognition: { batch: 8, identities: 10 },
  parsing: { batch: 4, featureScale: 16 },
  perceptual: { batch: 4, width: 4 },
  e2style: { batch: 2 },
};

async function stepsOf(device: Device, { name, defaults, create }: Recipe, more: Options = {}): Promise<void> {
  const training = await create({ device, options: { ...commonDefaults, ...defaults, ...SMALL[name], ...more } });
  const words = new StepWords(device);
  // StyleGAN2 does some things in every sixteenth step only.
  for (let step = 1; step <= (name === 'stylegan2' ? 16 : 1); step++) {
    await training.prepare?.(step);
    device.scope('step', () => {
      words.begin(step);
      training.step({ step, stepNumber: words.stepNumber, gate: words.gate, phase: (_, body) => body() });
    });
  }
  discardEffects();
}

describe('the compiler of WGSL has no message', () => {
  test('for the variants that this adapter offers', async () => {
    const kernels = variantsOf(adapter);
    expect(kernels.size).toBeGreaterThan(100);
    expect(await messagesOf(adapter, kernels)).toEqual([]);
  });

  test('for the variants that an adapter with every feature offers', async () => {
    const kernels = variantsOf(everything);
    expect(new Set([...kernels].map(({ name }) => name))).toContain('gemm_subgroup_matrix_matmul');
    expect(await messagesOf(everything, kernels)).toEqual([]);
  });

  test('for what operations, losses, optimisers and recipes use, and no shader is left out', async () => {
    const kernels = [
      ...(await kernelsOf(device => goldens(device, 'ops'))),
      ...(await kernelsOf(device => goldens(device, 'optimizers'))),
      ...(await Promise.all(Object.values(recipes).map(recipe => kernelsOf(device => stepsOf(device, recipe))))).flat(),
      ...(await kernelsOf(device => stepsOf(device, recipes.stylegan2, { precision: 'f16', convClamp: 256 }))),
      ...(await kernelsOf(async device => rest(device))),
      ...(await kernelsOf(measureCeilings)),
      ...variantsOf(everything),
    ];
    expect(await messagesOf(everything, kernels)).toEqual([]);
    const used = kernels.map(({ name }) => name);
    const files = readdirSync(new URL('../shaders', import.meta.url)).map(file => file.replace('.wgsl', ''));
    // Of which others consist.
    const convolution = ['conv_epilogue', 'conv_store', 'gemm_conv_input'];
    const parts = [...convolution, 'gemm', 'gemm_subgroup_matrix', 'facesHair', 'facesHead'];
    expect(files.filter(file => !used.includes(file) && !parts.includes(file))).toEqual([]);
  });

  test('but has some where one is wrong', async () => {
    const [kernel] = variantsOf(everything);
    const wrong = { ...kernel, code: kernel.code.replace('vec4f(0)', 'vec4f(zero)') } as Kernel;
    expect(await messagesOf(everything, [wrong])).toEqual([expect.stringContaining("unresolved value 'zero'")]);
  });
});
