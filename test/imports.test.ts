import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

/** What the linter says of a file of this text in that folder. */
async function lint(folder: string, text: string): Promise<string> {
  const file = join(root, 'src', folder, 'linted-by-a-test.ts');
  writeFileSync(file, text);
  try {
    const biome = join(root, 'node_modules', '.bin', 'biome');
    const { stdout, stderr } = await promisify(execFile)(biome, ['lint', '--colors=off', file]);
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return stdout + stderr;
  } finally {
    rmSync(file);
  }
}

test.each([
  ['runtime', '../models/psp.ts'],
  ['runtime', '../io/safetensors.ts'],
  ['autograd', '../models/psp.ts'],
  ['models', '../train/trainer.ts'],
  ['io', '../train/trainer.ts'],
  ['data', '../models/psp.ts'],
  ['train', '../cli/main.ts'],
])('a file of src/%s must not import %s', async (folder, imported) => {
  const said = await lint(folder, `import { x } from '${imported}';\n\nexport const y = x;\n`);
  expect(said).toContain('noRestrictedImports');
  expect(said).toContain('Imports point down only');
});

test.each([
  ['runtime', '../io/errors.ts'],
  ['models', '../autograd/grad.ts'],
  ['train', '../models/psp.ts'],
])('a file of src/%s may import %s', async (folder, imported) => {
  const said = await lint(folder, `import { x } from '${imported}';\n\nexport const y = x;\n`);
  expect(said).not.toContain('noRestrictedImports');
});
