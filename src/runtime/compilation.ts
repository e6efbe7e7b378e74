/** Lines shown before and behind one that the compiler has something to say of. */
const AROUND = 3;

/** What the compiler of WGSL said, each message under the numbered lines that it is about. */
export function compilationText(code: string, messages: readonly GPUCompilationMessage[]): string {
  const lines = code.split('\n');
  const width = String(lines.length).length;
  return messages
    .map(({ type, message, lineNum, linePos, length }) => {
      if (lineNum === 0) return `${type}: ${message}`;
      const [first, last] = [Math.max(1, lineNum - AROUND), Math.min(lines.length, lineNum + AROUND)];
      const shown = lines.slice(first - 1, last).map((text, i) => `${String(first + i).padStart(width)} | ${text}`);
      const marks = '^'.repeat(Math.max(1, Math.min(length, lines[lineNum - 1].length - linePos + 1)));
      shown.splice(
        lineNum - first + 1,
        0,
        `${' '.repeat(width)} | ${' '.repeat(linePos - 1)}${marks} ${type}: ${message}`,
      );
      return shown.join('\n');
    })
    .join('\n\n');
}

/** The lines of a text with their numbers. */
export function numbered(text: string): string {
  const lines = text.split('\n');
  const width = String(lines.length).length;
  return lines.map((line, i) => `${String(i + 1).padStart(width)} | ${line}`).join('\n');
}
