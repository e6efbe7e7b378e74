import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { UserError } from '../src/io/errors.ts';
import type { RandomAccess } from '../src/io/folder.ts';
import { readPickle } from '../src/io/pickle/reader.ts';
import { FileRange, MemoryFile } from '../src/io/ranges.ts';
import { torchGlobals } from '../src/io/torch/globals.ts';

const globals = torchGlobals({ tensor: () => {}, embedded: () => {} });

function read(pickle: string | Uint8Array, file?: RandomAccess): Promise<unknown> {
  const bytes = typeof pickle === 'string' ? Buffer.from(pickle, 'latin1') : pickle;
  return readPickle(file ?? new MemoryFile(bytes), { name: 'a.pkl', globals }).then(({ value }) => value);
}

describe('values', () => {
  const lines = readFileSync(join(import.meta.dirname, 'fixtures', 'foreign', 'pickles.txt'), 'utf8')
    .trim()
    .split('\n');
  test.each(lines.map(line => line.split(' ')))('protocol %s, as Python writes it', async (_, hex) => {
    const value = (await read(Buffer.from(hex, 'hex'))) as Map<string, unknown>;
    const numbers = [1, -2, 255, 65535, 2 ** 31, -(2 ** 40), 2n ** 80n, -(2n ** 80n)];
    expect(value.get('a')).toEqual(numbers);
    expect(value.get('b')).toEqual([true, false, null]);
    expect(value.get('c')).toEqual([[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]);
    expect(value.get('d')).toBe(1.5);
    expect(value.get('e')).toBe('déjà\n€');
    expect(value.get('f')).toEqual(Uint8Array.of(0, 255));
    expect(value.get('g')).toEqual(new Map([['x', 1]]));
    expect(value.get('h')).toEqual(new Set([1, 2]));
    expect(value.get('i')).toBe(Infinity);
    expect(value.get('j')).toBe(value.get('a'));
  });

  test('long bytes stay in the file', async () => {
    const size = 10_000_000;
    let bytesRead = 0;
    const head = Buffer.from('\x80\x03(B\0\0\0\0', 'latin1');
    head.writeUInt32LE(size, 4);
    const file: RandomAccess = {
      size: head.length + size + 2,
      async read(offset, length) {
        bytesRead += length;
        const bytes = new Uint8Array(length).fill(7);
        for (let i = 0; i < length; i++) {
          if (offset + i < head.length) bytes[i] = head[offset + i];
          if (offset + i === this.size - 2) bytes[i] = 0x74; // TUPLE
          if (offset + i === this.size - 1) bytes[i] = 0x2e;
        }
        return bytes;
      },
    };
    const [range] = (await read('', file)) as [FileRange];
    expect(range).toBeInstanceOf(FileRange);
    expect(range.size).toBe(size);
    expect((await range.read(size - 1, 5)).length).toBe(1);
    expect(bytesRead).toBeLessThan(1_000_000);
  });

  test("a dict's attributes are passed over, a namespace's are kept", async () => {
    expect(await read('ccollections\nOrderedDict\n)R}U\x01aK\x01sb.')).toEqual(new Map());
    expect(await read('cargparse\nNamespace\n)R}U\x01aK\x01sb.')).toMatchObject({ state: new Map([['a', 1]]) });
  });
});

describe('what a pickle may not do', () => {
  test.each([
    ['cos\nsystem\n(U\x04echo\x85R.', 'os.system'],
    ['cposix\nsystem\n(U\x04echo\x85R.', 'posix.system'],
    ['c__builtin__\neval\n(U\x031+1tR.', '__builtin__.eval'],
    ['\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x01x\x85R.', 'builtins.exec'],
    ['(S"x"\nios\nsystem\n.', 'os.system'],
    ['csubprocess\nPopen\n.', 'subprocess.Popen'],
    ['cbuiltins\ngetattr\n.', 'builtins.getattr'],
    ['ctorch.hub\nload\n.', 'torch.hub.load'],
    ['ctorch\nload\n.', 'torch.load'],
    ['ctorch.nn.modules.module\n__builtins__.eval\n.', 'torch.nn.modules.module.__builtins__.eval'],
    ['cnumpy\nload\n.', 'numpy.load'],
    ['cnumpy.testing._private.utils\nrunstring\n.', 'numpy.testing._private.utils.runstring'],
    ['cdnnlib.util\nget_obj_by_name\n.', 'dnnlib.util.get_obj_by_name'],
  ])('a name outside of the list is refused by its name', async (pickle, name) => {
    await expect(read(pickle)).rejects.toThrow(`a.pkl names ${name}, which no file of weights needs: it is refused`);
  });

  test.each([
    ['\x80\x02\x82\x01.', 'EXT1'],
    ['\x80\x05\x97.', 'NEXT_BUFFER'],
    ['Psomewhere\n.', 'PERSID'],
  ])('operations that reach outside of the file are refused by their name', async (pickle, name) => {
    await expect(read(pickle)).rejects.toThrow(`the pickle operation ${name}, which no file of weights needs`);
  });

  test('a persistent id without storages, a call of data, a stack that is empty, an unknown operation', async () => {
    await expect(read('U\x01aQ.')).rejects.toThrow('names a storage outside of the file');
    await expect(read('U\x01a)R.')).rejects.toThrow('it calls what cannot be called');
    await expect(read('ccollections\nOrderedDict\nU\x01aR.')).rejects.toThrow('without arguments');
    await expect(read('R.')).rejects.toThrow('finds nothing to work on');
    await expect(read('t.')).rejects.toThrow('a mark is missing');
    await expect(read('\x01')).rejects.toThrow('0x01 is no pickle operation');
    await expect(read('K\x01K\x01a.')).rejects.toThrow('no list');
    await expect(read('K\x01}b.')).rejects.toThrow('attributes to what has none');
    await expect(read('\x80\x09.')).rejects.toThrow('protocol 9');
  });

  test('lengths that the file does not have cost nothing', async () => {
    const claims = [
      'X\xff\xff\xff\xff',
      'B\xff\xff\xff\xff',
      '\x8e\xff\xff\xff\xff\xff\xff\xff\xff',
      '\x8d\0\0\0\0\0\0\0\x7f',
    ];
    for (const claim of [...claims, '\x96\xff\xff\xff\xff\xff\xff\xff\x7f', 'T\xff\xff\xff\x7f', 'T\xff\xff\xff\xff']) {
      await expect(read(`${claim}abc`)).rejects.toThrow(UserError);
    }
    await expect(read('\x8b\xff\xff\xff\x7f1')).rejects.toThrow('an integer of 2147483647 bytes');
    await expect(read('\x8b\xff\xff\xff\xff1')).rejects.toThrow('an integer of -1 bytes');
    await expect(read(`I${'9'.repeat(5000)}\n.`)).rejects.toThrow('an integer is not one');
  });

  test('memo: a number that was not kept, a huge one, one that is none', async () => {
    await expect(read('h\x05.')).rejects.toThrow('it recalls value 5');
    await expect(read('K\x01r\xff\xff\xff\xffj\xff\xff\xff\xff\x86.')).resolves.toEqual([1, 1]);
    await expect(read('K\x01p-1\n.')).rejects.toThrow('keeps a value as number -1');
    await expect(read('K\x01pNaN\n.')).rejects.toThrow('keeps a value as number NaN');
    await expect(read('gx\n.')).rejects.toThrow('it recalls value NaN');
  });

  test('names of what every object of JavaScript has are no numbers', async () => {
    await expect(read('Fconstructor\n.')).rejects.toThrow('a float is not one');
    expect(await read('Fnan\n.')).toBeNaN();
  });

  test('work beyond what the file holds is refused: operations, copies, calls of calls', async () => {
    await expect(read(`${'N0'.repeat(1_000_000)}N.`)).rejects.toThrow('over 2000000 operations');
    const text = Buffer.alloc(5 + (1 << 24), 'a');
    text.write('X\0\0\0\x01', 'latin1');
    const again = Buffer.from('c_codecs\nencode\nh\0U\x06latin1\x86R0'.repeat(20), 'latin1');
    const copies = Buffer.concat([text, Buffer.from('q\x000', 'latin1'), again, Buffer.from('N.')]);
    await expect(read(copies)).rejects.toThrow('copies over 268435456 bytes');
    const lists = `](${'N'.repeat(1000)}eq\x000${'cbuiltins\nlist\nh\0\x85R0'.repeat(40_000)}N.`;
    await expect(read(lists)).rejects.toThrow('copies over 268435456 bytes');
    const call = 'ctorch._tensor\n_rebuild_from_type_v2\n';
    await expect(read(`]q\0(${call}Nh\0e0${call}h\0R.`)).rejects.toThrow('rebuilds a tensor by what makes none');
  });

  test('a list that would be a text without end is named as a list', async () => {
    const deep = `${']'.repeat(100_000)}${'a'.repeat(99_999)}`;
    expect(await read(`ctorch\ndevice\n${deep}\x85R.`)).toBe('a list');
    // Each list holds the one before twice: 2⁶⁰ entries.
    const doubling = `]q\0${'0h\0h\0\x86q\0'.repeat(60)}`;
    expect(await read(`cpathlib\nPosixPath\nU\x01a${doubling}\x86R.`)).toBe('a/a list');
    await expect(read(`c_codecs\nencode\nU\x01a${doubling}\x86R.`)).rejects.toThrow('encodes a text as a list');
    const longName = await read(`c${'m'.repeat(100_000)}\nf\n.`).catch(error => error.message.length);
    expect(longName).toBeLessThan(500);
  });

  test('nesting without end is refused', async () => {
    await expect(read(`${'('.repeat(100_000)}.`)).rejects.toThrow('nested deeper than 1000 levels');
    // Without marks nothing grows but the value, which no reader walks to its end.
    await expect(read(`${']'.repeat(100_000)}${'a'.repeat(99_999)}.`)).resolves.toBeInstanceOf(Array);
  });

  test('a file cut anywhere, and random damage, is one line', async () => {
    const pickles = readFileSync(join(import.meta.dirname, 'fixtures', 'foreign', 'pickles.txt'), 'utf8');
    for (const line of pickles.trim().split('\n')) {
      const whole = Buffer.from(line.split(' ')[1], 'hex');
      for (let length = 0; length < whole.length; length += 3) {
        await expect(read(whole.subarray(0, length))).rejects.toThrow(/^a\.pkl [^\n]*$/);
      }
      for (let i = 0; i < whole.length * 8; i += 7) {
        const damaged = Buffer.from(whole);
        damaged[i >> 3] ^= 1 << (i & 7);
        await read(damaged).catch(error => {
          if (!(error instanceof UserError)) throw error;
          expect(error.message).toMatch(/^a\.pkl [^\n]*$/);
        });
      }
    }
  });
});
