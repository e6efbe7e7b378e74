/**
 * Python's pickles, protocols 0 to 5 (the machine of Lib/pickletools.py), read as data. A pickle is a program that can
 * name any function of the system and call it; here a name is looked up in a table of holders of data, whatever is not
 * in it is refused by its name, and a call of what is in it makes a value of ours. Nothing in a file is ever executed,
 * and no length that a file claims is believed before the file has shown as many bytes.
 */
import { UserError } from '../errors.ts';
import type { RandomAccess } from '../folder.ts';
import { Input } from './input.ts';
import { decimal, float, latin1, littleEndian, unescaped, unquoted } from './literals.ts';
import { Stack } from './stack.ts';
import { Buildable, Callable, type Globals, Instance, shown } from './values.ts';

/** Bytes of this length and more stay in the file. */
const LONG_BYTES = 1024;
const MAX_TEXT = 1 << 24;
const MAX_ALL_TEXT = 1 << 28;
/** Each may leave an empty dict, of some 200 bytes. */
const MAX_OPERATIONS = 2_000_000;
/** Bytes that calls may make of what the file holds once. */
const MAX_MADE = 1 << 28;
const MAX_MARKS = 1000;
/** Bytes of an integer, characters of a number that is written in digits. */
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
  private readonly stack = new Stack(what => this.damaged(what));
  private textBytes = 0;
  private madeBytes = 0;

  constructor(
    private readonly input: Input,
    private readonly options: PickleOptions,
  ) {}

  async run(): Promise<unknown> {
    for (let count = 0; count < MAX_OPERATIONS; count++) {
      // The longest operation without a length of its own has 9 bytes.
      if (!this.input.has(16)) await this.input.fill();
      const code = this.input.u8();
      if (code === 0x2e) return this.stack.pop(); // STOP
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
        if (stack.depth === MAX_MARKS) throw this.error(`is nested deeper than ${MAX_MARKS} levels`);
        return stack.mark();
      case 0x30: // POP
        return stack.drop();
      case 0x31: // POP_MARK
        stack.popMark();
        return true;
      case 0x32: // DUP
        return stack.push(stack.top());
      case 0x4e: // NONE
        return stack.push(null);
      case 0x88: // NEWTRUE
        return stack.push(true);
      case 0x89: // NEWFALSE
        return stack.push(false);
      case 0x4a: // BININT
        return stack.push(input.i32());
      case 0x4b: // BININT1
        return stack.push(input.u8());
      case 0x4d: // BININT2
        return stack.push(input.u16());
      case 0x47: // BINFLOAT
        return stack.push(input.f64());
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        return stack.push([]);
      case 0x7d: // EMPTY_DICT
        return stack.push(new Map());
      case 0x8f: // EMPTY_SET
        return stack.push(new Set());
      case 0x6c: // LIST
      case 0x74: // TUPLE
        return stack.push(stack.popMark());
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return stack.push(stack.popMany(code - 0x84));
      case 0x64: // DICT
        return stack.popDict();
      case 0x61: // APPEND
        return stack.append(stack.popMany(1));
      case 0x65: // APPENDS
        return stack.append(stack.popMark());
      case 0x73: // SETITEM
        return stack.setItems(stack.popMany(2));
      case 0x75: // SETITEMS
        return stack.setItems(stack.popMark());
      case 0x90: // ADDITEMS
        return stack.addItems(stack.popMark());
      case 0x91: // FROZENSET
        return stack.push(new Set(stack.popMark()));
      case 0x68: // BINGET
        return stack.recall(input.u8());
      case 0x6a: // LONG_BINGET
        return stack.recall(input.u32());
      case 0x71: // BINPUT
        return stack.remember(input.u8());
      case 0x72: // LONG_BINPUT
        return stack.remember(input.u32());
      case 0x94: // MEMOIZE
        return stack.memoize();
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = stack.popMany(2);
        if (typeof module !== 'string' || typeof name !== 'string') throw this.damaged('a name that is no text');
        return stack.push(this.global(module, name));
      }
      case 0x52: {
        // REDUCE
        const [callable, args] = stack.popMany(2);
        return stack.push(this.call(callable, args));
      }
      case 0x81: {
        // NEWOBJ
        const [type, args] = stack.popMany(2);
        return stack.push(this.call(type, args));
      }
      case 0x92: {
        // NEWOBJ_EX
        const [type, args, named] = stack.popMany(3);
        if (named instanceof Map && named.size > 0) throw this.error('makes an object with named arguments');
        return stack.push(this.call(type, args));
      }
      case 0x6f: {
        // OBJ
        const [type, ...args] = stack.popMark();
        return stack.push(this.call(type, args));
      }
      case 0x62: // BUILD
        return this.build(stack.pop());
      case 0x51: // BINPERSID
        return stack.push(this.persistent(stack.pop()));
      default:
        return false;
    }
  }

  /** Operations that carry a text, bytes or a long integer; all others are refused. */
  private async long(code: number): Promise<void> {
    const { input, stack } = this;
    switch (code) {
      case 0x8c: // SHORT_BINUNICODE
        stack.push(await this.text(input.u8(), 'utf-8'));
        return;
      case 0x58: // BINUNICODE
        stack.push(await this.text(input.u32(), 'utf-8'));
        return;
      case 0x8d: // BINUNICODE8
        stack.push(await this.text(input.u64(), 'utf-8'));
        return;
      case 0x55: // SHORT_BINSTRING: Python 2's texts, which may be bytes
        stack.push(await this.text(input.u8(), 'latin1'));
        return;
      case 0x54: // BINSTRING
        stack.push(await this.text(input.i32(), 'latin1'));
        return;
      case 0x43: // SHORT_BINBYTES
        stack.push(new Uint8Array(await input.bytes(input.u8())));
        return;
      case 0x42: // BINBYTES
        stack.push(await this.bytes(input.u32()));
        return;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        stack.push(await this.bytes(input.u64()));
        return;
      case 0x8a: // LONG1
        stack.push(await this.integer(input.u8()));
        return;
      case 0x8b: // LONG4
        stack.push(await this.integer(input.i32()));
        return;
      case 0x49: // INT
        stack.push(this.number('an integer', decimal, await this.line()));
        return;
      case 0x4c: // LONG
        stack.push(this.number('an integer', decimal, (await this.line()).replace(/L$/, '')));
        return;
      case 0x46: // FLOAT
        stack.push(this.number('a float', float, await this.line()));
        return;
      case 0x53: // STRING
        stack.push(this.quotedText(await this.line()));
        return;
      case 0x56: // UNICODE
        stack.push(unescaped(await this.line()));
        return;
      case 0x67: // GET
        stack.recall(Number(await this.line()));
        return;
      case 0x70: // PUT
        stack.remember(Number(await this.line()));
        return;
      case 0x63: {
        // GLOBAL
        const module = await this.line();
        stack.push(this.global(module, await this.line()));
        return;
      }
      case 0x69: {
        // INST
        const module = await this.line();
        const type = this.global(module, await this.line());
        stack.push(this.call(type, stack.popMark()));
        return;
      }
      default: {
        const name = REFUSED[code];
        if (name) throw this.error(`uses the pickle operation ${name}, which no file of weights needs`);
        throw this.damaged(`0x${code.toString(16).padStart(2, '0')} is no pickle operation`);
      }
    }
  }

  private global(module: string, name: string): Callable {
    const found = this.named(() => this.options.globals(`${module}.${name}`));
    if (found) return found;
    const full = shown(`${module}.${name}`).replaceAll(/[^\x20-\x7e…]/g, '?');
    throw this.error(`names ${full}, which no file of weights needs: it is refused, and nothing in it was run`);
  }

  private call(callable: unknown, args: unknown): unknown {
    if (!(callable instanceof Callable)) throw this.damaged('it calls what cannot be called');
    if (!Array.isArray(args)) throw this.damaged(`it calls ${callable.name} without arguments`);
    const made = this.named(() => callable.call(args));
    this.madeBytes += bytesOf(made);
    if (this.madeBytes > MAX_MADE) throw this.error(`copies over ${MAX_MADE} bytes: no file of weights does`);
    return made;
  }

  private build(state: unknown): true {
    const object = this.stack.top();
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

  private async integer(length: number): Promise<number | bigint> {
    if (!(length >= 0 && length <= MAX_INTEGER)) throw this.error(`has an integer of ${length} bytes in its pickle`);
    return littleEndian(await this.input.bytes(length));
  }

  private number<T>(kind: string, parse: (line: string) => T | undefined, line: string): T {
    const value = line.length > MAX_INTEGER ? undefined : parse(line);
    if (value === undefined) throw this.damaged(`${kind} is not one`);
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

/** About how much memory what a call returned takes by itself. */
function bytesOf(made: unknown): number {
  if (typeof made === 'string' || made instanceof Uint8Array) return made.length;
  if (Array.isArray(made)) return 8 * made.length;
  return made instanceof Map || made instanceof Set ? 64 * made.size : 0;
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
