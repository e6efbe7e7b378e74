/** How Python writes texts into pickles. */

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

/** A text as Python 2's repr() writes it; undefined where it has no quotes. */
export function unquoted(line: string): string | undefined {
  const [, quote, body] = /^(['"])(.*)\1$/s.exec(line) ?? [];
  if (!quote) return undefined;
  const named: Record<string, string> = { n: '\n', r: '\r', t: '\t', '0': '\0' };
  return body.replaceAll(/\\(?:x([0-9a-f]{2})|(.))/gis, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (named[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
