import type { Device } from '../runtime/device.ts';
import { renderTrainingReport } from './report/trainingReport.ts';
import { renderReport } from './report.ts';
import type { RunResult } from './trainer.ts';
import type { Options, Training } from './training.ts';

/** report.html of a finished run. */
export function runReport(
  name: string,
  options: Readonly<Options>,
  device: Device,
  training: Training,
  { lines, measured, control, evaluation, wallSeconds }: RunResult,
): string {
  const { stages } = training;
  const series = (loss: string) => lines.map(({ losses }) => losses[loss] ?? Number.NaN);
  const { adapter } = device;
  const common = {
    title: `${name}: training run`,
    wallSeconds,
    adapter: { adapter: adapter.name, driver: adapter.driver, kind: adapter.kind },
    config: { recipe: name, ...options },
  };
  const [step, msPerStep] = [lines.map(line => line.step), lines.map(line => line.msPerStep)];
  if (!stages || !control || !evaluation) {
    const losses = Object.fromEntries(training.lossNames.map(loss => [loss, series(loss)]));
    return renderTrainingReport({ ...common, log: { step, msPerStep, losses }, metrics: measured });
  }
  const abortion = control.report();
  return renderReport({
    ...common,
    subtitle: evaluation.subtitle,
    log: { step, active: lines.map(line => line.active), msPerStep },
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
