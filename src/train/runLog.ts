import type { Folder } from '../io/files.ts';
import { encodePng, type Rgb8 } from '../io/images.ts';
import { EventWriter, eventFileName } from '../io/tensorboard.ts';
import type { StepLosses } from './ring.ts';

/** One line of log.jsonl. */
export interface LogLine extends StepLosses {
  readonly active: number;
  /** The step's share of the time that its ring took, from the arrival of the losses before to that of its own. */
  readonly msPerStep: number;
  /** How much of its ring's time the step waited for data, in trainings that read them from a disk. */
  readonly waitedMs?: number;
  /** Images trained on so far. */
  readonly images: number;
  /** The abortion monitor after this step, in runs with stages. */
  readonly monitor?: { count: number; good: boolean | null; baseline: number | null; event?: string };
}

/** The share of these steps' time that they waited for data; undefined where it is not read from a disk. */
export function waitedShare(lines: readonly LogLine[]): number | undefined {
  const timed = lines.filter(({ waitedMs }) => waitedMs !== undefined);
  if (timed.length === 0) return undefined;
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  return sum(timed.map(({ waitedMs }) => waitedMs!)) / sum(timed.map(({ msPerStep }) => msPerStep));
}

const METRICS = 'metrics.jsonl';

/** One line of metrics.jsonl. */
export interface MetricLine {
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/**
 * What a run writes while it goes: log.jsonl, metrics.jsonl, TensorBoard events and sample grids. Writes are ordered
 * and not awaited.
 */
export class RunLog {
  readonly lines: LogLine[] = [];
  readonly measured: MetricLine[] = [];
  private queue: Promise<void> = Promise.resolve();
  private failure: unknown;
  private readonly events: EventWriter;

  private constructor(
    private readonly folder: Folder,
    eventFile: string,
  ) {
    this.events = new EventWriter(bytes => this.enqueue(() => folder.append(eventFile, bytes)));
  }

  /**
   * Opens the log of a run, and forgets its lines after `lastStep` and the metrics after the step of the checkpoint: what
   * a killed run did after these is done again.
   */
  static async open(folder: Folder, lastStep: number, checkpoint = lastStep): Promise<RunLog> {
    const log = new RunLog(folder, `events/${eventFileName(Math.floor(Date.now() / 1000), 'wgrad')}`);
    if (await folder.exists('log.jsonl')) {
      log.lines.push(...(await readLog(folder, lastStep)));
      await folder.write('log.jsonl', log.lines.map(formatLine).join(''));
    }
    if (await folder.exists(METRICS)) {
      log.measured.push(...(await readMetricLines(folder, checkpoint)));
      await folder.write(METRICS, log.measured.map(line => `${JSON.stringify(line)}\n`).join(''));
    }
    await folder.folder('events');
    return log;
  }

  /** Notes the steps of one ring. */
  add(lines: readonly LogLine[]): void {
    this.lines.push(...lines);
    this.enqueue(() => this.folder.append('log.jsonl', lines.map(formatLine).join('')));
    for (const { step, losses, msPerStep, waitedMs, active } of lines) {
      const scalars: Record<string, number> = { 'time/ms per step': msPerStep };
      if (waitedMs !== undefined) scalars['time/ms waited for data'] = waitedMs;
      if (active > 0) scalars['stages/active'] = active;
      for (const [name, value] of Object.entries(losses)) if (!Number.isNaN(value)) scalars[`loss/${name}`] = value;
      this.events.scalars(scalars, step);
    }
  }

  /** Notes what was measured behind a step. */
  addMetrics(line: MetricLine): void {
    this.measured.push(line);
    this.enqueue(() => this.folder.append(METRICS, `${JSON.stringify(line)}\n`));
    const scalars = Object.entries(line.metrics).map(([name, value]) => [`metric/${name}`, value] as const);
    this.events.scalars(Object.fromEntries(scalars), line.step);
  }

  /** Writes a grid of samples as samples/step-NNNNNNNN.png and into the events. */
  async addSamples(step: number, grid: Rgb8): Promise<void> {
    const png = await encodePng(grid);
    const folder = await this.folder.folder('samples');
    this.enqueue(() => folder.write(`step-${String(step).padStart(8, '0')}.png`, png));
    this.events.image('samples', { width: grid.width, height: grid.height, png }, step);
  }

  /** Waits until everything is written; throws if something was not. */
  async flush(): Promise<void> {
    await this.queue;
    if (this.failure) throw this.failure;
  }

  private enqueue(write: () => Promise<void>): void {
    this.queue = this.queue.then(write).catch(error => {
      this.failure ??= error;
    });
  }
}

/** The lines of a run's log.jsonl up to a step; none where it has not begun. */
export async function readLog(folder: Folder, lastStep: number): Promise<LogLine[]> {
  if (!(await folder.exists('log.jsonl'))) return [];
  const lines = (await folder.readText('log.jsonl')).split('\n').map(parseLine);
  return lines.filter(line => line !== undefined).filter(({ step }) => step <= lastStep);
}

async function readMetricLines(folder: Folder, lastStep: number): Promise<MetricLine[]> {
  const lines = (await folder.readText(METRICS)).split('\n').map(text => {
    try {
      return JSON.parse(text) as MetricLine;
    } catch {
      return undefined; // as in the log
    }
  });
  return lines.filter(line => line !== undefined).filter(({ step }) => step <= lastStep);
}

/** A log line as JSON: losses that are not there are left out, NaN and infinity are texts. */
function formatLine({ losses, ...line }: LogLine): string {
  const shown: Record<string, number | string> = {};
  for (const [name, value] of Object.entries(losses)) {
    if (Number.isFinite(value)) shown[name] = value;
    else if (!line.finite || !Number.isNaN(value)) shown[name] = String(value);
  }
  return `${JSON.stringify({ ...line, losses: shown })}\n`;
}

function parseLine(text: string): LogLine | undefined {
  try {
    const line = JSON.parse(text) as LogLine;
    const losses = Object.fromEntries(Object.entries(line.losses).map(([name, value]) => [name, Number(value)]));
    return { ...line, losses };
  } catch {
    return undefined; // the last line of a killed run may be cut off
  }
}
