/**
 * Python's pickles, protocols 0 to 5 (the machine of Lib/pickletools.py), read as data. A pickle is a program that can
 * name any function of the system and call it; here a name is looked up in a table of holders of data, whatever is not
 * in it is refused by its name, and a call of what is in it makes a value of ours. Nothing in a file is ever executed,
 * and no length that a file claims is believed before the file has shown as many bytes.
 */
import { UserError } from '../errors.ts';
import type { RandomAccess } from '../folder.ts';
import { Input } from './input.ts';
import { latin1, unescaped, unquoted } from './texts.ts';
import { Buildable, Callable, type Globals, Instance } from './values.ts';

/** Bytes of this length and more stay in the file. */
const LONG_BYTES = 1024;
const MAX_TEXT = 1 << 24;
const MAX_ALL_TEXT = 1 << 28;
const MAX_OPERATIONS = 10_000_000;
const MAX_MARKS = 1000;
/** Bytes of an integer, decimal digits where it is written so. */
const MAX_INTEGER = 1024;

export interface PickleOptions {
  /** The file's name, for messages. */
  readonly name: string;
  readonly globals: Globals;
  /** What a persistent id (of a torch storage) stands for. */
  readonly persistent?: (id: unknown) => unknown;
  /** Where the pickle starts. Default 0. */
  readonly offset?: number;
}

/**
 * The value of the pickle in a file, and where it ends. Bytes objects of 1 KiB and more come as a FileRange, shorter
 * ones as Uint8Array.
 *
 * @throws UserError for what is no whole pickle, or names something that `globals` does not know
 */
export async function readPickle(file: RandomAccess, options: PickleOptions): Promise<{ value: unknown; end: number }> {
  const input = new Input(file, options.name, options.offset);
  const value = await new Machine(input, options).run();
  return { value, end: input.position };
}

class Machine {
  private stack: unknown[] = [];
  private readonly marks: unknown[][] = [];
  private readonly memo = new Map<number, unknown>();
  private textBytes = 0;

  constructor(
    private readonly input: Input,
    private readonly options: PickleOptions,
  ) {}

  async run(): Promise<unknown> {
    for (let count = 0; count < MAX_OPERATIONS; count++) {
      // The longest operation without a length of its own has 9 bytes.
      if (!this.input.has(16)) await this.input.fill();
      const code = this.input.u8();
      if (code === 0x2e) return this.pop(); // STOP
      if (!this.simple(code)) await this.long(code);
    }
    throw this.error(`has over ${MAX_OPERATIONS} operations in its pickle: no file of weights is so long`);
  }

  /** Operations whose arguments are short; false for the others. */
  private simple(code: number): boolean {
    const { input, stack } = this;
    switch (code) {
      case 0x80: {
        const protocol = input.u8();
        if (protocol > 5) throw this.error(`is a pickle of protocol ${protocol}: up to 5 are known`);
        return true;
      }
      case 0x95: // FRAME
        input.u64();
        return true;
      case 0x28: // MARK
        if (this.marks.length === MAX_MARKS) throw this.error(`is nested deeper than ${MAX_MARKS} levels`);
        this.marks.push(stack);
        this.stack = [];
        return true;
      case 0x30: // POP
        if (stack.length > 0) stack.pop();
        else this.popMark();
        return true;
      case 0x31: // POP_MARK
        this.popMark();
        return true;
      case 0x32: // DUP
        return this.push(this.top());
      case 0x4e: // NONE
        return this.push(null);
      case 0x88: // NEWTRUE
        return this.push(true);
      case 0x89: // NEWFALSE
        return this.push(false);
      case 0x4a: // BININT
        return this.push(input.i32());
      case 0x4b: // BININT1
        return this.push(input.u8());
      case 0x4d: // BININT2
        return this.push(input.u16());
      case 0x47: // BINFLOAT
        return this.push(input.f64());
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        return this.push([]);
      case 0x7d: // EMPTY_DICT
        return this.push(new Map());
      case 0x8f: // EMPTY_SET
        return this.push(new Set());
      case 0x6c: // LIST
      case 0x74: // TUPLE
        return this.push(this.popMark());
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.push(this.popMany(code - 0x84));
      case 0x64: // DICT
        return this.push(this.setItems(new Map(), this.popMark()));
      case 0x61: // APPEND
        return this.append([this.pop()]);
      case 0x65: // APPENDS
        return this.append(this.popMark());
      case 0x73: // SETITEM
        return this.setItemsOfTop(this.popMany(2));
      case 0x75: // SETITEMS
        return this.setItemsOfTop(this.popMark());
      case 0x90: // ADDITEMS
        return this.addItems(this.popMark());
      case 0x91: // FROZENSET
        return this.push(new Set(this.popMark()));
      case 0x68: // BINGET
        return this.recall(input.u8());
      case 0x6a: // LONG_BINGET
        return this.recall(input.u32());
      case 0x71: // BINPUT
        return this.remember(input.u8());
      case 0x72: // LONG_BINPUT
        return this.remember(input.u32());
      case 0x94: // MEMOIZE
        return this.remember(this.memo.size);
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = this.popMany(2);
        if (typeof module !== 'string' || typeof name !== 'string') throw this.damaged('a name that is no text');
        return this.push(this.global(module, name));
      }
      case 0x52: {
        // REDUCE
        const [callable, args] = this.popMany(2);
        return this.push(this.call(callable, args));
      }
      case 0x81: {
        // NEWOBJ
        const [type, args] = this.popMany(2);
        return this.push(this.call(type, args));
      }
      case 0x92: {
        // NEWOBJ_EX
        const [type, args, named] = this.popMany(3);
        if (named instanceof Map && named.size > 0) throw this.error('makes an object with named arguments');
        return this.push(this.call(type, args));
      }
      case 0x6f: {
        // OBJ
        const [type, ...args] = this.popMark();
        return this.push(this.call(type, args));
      }
      case 0x62: // BUILD
        return this.build(this.pop());
      case 0x51: // BINPERSID
        return this.push(this.persistent(this.pop()));
      default:
        return false;
    }
  }

  /** Operations that carry a text, bytes or a long integer; all others are refused. */
  private async long(code: number): Promise<void> {
    const { input } = this;
    switch (code) {
      case 0x8c: // SHORT_BINUNICODE
        this.push(await this.text(input.u8(), 'utf-8'));
        return;
      case 0x58: // BINUNICODE
        this.push(await this.text(input.u32(), 'utf-8'));
        return;
      case 0x8d: // BINUNICODE8
        this.push(await this.text(input.u64(), 'utf-8'));
        return;
      case 0x55: // SHORT_BINSTRING: Python 2's texts, which may be bytes
        this.push(await this.text(input.u8(), 'latin1'));
        return;
      case 0x54: // BINSTRING
        this.push(await this.text(input.i32(), 'latin1'));
        return;
      case 0x43: // SHORT_BINBYTES
        this.push(new Uint8Array(await input.bytes(input.u8())));
        return;
      case 0x42: // BINBYTES
        this.push(await this.bytes(input.u32()));
        return;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        this.push(await this.bytes(input.u64()));
        return;
      case 0x8a: // LONG1
        this.push(await this.integer(input.u8()));
        return;
      case 0x8b: // LONG4
        this.push(await this.integer(input.i32()));
        return;
      case 0x49: // INT
        this.push(this.decimal(await this.line()));
        return;
      case 0x4c: // LONG
        this.push(this.decimal((await this.line()).replace(/L$/, '')));
        return;
      case 0x46: // FLOAT
        this.push(this.float(await this.line()));
        return;
      case 0x53: // STRING
        this.push(this.quotedText(await this.line()));
        return;
      case 0x56: // UNICODE
        this.push(unescaped(await this.line()));
        return;
      case 0x67: // GET
        this.recall(Number(await this.line()));
        return;
      case 0x70: // PUT
        this.remember(Number(await this.line()));
        return;
      case 0x63: {
        // GLOBAL
        const module = await this.line();
        this.push(this.global(module, await this.line()));
        return;
      }
      case 0x69: {
        // INST
        const module = await this.line();
        const type = this.global(module, await this.line());
        this.push(this.call(type, this.popMark()));
        return;
      }
      default: {
        const name = REFUSED[code];
        if (name) throw this.error(`uses the pickle operation ${name}, which no file of weights needs`);
        throw this.damaged(`0x${code.toString(16).padStart(2, '0')} is no pickle operation`);
      }
    }
  }

  private push(value: unknown): true {
    this.stack.push(value);
    return true;
  }

  private pop(): unknown {
    if (this.stack.length === 0) throw this.damaged('an operation finds nothing to work on');
    return this.stack.pop();
  }

  private popMany(count: number): unknown[] {
    if (this.stack.length < count) throw this.damaged('an operation finds nothing to work on');
    return this.stack.splice(-count);
  }

  private popMark(): unknown[] {
    const items = this.stack;
    const below = this.marks.pop();
    if (!below) throw this.damaged('a mark is missing');
    this.stack = below;
    return items;
  }

  private top(): unknown {
    if (this.stack.length === 0) throw this.damaged('an operation finds nothing to work on');
    return this.stack[this.stack.length - 1];
  }

  private append(items: unknown[]): true {
    const list = this.top();
    if (!Array.isArray(list)) throw this.damaged('something is appended to what is no list');
    for (const item of items) list.push(item);
    return true;
  }

  private setItemsOfTop(items: unknown[]): true {
    const dict = this.top();
    if (!(dict instanceof Map)) throw this.damaged('an item is set in what is no dict');
    this.setItems(dict, items);
    return true;
  }

  private setItems(dict: Map<unknown, unknown>, items: unknown[]): Map<unknown, unknown> {
    if (items.length % 2 !== 0) throw this.damaged('a key has no value');
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
    return dict;
  }

  private addItems(items: unknown[]): true {
    const set = this.top();
    if (!(set instanceof Set)) throw this.damaged('something is added to what is no set');
    for (const item of items) set.add(item);
    return true;
  }

  private recall(index: number): true {
    if (!this.memo.has(index)) throw this.damaged(`it recalls value ${index}, which it has not kept`);
    return this.push(this.memo.get(index));
  }

  private remember(index: number): true {
    if (!Number.isSafeInteger(index) || index < 0) throw this.damaged(`it keeps a value as number ${index}`);
    this.memo.set(index, this.top());
    return true;
  }

  private global(module: string, name: string): Callable {
    const found = this.named(() => this.options.globals(`${module}.${name}`));
    if (found) return found;
    const shown = `${module}.${name}`.replaceAll(/[^\x20-\x7e]/g, '?');
    throw this.error(
      `names ${shown.length > 200 ? `${shown.slice(0, 200)}…` : shown}, which no file of weights needs: it is refused, and nothing in it was run`,
    );
  }

  private call(callable: unknown, args: unknown): unknown {
    if (!(callable instanceof Callable)) throw this.damaged('it calls what cannot be called');
    if (!Array.isArray(args)) throw this.damaged(`it calls ${callable.name} without arguments`);
    return this.named(() => callable.call(args));
  }

  private build(state: unknown): true {
    const object = this.top();
    if (object instanceof Instance) object.state = state;
    else if (object instanceof Buildable) this.named(() => object.setState(state));
    // Attributes of a dict, as the versions in a state dict's _metadata, say nothing that is needed.
    else if (!(object instanceof Map)) throw this.damaged('it gives attributes to what has none');
    return true;
  }

  private persistent(id: unknown): unknown {
    const { persistent } = this.options;
    if (!persistent) throw this.damaged('it names a storage outside of the file');
    return this.named(() => persistent(id));
  }

  private async text(length: number, encoding: 'utf-8' | 'latin1'): Promise<string> {
    this.textBytes += length;
    if (!(length >= 0 && length <= MAX_TEXT && this.textBytes <= MAX_ALL_TEXT)) {
      throw this.error(`has texts of ${this.textBytes} bytes in its pickle: at most ${MAX_ALL_TEXT} are read`);
    }
    const bytes = await this.input.bytes(length);
    return encoding === 'latin1' ? latin1(bytes) : new TextDecoder().decode(bytes);
  }

  private async bytes(length: number): Promise<unknown> {
    return length < LONG_BYTES ? new Uint8Array(await this.input.bytes(length)) : this.input.range(length);
  }

  private async line(): Promise<string> {
    const bytes = await this.input.line(MAX_TEXT);
    this.textBytes += bytes.length;
    if (this.textBytes > MAX_ALL_TEXT) throw this.error(`has texts of over ${MAX_ALL_TEXT} bytes in its pickle`);
    return latin1(bytes);
  }

  /** A two's complement integer, the least significant byte first. */
  private async integer(length: number): Promise<number | bigint> {
    if (!(length >= 0 && length <= MAX_INTEGER)) throw this.error(`has an integer of ${length} bytes in its pickle`);
    const bytes = await this.input.bytes(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    if (length > 0 && bytes[length - 1] & 0x80) value -= 1n << BigInt(8 * length);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  private decimal(line: string): number | bigint | boolean {
    if (line === '00') return false;
    if (line === '01') return true;
    if (!/^-?\d+$/.test(line) || line.length > MAX_INTEGER) throw this.damaged('an integer is not one');
    const value = Number(line);
    return Number.isSafeInteger(value) ? value : BigInt(line);
  }

  private float(line: string): number {
    const special: Record<string, number> = { nan: Number.NaN, inf: Infinity, '-inf': -Infinity };
    const value = special[line] ?? Number(line || 'x');
    if (Number.isNaN(value) && line !== 'nan') throw this.damaged('a number is not one');
    return value;
  }

  private quotedText(line: string): string {
    const text = unquoted(line);
    if (text === undefined) throw this.damaged('a text has no quotes');
    return text;
  }

  /** Puts the file's name before what a call has to say. */
  private named<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw error instanceof UserError ? this.error(error.message) : error;
    }
  }

  private damaged(what: string): UserError {
    return this.error(`holds no pickle, or a damaged one: ${what}`);
  }

  private error(what: string): UserError {
    return new UserError(`${this.options.name} ${what}`);
  }
}

/** Operations that Python knows and that hand out what is not in the file. */
const REFUSED: Readonly<Record<number, string>> = {
  80: 'PERSID',
  130: 'EXT1',
  131: 'EXT2',
  132: 'EXT4',
  151: 'NEXT_BUFFER',
  152: 'READONLY_BUFFER',
};
