import type { Folder } from '../io/files.ts';
import { Device, DeviceLost } from '../runtime/device.ts';
import { recipes } from '../train/recipes/index.ts';
import { createTraining, trainAndReport } from '../train/run.ts';
import { applyVariants, type RunConfig } from '../train/runConfig.ts';
import type { Watcher } from '../train/trainer.ts';
import type { Training } from '../train/training.ts';

/** Losses of the device without a step between them that are worth another attempt. */
const MAX_LOST = 3;
/** A lost device is known as such only some time after its first operation failed, in milliseconds. */
const LOST_AFTER = 500;
/** A browser whose GPU process has just died offers no adapter for a moment, in milliseconds. */
const REOPEN_AFTER = 1000;
const REOPEN_ATTEMPTS = 10;

export interface SessionOptions {
  readonly config: RunConfig;
  /** There is a checkpoint that it goes on from. */
  readonly resumed: boolean;
  readonly watcher: Watcher;
  /** A device that is open already, for this session alone. */
  readonly device?: Device;
  /** The device was lost: the run is about to go on from its last checkpoint. */
  readonly onLost: (reason: string) => void;
}

/**
 * The training of a run in the page's storage: it can pause, and goes on by itself on a new device when the old one is
 * lost.
 */
export class Session {
  private device: Device | undefined;
  private training: Training | undefined;
  private wantsStop = false;
  private lost = 0;

  constructor(private readonly options: SessionOptions) {
    this.device = options.device;
  }

  /** Builds the networks. Everything that can be wrong with the settings shows here, before anything is written. */
  async build(): Promise<{ device: Device; training: Training }> {
    const { config, resumed, watcher } = this.options;
    const { recipe, options } = config;
    this.device ??= await Device.open();
    if (!this.training) await applyVariants(config, this.device, watcher.message);
    this.training ??= await createTraining(recipes[recipe], {
      device: this.device,
      options,
      resumed,
      message: watcher.message,
    });
    return { device: this.device, training: this.training };
  }

  /** Trains from the newest checkpoint until the end, or until `stop`: then it is false. */
  async run(folder: Folder): Promise<boolean> {
    this.wantsStop = false;
    for (;;) {
      try {
        return await this.train(folder);
      } catch (error) {
        const reason = await this.reasonOfLoss(error);
        if (reason === undefined || ++this.lost > MAX_LOST) throw error;
        this.close();
        this.options.onLost(reason);
        await this.reopen();
      }
    }
  }

  /** Asks the run to save and to end; it can go on with `run`. */
  stop(): void {
    this.wantsStop = true;
  }

  /** Gives the device back with everything on it. */
  close(): void {
    this.device?.destroy();
    this.device = undefined;
    this.training = undefined;
  }

  private async train(folder: Folder): Promise<boolean> {
    const { config, watcher } = this.options;
    const { device, training } = await this.build();
    const { finished } = await trainAndReport({
      config,
      device,
      training,
      folder,
      watcher: {
        ...watcher,
        shouldStop: () => this.wantsStop,
        progress: status => {
          this.lost = 0;
          watcher.progress?.(status);
        },
      },
    });
    return finished;
  }

  /** Why the device was lost, if that is what the error comes from. */
  private async reasonOfLoss(error: unknown): Promise<string | undefined> {
    if (error instanceof DeviceLost) return error.message;
    if (!this.device) return undefined;
    const lost = this.device.gpu.lost.then(({ message }) => `the GPU device was lost: ${message}`);
    const timeout = new Promise<undefined>(resolve => setTimeout(resolve, LOST_AFTER));
    return Promise.race([lost, timeout]);
  }

  private async reopen(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.device = await Device.open();
        return;
      } catch (error) {
        if (attempt === REOPEN_ATTEMPTS) throw error;
        await new Promise(resolve => setTimeout(resolve, REOPEN_AFTER));
      }
    }
  }
}
