import { head, rowOf } from '../train/tune/text.ts';
import { element, make } from './dom.ts';
import type { TuningStatus } from './messages.ts';
import { tableOf } from './table.ts';

/** Shows the classes of problems that a tuning has measured so far and, when it has ended, what it came to. */
export function showTuning({ recipe, classes, count, summary }: TuningStatus): void {
  element('tuning-text', HTMLElement).textContent =
    count === undefined ? recipe : `${recipe}, ${classes.length} of ${count} classes of problems`;
  element('tuning-summary', HTMLElement).replaceChildren(...(summary ?? []).map(line => make('li', {}, `${line}.`)));
  const rows = classes.map(tuned => ({ depth: 0, cells: rowOf(tuned) }));
  element('tuning-table', HTMLElement).replaceChildren(...(rows.length > 0 ? [tableOf(head, rows)] : []));
  element('tuning-box', HTMLElement).hidden = false;
}
