import { kernelRows, memoryText, moduleRows, type Row, summary } from '../train/profile/text.ts';
import { element, make } from './dom.ts';
import type { ProfileResult } from './messages.ts';

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

function tableOf(head: readonly string[], rows: readonly Row[]): HTMLElement {
  const cells = (tag: 'th' | 'td', texts: readonly string[]) => texts.map(text => make(tag, {}, text));
  const body = rows.map(({ depth, cells: texts }) => {
    const row = make('tr', {}, ...cells('td', texts));
    if (depth > 0) (row.firstChild as HTMLElement).style.paddingLeft = `${depth * 16}px`;
    return row;
  });
  const table = make('table', {}, make('thead', {}, make('tr', {}, ...cells('th', head))), make('tbody', {}, ...body));
  return make('div', { className: 'scroll' }, table);
}
