/** The commands of README.md as they stand, one after the other, in a fresh copy of the checkout. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pageIsServed, readReadme, root, run } from '../readmeCommands.ts';

const LEFT_OUT = ['dist', 'runs', '.git'];
const HOURS = 3_600_000;
/** Weights that the reader brings: test/readme.test.ts puts fixtures in their place. */
const BROUGHT = /\bffhq/;

const readme = readReadme();
const checkout = mkdtempSync(join(tmpdir(), 'wgrad-readme-'));
beforeAll(() => {
  cpSync(root, checkout, {
    recursive: true,
    filter: path => basename(path) !== 'node_modules' && (dirname(path) !== root || !LEFT_OUT.includes(basename(path))),
  });
  for (const [name, text] of readme.files) writeFileSync(join(checkout, name), text);
});
afterAll(() => rmSync(checkout, { recursive: true, force: true }));

test.each(readme.commands.filter(command => !BROUGHT.test(command)))('%s', { timeout: 2 * HOURS }, async command => {
  const { code, output } = await run(command, checkout, command === 'npm run web' ? pageIsServed : undefined);
  expect(code, output.slice(-2000)).toBe(0);
});
