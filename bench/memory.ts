/**
 * What gradient checkpointing saves: the memory of a training step's programs, planned without running them.
 *
 *     npm run bench:memory -- [SYSTEM] [--size N] [--batch N] [--json] [--adapter NAME]
 *
 * Systems: stylegan2 (configuration F, with its regularisers), psp (encoder for 256 pixels, with the generator, LPIPS and
 * identity losses), e2style (the same of two stages). For each system and size it prints the memory of the temporaries
 * of all programs as planned, and what the largest needs at least, in MiB, without and with checkpointing. Parameters,
 * gradients and the optimisers' state come on top; they alone are really allocated here.
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { applyEffects } from '../src/autograd/effects.ts';
import { add, affine, grad, stopGradient } from '../src/autograd/index.ts';
import { UserError } from '../src/io/errors.ts';
import { RecognitionNetwork } from '../src/models/arcface.ts';
import { E2Style, styleSplit } from '../src/models/e2style.ts';
import { Lpips } from '../src/models/lpips.ts';
import { initialize, type Module } from '../src/models/module.ts';
import { GradualStyleEncoder } from '../src/models/psp.ts';
import { configF } from '../src/models/stylegan2/config.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { Device } from '../src/runtime/device.ts';
import { Programs } from '../src/runtime/program.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { IdLoss, LpipsLoss, l2 } from '../src/train/losses.ts';
import { checkFinite, Ranger } from '../src/train/optimizers.ts';
import { assignOptions } from '../src/train/options.ts';
import { memoryUse } from '../src/train/profile/memory.ts';
import { stylegan2 } from '../src/train/recipes/stylegan2.ts';
import { StepWords } from '../src/train/ring.ts';
import type { StepContext } from '../src/train/training.ts';

interface Setting {
  readonly device: Device;
  readonly size: number;
  readonly batch: number;
  readonly checkpointing: boolean;
}

/** Makes a system on the device, and gives the step that it trains by. */
type System = (setting: Setting) => Promise<(context: StepContext) => void>;

const systems: Record<string, System> = {
  async stylegan2({ device, size, batch, checkpointing }) {
    const given = Object.entries({ model: `f${size}`, batch, checkpointing });
    const options = assignOptions(
      'stylegan2',
      stylegan2,
      given.map(([key, value]) => ({ key, value, where: 'bench' })),
    );
    const training = await stylegan2.create({ device, options });
    return context => void training.step(context);
  },

  async psp(setting) {
    const { size, checkpointing } = setting;
    const styles = 2 * Math.log2(size) - 2;
    const encoder = new GradualStyleEncoder({ styles, checkpointing });
    const { images, train } = inversion(setting, [encoder]);
    return ({ phase, gate }) =>
      void phase('step', () => {
        train(encoder, encoder.forward(images), gate);
        applyEffects(gate);
      });
  },

  async e2style(setting) {
    const { size, checkpointing } = setting;
    const network = new E2Style({ stages: 2, split: styleSplit(2 * Math.log2(size) - 2), checkpointing });
    const { images, train } = inversion(setting, network.encoders);
    return ({ phase, gate }) =>
      void phase('step', () => {
        let previous: { latents: Tensor; pooled: Tensor } | undefined;
        network.encoders.forEach((encoder, i) => {
          const delta = network.stage(i + 1, images, previous?.pooled);
          const latents = previous ? add(delta, previous.latents) : delta;
          const pooled = stopGradient(network.facePool(train(encoder, latents, gate)));
          previous = { latents: stopGradient(latents), pooled };
        });
        applyEffects(gate);
      });
  },
};

/** What the inversion systems share: images of 256 pixels, a frozen generator, and the losses on its images. */
function inversion({ device, size, batch, checkpointing }: Setting, encoders: readonly Module[]) {
  const images = device.keep(device.empty([batch, 3, 256, 256], 'f32', 'images'));
  const rate = device.keep(device.tensor([1e-4], [1]));
  const [generator, perceptual, identity] = [
    new Generator(configF(size), { checkpointing }),
    new Lpips(),
    new RecognitionNetwork({ checkpointing }),
  ].map(network => {
    network.freeze().eval();
    initialize(network, device);
    return network;
  }) as [Generator, Lpips, RecognitionNetwork];
  const optimizers = new Map(
    encoders.map(encoder => {
      initialize(encoder, device);
      return [encoder, new Ranger(encoder)];
    }),
  );
  const pool = new E2Style({ stages: 0 });
  const losses = { lpips: new LpipsLoss(perceptual), id: new IdLoss(identity, { layers: 'embedding' }) };
  /** Trains an encoder by the losses of the image of its latents; returns the image. */
  function train(encoder: Module, latents: Tensor, gate: Tensor): Tensor {
    const image = generator.forward(latents);
    const pooled = pool.facePool(image);
    const terms = [
      l2(images, pooled),
      affine(losses.lpips.compare(losses.lpips.target(images), pooled).loss, 0.8, 0),
      affine(losses.id.compare(losses.id.target(images), pooled).loss, 0.1, 0),
    ];
    const loss = terms.reduce((a, b) => add(a, b));
    const optimizer = optimizers.get(encoder)!;
    optimizer.collect(grad(loss, optimizer.variables, { unused: 'none' }));
    checkFinite([loss, ...optimizer.gradients], gate);
    optimizer.step(rate, gate);
    return image;
  }
  return { images, train };
}

const SIZES = ['256', '512', '1024'];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: 'string', multiple: true, default: SIZES },
    batch: { type: 'string', default: '4' },
    json: { type: 'boolean', default: false },
    adapter: { type: 'string' },
  },
});
const wrong = values.size.find(size => !SIZES.includes(size));
if (wrong !== undefined) throw new UserError(`bench: --size ${wrong} is not possible; give ${SIZES.join(', ')}`);
const batch = Number(values.batch);
if (!(Number.isInteger(batch) && batch > 0 && batch % 4 === 0)) {
  throw new UserError(`bench: --batch ${values.batch} is not possible; give a multiple of 4`);
}
const names = positionals.length > 0 ? positionals : Object.keys(systems);
for (const name of names) {
  if (!Object.hasOwn(systems, name)) {
    throw new UserError(`bench: there is no system '${name}'; there are ${Object.keys(systems).join(', ')}`);
  }
}
const rows = [];
if (!values.json) {
  console.log(`batches of ${batch}; MiB\n`);
  console.log('system       size   without: planned   needed   with: planned   needed   with / without   plan s');
}
const alone = names.length * values.size.length === 1;
for (const name of names) {
  for (const size of values.size.map(Number)) {
    const row = alone ? await compare(name, size) : inProcess(name, size);
    rows.push(row);
    if (values.json) continue;
    const { without, with: saved, ratio } = row;
    const numbers = [without.planned, without.needed, saved.planned, saved.needed].map(mib => mib.toFixed(0));
    const cells = [name.padEnd(11), String(size).padStart(6)];
    cells.push(...numbers.map((cell, i) => cell.padStart([19, 9, 16, 9][i])));
    cells.push(ratio.toFixed(2).padStart(17), (without.seconds + saved.seconds).toFixed(1).padStart(9));
    console.log(cells.join(''));
  }
}
if (values.json) console.log(JSON.stringify({ rows }, null, 2));

async function compare(system: string, size: number) {
  const [without, saved] = [await planned(system, size, false), await planned(system, size, true)];
  return { system, size, batch, without, with: saved, ratio: saved.planned / without.planned };
}

/** The same in a process of its own: some gigabytes of weights are gone for certain only when it ends. */
function inProcess(system: string, size: number): Awaited<ReturnType<typeof compare>> {
  const options = [
    '--size',
    `${size}`,
    '--batch',
    `${batch}`,
    ...(values.adapter ? ['--adapter', values.adapter] : []),
  ];
  const command = [process.argv[1], 'bench/memory.ts', system, ...options, '--json'];
  return JSON.parse(execFileSync(process.execPath, command, { encoding: 'utf8' })).rows[0];
}

/** The programs of a step, in MiB. A device of its own: what one system allocates is gone with it. */
async function planned(name: string, size: number, checkpointing: boolean) {
  const device = await Device.open({ adapter: values.adapter });
  try {
    const step = await systems[name]({ device, size, batch, checkpointing });
    const [words, programs] = [new StepWords(device), new Programs(device)];
    const phase = <T>(label: string, body: () => T): T => programs.record(label, body).result;
    const began = performance.now();
    step({ step: 1, stepNumber: words.stepNumber, gate: words.gate, phase });
    const seconds = (performance.now() - began) / 1e3;
    const use = memoryUse(device, [...programs.values()]);
    const mib = (bytes: number) => bytes / 2 ** 20;
    return {
      planned: mib(use.planned),
      needed: mib(use.needed),
      seconds,
      programs: Object.fromEntries(
        [...programs.values()].map(([label, { plan, dispatches }]) => [
          label,
          { needed: mib(plan.needed), dispatches },
        ]),
      ),
    };
  } finally {
    // The weights are being filled: a device that is destroyed before gives its memory back only then.
    await device.finish();
    device.destroy();
  }
}
