import { discardEffects } from '../../autograd/effects.ts';
import type { Device } from '../../runtime/device.ts';
import { Programs } from '../../runtime/program.ts';
import { StepWords } from '../ring.ts';
import type { Training } from '../training.ts';

/** Steps in which everything that a recipe does now and then has happened. */
const STEPS = 16;

/**
 * Records the phases of a training's steps without running them, so that `device.choices.met` has every class of
 * problems that they meet. The training is of no use afterwards: its steps did not happen.
 */
export async function traceSteps(device: Device, training: Training): Promise<void> {
  const [words, programs] = [new StepWords(device), new Programs(device)];
  const phase = <T>(name: string, body: () => T): T => programs.record(name, body).result;
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
    programs.release();
    words.release();
  }
}
