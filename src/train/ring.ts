import type { Device } from '../runtime/device.ts';
import { fill } from '../runtime/kernels/copy.ts';
import type { Tensor } from '../runtime/tensor.ts';

/** Steps whose losses are read together: reading each step's would stall the queue. */
export const RING = 8;

/** The losses of one step, read back. */
export interface StepLosses {
  readonly step: number;
  /** By name; NaN where the step had no such loss. */
  readonly losses: Readonly<Record<string, number>>;
  /** False if a loss or gradient was not finite: from there on the step updated nothing. */
  readonly finite: boolean;
}

/** Losses on the device, read back RING steps at a time. */
export class LossRing {
  private readonly buffer: Tensor;
  private filled: { step: number; present: Set<string> }[] = [];

  constructor(
    private readonly device: Device,
    private readonly names: readonly string[],
  ) {
    this.buffer = device.keep(device.empty([RING, names.length + 1], 'f32', 'losses'));
  }

  /** Notes the losses and the gate of a step, which must be the one after the last. */
  push(step: number, losses: Readonly<Record<string, Tensor>>, gate: Tensor): void {
    const width = this.names.length + 1;
    const row = this.filled.length * width;
    for (const name of Object.keys(losses)) {
      const column = this.names.indexOf(name);
      if (column < 0) throw new Error(`the step returned a loss "${name}" that is not among the training's lossNames`);
      this.device.copy(losses[name], this.buffer, { to: row + column, count: 1 });
    }
    this.device.copy(gate, this.buffer, { to: row + width - 1 });
    this.filled.push({ step, present: new Set(Object.keys(losses)) });
  }

  /** Starts reading what was noted and empties the ring. */
  read(): Promise<StepLosses[]> {
    const { filled, names } = this;
    this.filled = [];
    const width = names.length + 1;
    return this.buffer.read().then(values => {
      const gates = new Uint32Array(values.buffer);
      return filled.map(({ step, present }, row) => ({
        step,
        losses: Object.fromEntries(
          names.map((name, i) => [name, present.has(name) ? values[row * width + i] : Number.NaN]),
        ),
        finite: gates[row * width + width - 1] === 0,
      }));
    });
  }

  release(): void {
    this.device.discard(this.buffer);
  }
}

/** The two words that live on the device for a step: its number and its gate. */
export class StepWords {
  readonly stepNumber: Tensor;
  readonly gate: Tensor;

  constructor(private readonly device: Device) {
    this.stepNumber = device.keep(device.empty([1], 'u32', 'step number'));
    this.gate = device.keep(device.empty([1], 'u32', 'gate'));
  }

  begin(step: number): void {
    this.device.write(this.stepNumber, [step]);
    fill(this.gate, 0);
  }

  release(): void {
    this.device.discard(this.stepNumber);
    this.device.discard(this.gate);
  }
}
