import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const folder = new URL('../shaders/', import.meta.url);

describe.each(readdirSync(folder))('%s', file => {
  const lines = readFileSync(new URL(file, folder), 'utf8').split('\n');
  const opening = lines.slice(
    0,
    lines.findIndex(line => !line.startsWith('//')),
  );

  test('opens with what it computes, its bindings, and what a workgroup or an invocation does', () => {
    expect(opening.length).toBeGreaterThan(0);
    const bindings = lines.flatMap(line => /@binding\((\d+)\) var<storage/.exec(line)?.[1] ?? []);
    if (bindings.length === 0) return;
    const listed = opening.join('\n').matchAll(/(?:^\/\/| {2,})\s*(\d): \w+/gm);
    expect([...listed].map(([, binding]) => binding)).toEqual(bindings);
    expect(opening.join('\n')).toMatch(/workgroup|invocation/);
  });

  test('keeps to 120 columns', () => {
    expect(lines.filter(line => line.length > 120)).toEqual([]);
  });
});
