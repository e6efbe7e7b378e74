import { applyEffects } from '../../../autograd/effects.ts';
import type { Device } from '../../../runtime/device.ts';
import { fill, full } from '../../../runtime/kernels/copy.ts';
import { updateRunningAverage } from '../../../runtime/kernels/runningAverage.ts';
import type { Tensor } from '../../../runtime/tensor.ts';
import { checkFinite, replaceNonFinite } from '../../optimizers/finite.ts';
import type { Optimizer } from '../../optimizers/optimizer.ts';
import type { StepContext } from '../../training.ts';

/** What a phase computes of one micro-batch. */
export interface PhaseResult {
  /** [1], a mean over the micro-batch. */
  readonly loss: Tensor;
  /** Of the loss in the optimiser's variables. */
  readonly gradients: readonly (Tensor | undefined)[];
  /** For the log, [1] each, in the order of the phase's names. */
  readonly logged: readonly Tensor[];
}

/** A kind of step: what it computes of which images, and the optimiser that it moves by. */
export interface Phase {
  readonly name: string;
  readonly optimizer: Optimizer;
  /** Names of what it logs. */
  readonly losses: readonly string[];
  /** Gets a round's images, outside of the program. */
  readonly images?: (round: number) => Tensor;
  compute(images: Tensor | undefined): PhaseResult;
}

/**
 * Gradient accumulation: a phase computes the batch in rounds of micro-batches, one after the other by the same program,
 * and its optimiser moves by the mean of their gradients. As losses are means, that is the gradient of the whole batch,
 * but for what couples the images of a micro-batch (the minibatch deviation's groups, the mean path length). Where a
 * round is not finite its side effects and those of the rounds behind it do not happen, and the optimiser does not move.
 */
export class MicroBatches {
  /** 1, 1/2, 1/3, …: the rates by which a running average becomes the mean; and that of the round. */
  private readonly rates: Tensor;
  private readonly rate: Tensor;
  /** A number of random numbers for each round; and that of the round. */
  private readonly draws: Tensor;
  private readonly draw: Tensor;
  private readonly open: Tensor;
  private readonly loss: Tensor;
  private readonly logged = new Map<string, Tensor>();
  private readonly gradients = new Map<Optimizer, readonly Tensor[]>();

  /**
   * @param learningRate [1]
   * @param half whether gradients come of f16, where single elements may leave the range: these are replaced, and only a
   * loss that is not finite stops a step
   */
  constructor(
    private readonly device: Device,
    readonly rounds: number,
    private readonly learningRate: Tensor,
    private readonly half = false,
  ) {
    const kept = (values: readonly number[], dtype: 'f32' | 'u32' = 'f32') =>
      device.keep(device.tensor(values, [values.length], dtype));
    const each = Array.from({ length: rounds }, (_, i) => i + 1);
    this.rates = kept(each.map(i => 1 / i));
    this.draws = kept(each, 'u32');
    this.rate = kept([1]);
    this.draw = kept([1], 'u32');
    this.open = kept([0], 'u32');
    this.loss = kept([0]);
  }

  /** Before a step: every round draws random numbers of its own. */
  prepare(step: number): void {
    if (this.rounds > 1) {
      this.device.write(
        this.draws,
        Array.from({ length: this.rounds }, (_, i) => (step - 1) * this.rounds + i + 1),
      );
    }
  }

  /** The counter of the random numbers of a round, u32 [1]: the step's number where there is one round. */
  counter({ stepNumber }: StepContext): Tensor {
    return this.rounds === 1 ? stepNumber : this.draw;
  }

  /** Makes a phase of a step; returns the means of its losses. */
  run(phase: Phase, context: StepContext): Losses {
    return this.rounds === 1 ? this.whole(phase, context) : this.accumulate(phase, context);
  }

  private whole({ name, optimizer, losses, images, compute }: Phase, context: StepContext): Losses {
    const own = images?.(0);
    return context.phase(name, () => {
      const { loss, gradients, logged } = compute(own);
      optimizer.collect(gradients);
      this.move(optimizer, loss, context);
      applyEffects(context.gate);
      return named(losses, logged);
    });
  }

  private accumulate({ name, optimizer, losses, images, compute }: Phase, context: StepContext): Losses {
    const { device, rate } = this;
    const meanGradients = this.meanGradientsOf(optimizer);
    const means = losses.map(key => this.meanOf(key));
    for (const tensor of [...meanGradients, this.loss, ...means]) fill(tensor, 0);
    const average = (mean: Tensor, value: Tensor) => updateRunningAverage(mean, value, rate, this.open);
    for (let round = 0; round < this.rounds; round++) {
      device.copy(this.rates, rate, { from: round, count: 1 });
      device.copy(this.draws, this.draw, { from: round, count: 1 });
      const own = images?.(round);
      context.phase(name, () => {
        const { loss, gradients, logged } = compute(own);
        optimizer.collect(gradients);
        for (const [i, gradient] of optimizer.gradients.entries()) average(meanGradients[i], gradient);
        for (const [i, value] of logged.entries()) average(means[i], value);
        average(this.loss, loss);
        // Before the effects of this round: in a running value NaN would stay for good.
        checkFinite(this.deciding(optimizer, loss), context.gate);
        applyEffects(context.gate);
      });
    }
    context.phase(`${name} update`, () => {
      for (const [i, gradient] of optimizer.gradients.entries()) device.copy(meanGradients[i], gradient);
      this.move(optimizer, this.loss, context);
    });
    return named(losses, means);
  }

  /** Moves an optimiser by the gradients that it has collected. */
  private move(optimizer: Optimizer, loss: Tensor, { gate }: StepContext): void {
    if (this.half) replaceNonFinite(optimizer.gradients);
    checkFinite(this.deciding(optimizer, loss), gate);
    optimizer.step(this.learningRate, gate);
  }

  /** What stops a step where it is not finite. */
  private deciding({ gradients }: Optimizer, loss: Tensor): readonly Tensor[] {
    return this.half ? [loss] : [loss, ...gradients];
  }

  private meanGradientsOf(optimizer: Optimizer): readonly Tensor[] {
    const found = this.gradients.get(optimizer);
    if (found) return found;
    const { device } = this;
    const made = optimizer.gradients.map(({ size }) => device.keep(full(device, [size], 0, 'f32', 'mean gradient')));
    this.gradients.set(optimizer, made);
    return made;
  }

  private meanOf(loss: string): Tensor {
    const { device, logged } = this;
    if (!logged.has(loss)) logged.set(loss, device.keep(device.tensor([0], [1], 'f32', `mean ${loss}`)));
    return logged.get(loss)!;
  }
}

type Losses = Readonly<Record<string, Tensor>>;

function named(names: readonly string[], values: readonly Tensor[]): Losses {
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}
