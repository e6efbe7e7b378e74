import type { Device } from '../runtime/device.ts';
import { renderReport } from './report.ts';
import type { LogLine } from './runLog.ts';
import type { RunResult } from './trainer.ts';
import type { Options, Training } from './training.ts';

/** report.html of a finished run with stages, or undefined for a training without. */
export function runReport(
  name: string,
  options: Readonly<Options>,
  device: Device,
  training: Training,
  { lines, control, evaluation, wallSeconds }: RunResult,
): string | undefined {
  const { stages } = training;
  if (!stages || !control || !evaluation) return undefined;
  const series = (loss: string) => lines.map(({ losses }) => losses[loss] ?? Number.NaN);
  const { adapter } = device;
  const abortion = control.report();
  return renderReport({
    title: `${name}: training run`,
    subtitle: evaluation.subtitle,
    wallSeconds,
    adapter: { adapter: adapter.name, driver: adapter.driver, kind: adapter.kind },
    config: { recipe: name, ...options },
    log: {
      step: lines.map((line: LogLine) => line.step),
      active: lines.map(line => line.active),
      msPerStep: lines.map(line => line.msPerStep),
    },
    terms: stages.terms,
    stages: Array.from({ length: stages.initial }, (_, i) => ({
      total: series(stages.lossName(i + 1)),
      terms: Object.fromEntries(stages.terms.map(term => [term.name, series(stages.lossName(i + 1, term.name))])),
    })),
    abortion,
    reconstructions: { step: lines[lines.length - 1]?.step ?? 0, rows: evaluation.reconstructions },
    metrics: {
      description: evaluation.description,
      resultStage: stages.initial - abortion.drops.filter(({ kind }) => kind === 'obeyed').length,
      rows: evaluation.metrics,
    },
  });
}
