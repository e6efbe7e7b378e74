import type { UserError } from '../errors.ts';

/**
 * What a pickle's operations work on: a stack of values with marks in it, and a memo of those that come up again.
 * Whatever takes what is not there throws `damaged`; whatever leaves something returns true.
 */
export class Stack {
  private values: unknown[] = [];
  /** The values below each mark. */
  private readonly marks: unknown[][] = [];
  private readonly memo = new Map<number, unknown>();

  constructor(private readonly damaged: (what: string) => UserError) {}

  /** The number of marks. */
  get depth(): number {
    return this.marks.length;
  }

  push(value: unknown): true {
    this.values.push(value);
    return true;
  }

  top(): unknown {
    if (this.values.length === 0) throw this.damaged('an operation finds nothing to work on');
    return this.values[this.values.length - 1];
  }

  pop(): unknown {
    return this.popMany(1)[0];
  }

  popMany(count: number): unknown[] {
    if (this.values.length < count) throw this.damaged('an operation finds nothing to work on');
    return this.values.splice(-count);
  }

  /** All values from the last mark on. */
  popMark(): unknown[] {
    const above = this.values;
    const below = this.marks.pop();
    if (!below) throw this.damaged('a mark is missing');
    this.values = below;
    return above;
  }

  mark(): true {
    this.marks.push(this.values);
    this.values = [];
    return true;
  }

  /** Takes a value, or a mark that has none. */
  drop(): true {
    if (this.values.length > 0) this.values.pop();
    else this.popMark();
    return true;
  }

  append(items: readonly unknown[]): true {
    const list = this.top();
    if (!Array.isArray(list)) throw this.damaged('something is appended to what is no list');
    for (const item of items) list.push(item);
    return true;
  }

  /** A dict of the keys and values from the last mark on, in turn. */
  popDict(): true {
    const items = this.popMark();
    this.push(new Map());
    return this.setItems(items);
  }

  setItems(items: readonly unknown[]): true {
    const dict = this.top();
    if (!(dict instanceof Map)) throw this.damaged('an item is set in what is no dict');
    if (items.length % 2 !== 0) throw this.damaged('a key has no value');
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
    return true;
  }

  addItems(items: readonly unknown[]): true {
    const set = this.top();
    if (!(set instanceof Set)) throw this.damaged('something is added to what is no set');
    for (const item of items) set.add(item);
    return true;
  }

  recall(index: number): true {
    if (!this.memo.has(index)) throw this.damaged(`it recalls value ${index}, which it has not kept`);
    return this.push(this.memo.get(index));
  }

  remember(index: number): true {
    if (!Number.isSafeInteger(index) || index < 0) throw this.damaged(`it keeps a value as number ${index}`);
    this.memo.set(index, this.top());
    return true;
  }

  memoize(): true {
    return this.remember(this.memo.size);
  }
}
