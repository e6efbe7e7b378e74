/**
 * The text layer over WGSL, for what the language cannot say: register tiles are separate variables, whose number a
 * tuner chooses, and an element type is a word.
 *
 *     //: let ROWS = 4              names a number; the kernel's options may set another
 *     //: for r in 0..ROWS          repeats the lines up to its end with r = 0, 1, … ROWS - 1
 *     //: if ROWS > 1 && HALF == 0  keeps the lines up to its end, or else those behind `//: else`
 *     //: end
 *     var c$r = vec4f(0);           $r and $(2 * r + 1) stand for the number
 *
 * Expressions are of whole numbers: + - * / % (division rounds towards 0), comparisons, && and ||, parentheses.
 */
export type Tile = Readonly<Record<string, number>>;

const DIRECTIVE = /^\s*\/\/: *(let|for|if|else|end)\b *(.*)$/;
const PLACE = /\$(?:([A-Za-z_]\w*)|\(([^()]*(?:\([^()]*\)[^()]*)*)\))/g;

/** The WGSL of a template with these numbers for those of its `let` lines. @throws on a number it does not declare */
export function expand(source: string, tile: Tile, name: string): string {
  return new Expansion(source, tile, name).text();
}

type Scope = Map<string, number>;

class Expansion {
  private readonly lines: readonly string[];
  private readonly output: string[] = [];
  private readonly declared = new Set<string>();

  constructor(
    source: string,
    private readonly tile: Tile,
    private readonly name: string,
  ) {
    this.lines = source.split('\n');
  }

  text(): string {
    const end = this.block(0, new Map());
    if (end < this.lines.length) throw this.error(end, 'nothing is open that could end');
    for (const key in this.tile) {
      if (!this.declared.has(key)) throw new Error(`shader ${this.name} has no "//: let ${key} = …"`);
    }
    return this.output.join('\n');
  }

  /**
   * Writes the lines from here to the `else` or `end` of their block, and returns where that is; skips them without a
   * scope.
   */
  private block(start: number, scope: Scope | undefined): number {
    for (let at = start; at < this.lines.length; at++) {
      const [, kind, text] = DIRECTIVE.exec(this.lines[at]) ?? [];
      if (kind === 'else' || kind === 'end') return at;
      if (kind === 'for') at = this.repeat(at, text, scope);
      else if (kind === 'if') at = this.choose(at, text, scope);
      else if (!scope) continue;
      else if (kind === 'let') this.define(at, text, scope);
      else this.output.push(this.fill(this.lines[at], at, scope));
    }
    return this.lines.length;
  }

  private define(at: number, text: string, scope: Scope): void {
    const [, key, expression] = /^(\w+) = (.+)$/.exec(text) ?? [];
    if (!key) throw this.error(at, `"let ${text}" should be "let NAME = NUMBER"`);
    this.declared.add(key);
    scope.set(key, this.tile[key] ?? this.evaluate(expression, at, scope));
  }

  private repeat(at: number, text: string, scope: Scope | undefined): number {
    const [, counter, from, to] = /^(\w+) in (.+)\.\.(.+)$/.exec(text) ?? [];
    if (!counter) throw this.error(at, `"for ${text}" should be "for i in FROM..TO"`);
    const end = this.block(at + 1, undefined);
    if (!this.isEnd(end)) throw this.error(at, '"for" has no "end"');
    if (scope) {
      const last = this.evaluate(to, at, scope);
      for (let i = this.evaluate(from, at, scope); i < last; i++) this.block(at + 1, new Map(scope).set(counter, i));
    }
    return end;
  }

  private choose(at: number, condition: string, scope: Scope | undefined): number {
    const holds = scope && this.evaluate(condition, at, scope) !== 0;
    let end = this.block(at + 1, holds ? scope : undefined);
    if (end < this.lines.length && !this.isEnd(end)) end = this.block(end + 1, holds ? undefined : scope);
    if (!this.isEnd(end)) throw this.error(at, '"if" has no "end"');
    return end;
  }

  private isEnd(at: number): boolean {
    return at < this.lines.length && DIRECTIVE.exec(this.lines[at])?.[1] === 'end';
  }

  private fill(line: string, at: number, scope: Scope): string {
    return line.replace(PLACE, (_, word, expression) => `${this.evaluate(word ?? expression, at, scope)}`);
  }

  private evaluate(expression: string, at: number, scope: Scope): number {
    return evaluate(expression, scope, what => this.error(at, `"${expression}" ${what}`));
  }

  private error(at: number, what: string): Error {
    return new Error(`shader ${this.name}, line ${at + 1}: ${what}`);
  }
}

const OPERATORS: readonly Readonly<Record<string, (a: number, b: number) => number>>[] = [
  { '||': (a, b) => +(a !== 0 || b !== 0) },
  { '&&': (a, b) => +(a !== 0 && b !== 0) },
  { '==': (a, b) => +(a === b), '!=': (a, b) => +(a !== b) },
  { '<': (a, b) => +(a < b), '>': (a, b) => +(a > b), '<=': (a, b) => +(a <= b), '>=': (a, b) => +(a >= b) },
  { '+': (a, b) => a + b, '-': (a, b) => a - b },
  { '*': (a, b) => a * b, '/': (a, b) => Math.trunc(a / b), '%': (a, b) => a % b },
];

/** The value of an expression, by precedence climbing. */
function evaluate(expression: string, scope: ReadonlyMap<string, number>, bad: (what: string) => Error): number {
  const tokens = expression.match(/\d+|\w+|[<>=!]=|&&|\|\||\S/g) ?? [];
  const operand = (): number => {
    const token = tokens.shift();
    if (token === undefined) throw bad('ends too early');
    if (token === '-') return -operand();
    if (token === '(') {
      const value = level(0);
      if (tokens.shift() !== ')') throw bad('lacks a )');
      return value;
    }
    if (/^\d+$/.test(token)) return Number(token);
    const value = scope.get(token);
    if (value === undefined) throw bad(`has the unknown name ${token}`);
    return value;
  };
  const level = (depth: number): number => {
    if (depth === OPERATORS.length) return operand();
    let value = level(depth + 1);
    const next = () => OPERATORS[depth][tokens[0] ?? ''];
    for (let operator = next(); operator; operator = next()) {
      tokens.shift();
      value = operator(value, level(depth + 1));
    }
    return value;
  };
  const value = level(0);
  if (tokens.length > 0) throw bad(`has ${tokens[0]} too many`);
  return value;
}
