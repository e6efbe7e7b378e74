/** Text as HTML that shows it, in an element or in a quoted attribute. */
export function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, character => entities[character]);
}

/** A number with four significant digits, the usual minus sign, and ×10ⁿ where it is very small or large. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'not a number' : value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  const sign = value < 0 ? '−' : '';
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) {
    const [digits, exponent] = size.toExponential(2).split('e');
    return `${sign}${digits} × 10${superscript(Number(exponent))}`;
  }
  if (Number.isInteger(value)) return sign + grouped(size.toFixed(0));
  return sign + grouped(size.toFixed(Math.max(0, 3 - Math.max(-1, Math.floor(Math.log10(size))))));
}

/** A part of one as per cent. */
export function formatPercent(part: number): string {
  const digits = Math.abs(part) < 0.1 ? 1 : 0;
  return Number.isFinite(part) ? `${(part * 100).toFixed(digits).replace('-', '−')} %` : '–';
}

/** Milliseconds with three digits, in seconds from ten of them on. */
export function formatMilliseconds(ms: number): string {
  if (!Number.isFinite(ms)) return '–';
  if (ms >= 10000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
}

/** Three significant digits, or all before the point. */
export function formatDigits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Bytes with three digits, in powers of 1024. */
export function formatBytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(count) / 10)));
  return `${Number((count / 1024 ** power).toPrecision(3))} ${units[power]}`;
}

/** A table: `align` is one letter a column, l or r; the cells are HTML. */
export function table(align: string, head: string[], rows: string[][]): string {
  const cell = (tag: 'th' | 'td', html: string, column: number) =>
    `<${tag}${align[column] === 'r' ? ' class="number"' : ''}>${html}</${tag}>`;
  const line = (tag: 'th' | 'td', cells: string[]) => `<tr>${cells.map((html, i) => cell(tag, html, i)).join('')}</tr>`;
  const body = rows.map(row => line('td', row)).join('\n');
  return `<div class="scroll"><table>\n<thead>${line('th', head)}</thead>\n<tbody>\n${body}\n</tbody>\n</table></div>`;
}

/** Digits in groups of three, with narrow no-break spaces, from five digits on. */
function grouped(digits: string): string {
  const [whole, fraction] = digits.split('.');
  const spaced = whole.length < 5 ? whole : whole.replace(/(?<=\d)(?=(\d{3})+$)/g, '\u202f');
  return fraction === undefined ? spaced : `${spaced}.${fraction}`;
}

/** An exponent as raised digits. */
export function superscript(exponent: number): string {
  return [...String(exponent)].map(digit => (digit === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(digit)])).join('');
}
