/** What a progress line tells. */
export interface ProgressStatus {
  step: number;
  /** Steps of the whole run. */
  steps: number;
  /** Named losses of the last step, in the order of printing. */
  losses: Record<string, number>;
  activeStages: number;
  /** At the start; 0 in a run without stages. */
  stages: number;
  imagesPerSecond: number;
  /** The share of the time that was spent waiting for data, where it is read from a disk. */
  waited?: number;
  secondsLeft: number;
}

/** Where progress goes: a terminal or a pipe, such as process.stdout. */
export interface ProgressStream {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

/** Seconds as '42 s', '3:07' or '1:02:09'; '–' if not known. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–';
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (n: number) => String(n).padStart(2, '0');
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** A loss in a constant width where it can be: four digits after the point, or scientific outside [0.001, 10000). */
export function formatLoss(loss: number): string {
  if (!Number.isFinite(loss)) return String(loss);
  const size = Math.abs(loss);
  return size !== 0 && (size < 1e-3 || size >= 1e4) ? loss.toExponential(2) : loss.toFixed(size < 10 ? 4 : 2);
}

/** Images a second with three digits. */
export function formatRate(imagesPerSecond: number): string {
  const digits = imagesPerSecond < 10 ? 2 : imagesPerSecond < 100 ? 1 : 0;
  return `${Number.isFinite(imagesPerSecond) ? imagesPerSecond.toFixed(digits) : '–'} img/s`;
}

/** A share in per cent: what was spent waiting for data. */
export function formatShare(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** A bar of `width` characters, resolved to an eighth of one. */
export function formatBar(fraction: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, fraction)) * width * 8);
  const partial = eighths % 8 === 0 ? '' : ' ▏▎▍▌▋▊▉'[eighths % 8];
  return ('█'.repeat(Math.floor(eighths / 8)) + partial).padEnd(width, '░');
}

/** One line for a log file or a pipe. */
export function formatLine(status: ProgressStatus): string {
  const { losses, stages, rate, waited, left } = parts(status);
  return [`step ${status.step}/${status.steps}`, ...losses, ...stages, rate, ...waited, left].join('  ');
}

/** One line for a terminal, at most `columns` wide: what does not fit is left out from the end. */
export function formatBarLine(status: ProgressStatus, columns: number): string {
  const { losses, stages, rate, waited, left } = parts(status);
  const step = `${String(status.step).padStart(String(status.steps).length)}/${status.steps}`;
  const width = Math.max(6, Math.min(24, Math.floor(columns / 5)));
  let line = `${formatBar(status.step / status.steps, width)} ${step} · ${left}`;
  for (const part of [...losses.slice(0, 1), ...stages, rate, ...waited, ...losses.slice(1)]) {
    if (line.length + part.length + 3 > columns) break;
    line += ` · ${part}`;
  }
  return line.slice(0, columns);
}

function parts(status: ProgressStatus) {
  return {
    losses: Object.entries(status.losses).map(([name, loss]) => `${name} ${formatLoss(loss)}`),
    stages: status.stages > 0 ? [`stages ${status.activeStages}/${status.stages}`] : [],
    rate: formatRate(status.imagesPerSecond),
    waited: status.waited === undefined ? [] : [`data ${formatShare(status.waited)}`],
    left: `${formatDuration(status.secondsLeft)} left`,
  };
}

/**
 * Shows how a run goes on: on a terminal one line that is drawn over itself, elsewhere a plain line at most every
 * `interval` seconds. `now` is the clock, in milliseconds.
 */
export class Progress {
  private readonly stream: ProgressStream;
  private readonly interval: number;
  private readonly now: () => number;
  private lastShown = -Infinity;
  private latest: ProgressStatus | undefined;
  private drawn = false;
  private shown = false;

  constructor(
    stream: ProgressStream,
    {
      interval = stream.isTTY ? 0.1 : 10,
      now = () => performance.now(),
    }: { interval?: number; now?: () => number } = {},
  ) {
    this.stream = stream;
    this.interval = interval;
    this.now = now;
  }

  update(status: ProgressStatus): void {
    this.latest = status;
    this.shown = false;
    if (this.now() - this.lastShown < this.interval * 1000) return;
    this.lastShown = this.now();
    this.show();
  }

  /** A message on a line of its own, above the bar. */
  message(text: string): void {
    this.clear();
    this.stream.write(`${text}\n`);
    if (this.stream.isTTY && this.latest) this.show();
  }

  /** Shows the last status, whenever the one before it was, and leaves the line. */
  end(): void {
    if (this.latest && !this.shown) this.show();
    if (this.drawn) this.stream.write('\n');
    this.drawn = false;
    this.latest = undefined;
  }

  private show(): void {
    this.shown = true;
    if (!this.stream.isTTY) {
      this.stream.write(`${formatLine(this.latest!)}\n`);
      return;
    }
    this.clear();
    // One column stays free: some terminals wrap when the last one is written.
    this.stream.write(formatBarLine(this.latest!, (this.stream.columns ?? 80) - 1));
    this.drawn = true;
  }

  private clear(): void {
    if (this.drawn) this.stream.write('\r\x1b[K');
    this.drawn = false;
  }
}
