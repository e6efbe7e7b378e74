/** What a training will take, known from recording its steps: nothing of them is computed. */
import { discardEffects } from '../../autograd/effects.ts';
import type { Device } from '../../runtime/device.ts';
import type { Kernel } from '../../runtime/kernel.ts';
import { type Program, Programs } from '../../runtime/program.ts';
import type { Command } from '../../runtime/stream.ts';
import { formatBytes } from '../report/html.ts';
import { StepWords } from '../ring.ts';
import type { Compute, Training } from '../training.ts';
import { memoryUse } from './memory.ts';

/** Steps that are counted, behind the first, which prepares more: what is done in every 2nd, 3rd, 4th, 6th, 8th, 12th, 16th or 24th is weighed right. */
const STEPS = 48;

/** A part of the steps that is a program, or all that is none. */
export interface PlannedPhase {
  readonly name: string;
  /** How often it runs in a step, on average. */
  readonly runs: number;
  /** Of one run: dispatches, and arithmetic operations where the kernels state them. */
  readonly dispatches: number;
  readonly flop: number;
  /** Bytes of temporaries that one run needs at once, at the most; undefined where there is no plan. */
  readonly needed: number | undefined;
}

export interface TrainingPlan {
  /** Learned numbers by network. */
  readonly parameters: Readonly<Record<string, number>>;
  /** Of a step, on average. */
  readonly dispatches: number;
  readonly flop: number;
  /** Bytes: what stays (parameters, optimiser state, data), what all phases share, and both together. */
  readonly kept: number;
  readonly temporaries: number;
  readonly peak: number;
  /** Pipelines that steps and samples use, and those before that filled the networks. */
  readonly pipelines: number;
  readonly phases: readonly PlannedPhase[];
}

/**
 * Plans a training that has just been made. Only what its making took is allocated; no kernel of a step is compiled or
 * run. The training is of no use afterwards: what its first step prepares has not been computed.
 */
export async function planTraining(device: Device, training: Training): Promise<TrainingPlan> {
  const [words, programs] = [new StepWords(device), new Programs(device)];
  await training.prepare?.(1);
  await device.finish();
  const kernels = new Set<Kernel>([...device.kernels.all()].filter(({ isCompiled }) => isCompiled));
  const runs = new Map<string, number>();
  let outside: Command[] = [];
  device.stream.plan(command => outside.push(command));
  try {
    const phase = <T>(name: string, body: () => T): T => {
      runs.set(name, (runs.get(name) ?? 0) + 1);
      return programs.record(name, body).result;
    };
    const make = (step: number) =>
      device.scope('step', () => {
        words.begin(step);
        training.step({ step, stepNumber: words.stepNumber, gate: words.gate, phase });
      });
    make(1);
    runs.clear();
    const before = outside;
    outside = [];
    for (let step = 2; step <= STEPS + 1; step++) make(step);
    const inSteps = outside;
    outside = [];
    await planSamples(training, programs);
    for (const command of [...before, ...inSteps, ...outside]) if ('kernel' in command) kernels.add(command.kernel);
    const planned = [...programs.values()];
    for (const [, program] of planned) for (const kernel of program.kernels()) kernels.add(kernel);
    const phases = planned.map(([name, program]) => plannedPhase(name, program, (runs.get(name) ?? 0) / STEPS));
    phases.push({ name: 'outside of phases', runs: 1, ...workOf(inSteps, STEPS), needed: undefined });
    const { planned: temporaries, reserved: kept } = memoryUse(device, planned);
    const inStep = (of: (phase: PlannedPhase) => number) =>
      phases.reduce((sum, phase) => sum + phase.runs * of(phase), 0);
    return {
      parameters: Object.fromEntries(
        Object.entries(training.modules).map(([name, { parameterCount }]) => [name, parameterCount]),
      ),
      dispatches: inStep(({ dispatches }) => dispatches),
      flop: inStep(({ flop }) => flop),
      kept,
      temporaries,
      peak: kept + temporaries,
      pipelines: kernels.size,
      phases,
    };
  } finally {
    device.stream.plan(undefined);
    discardEffects();
    programs.release();
    words.release();
  }
}

/** Records the program of the sample grids, whose images nobody computes. */
async function planSamples(training: Training, programs: Programs): Promise<void> {
  const enough = new Error('recorded');
  const compute: Compute = (name, body) => {
    programs.record(name, body);
    return Promise.reject(enough);
  };
  try {
    await training.samples?.(compute);
  } catch (error) {
    if (error !== enough) throw error;
  }
}

function plannedPhase(name: string, { commands, plan }: Program<unknown>, runs: number): PlannedPhase {
  return { name, runs, ...workOf(commands, 1), needed: plan.needed };
}

/** The work of commands that are those of so many runs. */
function workOf(commands: readonly Command[], count: number): { dispatches: number; flop: number } {
  let [dispatches, flop] = [0, 0];
  for (const command of commands) {
    if (!('kernel' in command)) continue;
    dispatches++;
    flop += command.work?.flop ?? 0;
  }
  return { dispatches: dispatches / count, flop: flop / count };
}

/** A plan for people, on a terminal. */
export function planText(plan: TrainingPlan, imagesPerStep: number): string {
  const { parameters, dispatches, flop, kept, temporaries, peak, pipelines, phases } = plan;
  const networks = Object.entries(parameters).filter(([, count]) => count > 0);
  const lines = [
    ['parameters', networks.map(([name, count]) => `${name} ${count.toLocaleString('en')}`).join(', ')],
    ['a step', `${imagesPerStep} images, ${formatFlop(flop)}, ${formatAmount(dispatches)} dispatches, on average`],
    [
      'memory',
      `${formatBytes(peak)} at its peak: ${formatBytes(kept)} of parameters, optimiser state and data, ` +
        `${formatBytes(temporaries)} of temporaries`,
    ],
    ['pipelines', `${pipelines}, compiled when they are first used`],
  ].map(([name, text]) => `${name.padEnd(12)}${text}`);
  const width = Math.max(...phases.map(({ name }) => name.length));
  const row = (name: string, cells: readonly string[]) =>
    name.padEnd(width) + cells.map(cell => cell.padStart(14)).join('');
  return [
    ...lines,
    '',
    row('phase', ['runs a step', 'work of a run', 'dispatches', 'memory']),
    ...phases.map(({ name, runs, dispatches, flop, needed }) =>
      row(name, [
        formatAmount(runs),
        formatFlop(flop),
        formatAmount(dispatches),
        needed === undefined ? '' : formatBytes(needed),
      ]),
    ),
  ].join('\n');
}

function formatFlop(flop: number): string {
  return flop >= 1e12 ? `${formatAmount(flop / 1e12)} TFLOP` : `${formatAmount(flop / 1e9)} GFLOP`;
}

/** Whole from 100 on, else three digits. */
function formatAmount(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));
}
