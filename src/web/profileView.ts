import { kernelRows, memoryText, moduleRows, summary } from '../train/profile/text.ts';
import { element, make } from './dom.ts';
import type { ProfileResult } from './messages.ts';
import { tableOf } from './table.ts';

/** Shows a profile: what a step took, its kernels, its modules and its memory. */
export function showProfile({ recipe, report, memory, picture }: ProfileResult): void {
  const lines = [...summary(report), ['memory', memoryText(memory)] as const];
  element('profile-text', HTMLElement).textContent =
    `${recipe}, the mean of ${report.steps} steps. ${report.warnings.map(warning => `Note: ${warning}.`).join(' ')}`;
  element('profile-summary', HTMLElement).replaceChildren(
    ...lines.map(([name, text]) => make('div', {}, make('dt', {}, name), make('dd', {}, text))),
  );
  element('profile-tables', HTMLElement).replaceChildren(
    ...[kernelRows(report), moduleRows(report)].map(({ head, rows }) => tableOf(head, rows)),
  );
  const image = element('profile-memory', HTMLImageElement);
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(new Blob([picture], { type: 'image/svg+xml' }));
  element('profile-box', HTMLElement).hidden = false;
}
