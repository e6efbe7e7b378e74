import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { expand, type Tile } from '../src/runtime/template.ts';

const folder = new URL('../shaders/', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, folder), 'utf8');
const EPILOGUE = 'conv_epilogue.wgsl';

interface Binding {
  readonly number: number;
  readonly kind: string;
  readonly name: string;
}

/** The comment that a shader begins with. */
function openingOf(source: string): string {
  const lines = source.split('\n');
  return lines
    .slice(
      0,
      lines.findIndex(line => !line.startsWith('//')),
    )
    .join('\n');
}

/** A shader with what its bindings depend on. */
function withEpilogue(file: string): string {
  if (file === EPILOGUE) return `//: let EPILOGUE = 1\n//: let SCALED = 0\n//: let NOISY = 0\n${read(file)}`;
  return openingOf(read(file)).includes(EPILOGUE) ? read(file) + read(EPILOGUE) : read(file);
}

/** The bindings with the numbers of a template's `let` lines, with each of them larger by one, and with all. */
function bindingsByTile(file: string): Binding[][] {
  const source = withEpilogue(file);
  const larger = [...source.matchAll(/^\/\/: let (\w+) = (\d+)$/gm)].map(([, name, number]) => ({
    [name]: +number + 1,
  }));
  const isPartOfEpilogue = (tile: Tile) => 'SCALED' in tile || 'NOISY' in tile;
  const each = larger.map(tile => (isPartOfEpilogue(tile) ? { EPILOGUE: 1, ...tile } : tile));
  const tiles: Tile[] = [{}, ...each, Object.assign({}, ...larger)];
  return tiles.map(tile =>
    [...expand(source, tile, file).matchAll(/@binding\((\d+)\) var<(storage|uniform)\b[^>]*> (\w+)/g)]
      .map(([, number, kind, name]) => ({ number: +number, kind, name }))
      .sort((a, b) => a.number - b.number),
  );
}

describe.each(readdirSync(folder))('%s', file => {
  const opening = openingOf(read(file));

  test('opens with what it computes, its bindings, and what a workgroup or an invocation does', () => {
    expect(opening.length).toBeGreaterThan(0);
    if (!/@binding\(/.test(read(file))) return;
    const listed = [...opening.matchAll(/(?:^\/\/| {2,})\s*(\d): \w+/gm)].map(([, number]) => +number);
    const [defaults, ...others] = bindingsByTile(file);
    expect(listed).toEqual(defaults.filter(({ kind }) => kind === 'storage').map(({ number }) => number));
    for (const bindings of [defaults, ...others]) {
      expect(bindings.map(({ number }) => number)).toEqual(bindings.map((_, i) => listed[0] + i));
      expect(bindings.slice(0, -1).filter(({ kind }) => kind === 'uniform')).toEqual([]);
      expect(bindings.filter(({ kind }) => kind === 'storage').length).toBeLessThanOrEqual(8);
      // What only some tiles bind has no number in the list, but its name and shape.
      for (const { name } of bindings.filter(({ number, kind }) => kind === 'storage' && !listed.includes(number)))
        expect(opening + openingOf(read(EPILOGUE))).toMatch(new RegExp(`\\b${name} +\\[`));
    }
    expect(opening).toMatch(/workgroup|invocation/);
  });

  test('keeps to 120 columns', () => {
    expect(
      read(file)
        .split('\n')
        .filter(line => line.length > 120),
    ).toEqual([]);
  });
});
