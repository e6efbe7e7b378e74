import { describe, expect, test } from 'vitest';
import { expand } from '../src/runtime/template.ts';

const lines = (...text: string[]) => text.join('\n');

describe('the text layer over WGSL', () => {
  test('leaves plain WGSL as it is', () => {
    const source = lines('// a comment: with let x = 4', 'fn f() -> u32 { return 1u; }', '');
    expect(expand(source, {}, 's')).toBe(source);
  });

  test('repeats lines, nested, with expressions of the counters', () => {
    const source = lines(
      '//: let ROWS = 2',
      '//: for r in 0..ROWS',
      '  //: for c in r..ROWS + 1',
      'c$(r)_$c = $(10 * r + c / 2) % $ROWS;',
      '  //: end',
      '//: end',
      'after',
    );
    expect(expand(source, {}, 's')).toBe(
      lines('c0_0 = 0 % 2;', 'c0_1 = 0 % 2;', 'c0_2 = 1 % 2;', 'c1_1 = 10 % 2;', 'c1_2 = 11 % 2;', 'after'),
    );
    expect(expand(source, { ROWS: 0 }, 's')).toBe('after');
  });

  test('keeps one side of a choice, also where choices lie in one another', () => {
    const source = lines(
      '//: let A = 1',
      '//: let B = A + 1',
      '//: if A == 1 && (B < 2 || B > 4)',
      'first $B',
      '//: if B == 5',
      'five',
      '//: end',
      '//: else',
      'second $(A - B * 2)',
      '//: end',
    );
    expect(expand(source, {}, 's')).toBe('second -3');
    expect(expand(source, { B: 1 }, 's')).toBe('first 1');
    expect(expand(source, { B: 5 }, 's')).toBe(lines('first 5', 'five'));
    expect(expand(source, { A: 7 }, 's')).toBe('second -9');
  });

  test.each([
    [['//: for i in 0..2', 'x'], 'line 1: "for" has no "end"'],
    [['//: if 1', 'x'], 'line 1: "if" has no "end"'],
    [['x', '//: end'], 'line 2: nothing is open'],
    [['//: for i = 0', '//: end'], 'should be "for i in FROM..TO"'],
    [['$MISSING'], 'unknown name MISSING'],
    [['$(1 +)'], 'ends too early'],
    [['$(1 2)'], 'has 2 too many'],
  ])('%j is refused', (source, message) => {
    expect(() => expand(lines(...source), {}, 's')).toThrow(message);
  });

  test('a number that the template does not declare is refused', () => {
    expect(() => expand('x', { ROWS: 1 }, 's')).toThrow('shader s has no "//: let ROWS = …"');
  });
});
