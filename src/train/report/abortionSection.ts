import type { AbortionOptions } from '../abortionPresets.ts';
import type { RunReport } from '../report.ts';
import type { Period } from './chart.ts';
import { escapeHtml, formatMilliseconds, formatNumber, formatPercent, table } from './html.ts';
import { quantiles } from './periods.ts';

/** What the monitors did, and would have done. */
export function abortionSection({ abortion, log }: RunReport): string {
  const { preset, options, drops, floorFirings, lateFirings, firstFirings, deciles } = abortion;
  const name = escapeHtml(preset);
  const obeyed = drops.filter(({ kind }) => kind === 'obeyed');
  const scheduled = drops.filter(({ kind }) => kind === 'scheduled');
  const fired = obeyed.length + floorFirings + lateFirings > 0;
  const shadowsFired = firstFirings.some(({ observation }) => observation !== null);
  const parts = ['<h2>Abortion monitor</h2>'];
  if (options.mode === 'off') parts.push('<p>The run obeyed no monitor.</p>');
  else parts.push(`<p>The run obeyed <strong>${name}</strong>: ${describe(options)}.</p>`);
  if (!fired && !shadowsFired) {
    const watching = firstFirings.length > 0 ? ', neither one obeyed nor one that only watched' : '';
    parts.push(`<p><strong>No monitor fired</strong>${watching}.</p>`);
  } else if (!fired && options.mode !== 'off') {
    parts.push('<p><strong>It did not fire</strong> and dropped no stage.</p>');
  }
  if (obeyed.length > 0) {
    parts.push(
      `<p>It fired ${obeyed.length === 1 ? 'once and' : `${obeyed.length} times and each time`} dropped the last stage.</p>`,
    );
  }
  if (floorFirings > 0) {
    const left = options.minStages === 1 ? 'one stage' : `${options.minStages} stages`;
    parts.push(`<p>It fired ${times(floorFirings)} with ${left} left, where nothing may leave.</p>`);
  }
  if (lateFirings > 0) {
    parts.push(
      `<p>It fired ${times(lateFirings)} so near the end of the run that no step was left to train without the stage.</p>`,
    );
  }
  if (scheduled.length > 0) {
    const which = scheduled.length === 1 ? 'One drop was' : `${scheduled.length} drops were`;
    parts.push(`<p>${which} scheduled beforehand, to measure what a drop saves; no monitor asked for it.</p>`);
  }
  if (drops.length > 0) {
    const rows = drops.map(({ kind, from, to, decisionStep, effectiveStep }) => [
      kind === 'obeyed' ? `monitor ${name}` : 'schedule',
      `${from} → ${to}`,
      formatNumber(decisionStep),
      formatNumber(effectiveStep),
    ]);
    parts.push(table('llrr', ['Dropped by', 'Stages', 'decided at step', 'effective from step'], rows));
  }
  if (firstFirings.length > 0) {
    const rows = firstFirings.map(firing => [
      escapeHtml(firing.name),
      firingStep(firing, log.step),
      firing.observation === null ? '–' : formatNumber(log.active[firing.observation - 1]),
    ]);
    parts.push(
      '<h3>Monitors that only watched</h3>',
      '<p class="note">They saw every loss of the run and changed nothing. Only their first firing means something: what ' +
        'would have followed it, without the stage, did not happen.</p>',
      table('lrr', ['Monitor', 'first firing at step', 'active stages then'], rows),
    );
  }
  if (deciles.length > 0) {
    const rows = [
      ['threshold', ...deciles.map(({ threshold }) => formatNumber(threshold))],
      ['first firing at step', ...deciles.map(decile => firingStep(decile, log.step))],
    ];
    parts.push(
      '<h3>The absolute method, by threshold</h3>',
      '<p class="note"><strong>Computed afterwards</strong>, with the threshold at each decile of this run’s own losses, ' +
        'which nobody knows before the run. It shows how much the method depends on the threshold.</p>',
      table(
        `l${'r'.repeat(deciles.length)}`,
        ['losses below it', ...deciles.map(({ percent }) => `${percent} %`)],
        rows,
      ),
    );
  }
  return parts.join('\n');
}

/** The time of a step with each number of active stages. */
export function savingSection(run: RunReport, periods: Period[]): string {
  if (periods.length === 0) return '';
  const most = periods[0].active;
  const counts = [...new Set(periods.map(({ active }) => active))].sort((a, b) => b - a);
  if (counts.length === 1) {
    return `<h2>What a drop saves</h2>
<p>No stage left during the run, so there is no saving to measure; a step took ${formatMilliseconds(periods[0].ms)}.</p>`;
  }
  const medianOf = (active: number) => quantiles(run.log.msPerStep.filter((_, i) => run.log.active[i] === active));
  const slowest = medianOf(most).median;
  const rows = counts.map(active => {
    const { count, lower, median, upper } = medianOf(active);
    const drop = run.abortion.drops.find(({ to }) => to === active);
    const reason = drop ? (drop.kind === 'obeyed' ? `monitor ${escapeHtml(run.abortion.preset)}` : 'schedule') : '–';
    const bar = `<span class="bar" style="width: ${((140 * median) / slowest).toFixed(0)}px"></span>`;
    return [
      formatNumber(active),
      reason,
      formatNumber(count),
      `<strong>${formatMilliseconds(median)}</strong>`,
      `<small>${formatMilliseconds(lower)} – ${formatMilliseconds(upper)}</small>`,
      active === most ? '–' : formatPercent(1 - median / slowest),
      bar,
    ];
  });
  const head = ['Active stages', 'Dropped by', 'steps', 'median step', 'middle half', 'saved', ''];
  return `<h2>What a drop saves</h2>
<p class="note">Measured on this run: the time of a training step with each number of active stages.</p>
${table('rlrrrrl', head, rows)}`;
}

function times(count: number): string {
  return count === 1 ? 'once' : `${formatNumber(count)} times`;
}

function firingStep({ observation }: { observation: number | null }, steps: readonly number[]): string {
  return observation === null ? '<span class="muted">never</span>' : formatNumber(steps[observation - 1]);
}

/** The rule of a monitor in words. */
function describe(options: AbortionOptions): string {
  const patience = `${options.patience}${options.fireWhen === 'gt' ? ' + 1' : ''}`;
  const value = options.signal === 'trainStep' ? 'the loss' : `the mean of every ${options.window} losses`;
  const settling = [
    ...(options.warmup > 0 ? [`the first ${options.warmup}`] : []),
    ...(options.cooldown > 0 ? [`the ${options.cooldown} after each drop`] : []),
  ];
  const rules: Record<AbortionOptions['mode'], string> = {
    off: '',
    relative: `has not fallen below the one before it`,
    absolute: `has not been ${options.absoluteSense === 'resetBelow' ? 'below' : 'above'} ${formatNumber(options.thresholdA ?? Number.NaN)}`,
    best: `has not beaten the best so far by ${formatPercent(options.minDeltaRel)}`,
    marginalGain: `shows the last stage to gain less than ${formatPercent(options.tau)}`,
  };
  const after = settling.length > 0 ? `; ${settling.join(' and ')} do not count` : '';
  return `the last stage leaves when ${value} ${rules[options.mode]}, ${patience} times in a row${after}`;
}
