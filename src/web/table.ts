import type { Row } from '../train/profile/text.ts';
import { make } from './dom.ts';

/** A table that scrolls in a box of its own; rows below others are indented. */
export function tableOf(head: readonly string[], rows: readonly Row[]): HTMLElement {
  const cells = (tag: 'th' | 'td', texts: readonly string[]) => texts.map(text => make(tag, {}, text));
  const body = rows.map(({ depth, cells: texts }) => {
    const row = make('tr', {}, ...cells('td', texts));
    if (depth > 0) (row.firstChild as HTMLElement).style.paddingLeft = `${depth * 16}px`;
    return row;
  });
  const table = make('table', {}, make('thead', {}, make('tr', {}, ...cells('th', head))), make('tbody', {}, ...body));
  return make('div', { className: 'scroll' }, table);
}
