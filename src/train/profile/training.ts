import { discardEffects } from '../../autograd/effects.ts';
import type { Device } from '../../runtime/device.ts';
import { Programs } from '../../runtime/program.ts';
import { type Profile, profile } from '../profile.ts';
import { StepWords } from '../ring.ts';
import type { Training } from '../training.ts';
import { type MemoryUse, memoryPicture, memoryUse } from './memory.ts';

export interface TrainingProfile extends Omit<Profile<unknown>, 'result'> {
  readonly memory: MemoryUse;
  /** The plan of the step's programs, as SVG. */
  readonly picture: string;
}

/** Profiles steps of a training as the trainer makes them, recorded and replayed. The training moves on by them. */
export async function profileTraining(device: Device, training: Training, steps: number): Promise<TrainingProfile> {
  const [words, programs] = [new StepWords(device), new Programs(device)];
  const phase = <T>(name: string, body: () => T): T => programs.run(name, body);
  const optimizers = Object.entries(training.optimizers).map(([name, one]) => [`optimizer.${name}`, one]);
  const parts = { ...training.parts, ...training.modules, ...Object.fromEntries(optimizers) };
  try {
    const { report, trace } = await profile(
      device,
      step => {
        device.scope('step', () => {
          words.begin(step);
          training.step({ step, stepNumber: words.stepNumber, gate: words.gate, phase });
        });
      },
      { parts, steps, prepare: step => training.prepare?.(step) },
    );
    const planned = [...programs.values()];
    return { report, trace, memory: memoryUse(device, planned), picture: memoryPicture(planned) };
  } finally {
    discardEffects();
    programs.release();
    words.release();
  }
}
