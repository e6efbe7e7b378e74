/** How Python writes texts and numbers into pickles. What is not written so is undefined. */

/** Each byte a character. */
export function latin1(bytes: Uint8Array): string {
  // TextDecoder's latin1 is windows-1252, which moves 0x80 to 0x9f.
  let text = '';
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return text;
}

/** Python's raw-unicode-escape. */
export function unescaped(line: string): string {
  return line.replaceAll(/\\u([0-9a-f]{4})|\\U([0-9a-f]{8})/gi, (_, short?: string, long?: string) => {
    const code = Number.parseInt((short ?? long)!, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  });
}

/** A text as Python 2's repr() writes it, in quotes. */
export function unquoted(line: string): string | undefined {
  const [, quote, body] = /^(['"])(.*)\1$/s.exec(line) ?? [];
  if (!quote) return undefined;
  const named: Record<string, string> = { n: '\n', r: '\r', t: '\t', '0': '\0' };
  return body.replaceAll(/\\(?:x([0-9a-f]{2})|(.))/gis, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (named[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** A two's complement integer of any length, the least significant byte first. */
export function littleEndian(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  if (bytes.length > 0 && bytes[bytes.length - 1] & 0x80) value -= 1n << BigInt(8 * bytes.length);
  return safe(value);
}

/** An integer in digits; protocol 0 writes booleans as 00 and 01. */
export function decimal(line: string): number | bigint | boolean | undefined {
  if (line === '00') return false;
  if (line === '01') return true;
  return /^-?\d+$/.test(line) ? safe(BigInt(line)) : undefined;
}

/** A number where that has all digits. */
function safe(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** A number as Python's repr() writes it. */
export function float(line: string): number | undefined {
  const special: Record<string, number> = { nan: Number.NaN, inf: Infinity, '-inf': -Infinity };
  if (Object.hasOwn(special, line)) return special[line];
  const value = Number(line);
  return line === '' || Number.isNaN(value) ? undefined : value;
}
