import { discardEffects } from '../../autograd/effects.ts';
import type { Device } from '../../runtime/device.ts';
import type { Program } from '../../runtime/program.ts';
import { StepWords } from '../ring.ts';
import type { Training } from '../training.ts';

/** Steps in which everything that a recipe does now and then has happened. */
const STEPS = 16;

/**
 * Records the phases of a training's steps without running them, so that `device.choices.met` has every class of
 * problems that they meet. The training is of no use afterwards: its steps did not happen.
 */
export async function traceSteps(device: Device, training: Training): Promise<void> {
  const words = new StepWords(device);
  const programs: Program<unknown>[] = [];
  const results = new Map<string, unknown>();
  const phase = <T>(name: string, body: () => T): T => {
    if (!results.has(name)) {
      const record = () => {
        const result = body();
        results.set(name, result);
        return result;
      };
      programs.push(device.record(name, record));
    }
    return results.get(name) as T;
  };
  try {
    for (let step = 1; step <= STEPS; step++) {
      await training.prepare?.(step);
      device.scope('traced step', () => {
        words.begin(step);
        training.step({ step, stepNumber: words.stepNumber, gate: words.gate, phase });
      });
    }
    await device.finish();
  } finally {
    discardEffects();
    for (const program of programs) program.release();
    words.release();
  }
}
