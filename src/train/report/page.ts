/** What all reports have: the page around their sections, and the settings of the run. */
import { escapeHtml } from './html.ts';
import { style } from './style.ts';

/** One HTML page without external resources or scripts; empty sections are left out. */
export function page(title: string, sections: readonly string[]): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
${sections.filter(section => section !== '').join('\n')}
</body>
</html>
`;
}

/** The configuration that repeats the run, nested objects with dotted names, and the adapter. */
export function settings({
  config,
  adapter,
}: {
  readonly config: Record<string, unknown>;
  readonly adapter: Record<string, string>;
}): string {
  return `<h2>Configuration</h2>
${definitions(flattened(config))}
<h2>Adapter</h2>
${definitions(Object.entries(adapter))}`;
}

/** A time in seconds, minutes or hours. */
export function wallTime(seconds: number): string {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  return seconds < 6000 ? `${(seconds / 60).toFixed(1)} minutes` : `${(seconds / 3600).toFixed(1)} hours`;
}

/** Nested names joined by dots. */
function flattened(config: Record<string, unknown>, prefix = ''): [string, string][] {
  return Object.entries(config).flatMap(([name, value]): [string, string][] => {
    const nested = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (nested) return flattened(value as Record<string, unknown>, `${prefix}${name}.`);
    const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'not set');
    return [[prefix + name, text]];
  });
}

function definitions(entries: [string, string][]): string {
  const rows = entries.map(([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`);
  return `<dl>\n${rows.join('\n')}\n</dl>`;
}
