// Runs a TypeScript file of the checkout, bundled as the command is: `node scripts/run.mjs scripts/gates.ts …`.
import { mkdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const [source] = process.argv.splice(2, 1);
const folder = join(dirname(fileURLToPath(import.meta.url)), '..', 'node_modules', '.cache', 'wgrad');
const outfile = join(folder, `${basename(source, '.ts')}-${process.pid}.mjs`);
mkdirSync(folder, { recursive: true });
process.on('exit', () => rmSync(outfile, { force: true }));
await build({
  entryPoints: [source],
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  loader: { '.wgsl': 'text' },
  sourcemap: 'inline',
  logLevel: 'warning',
});
try {
  await import(pathToFileURL(outfile).href);
} catch (error) {
  // The reader of the arguments has errors of its own, whose first sentence says what is wrong.
  if (error.name !== 'UserError' && !error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
  console.error(error.message.split('\n')[0]);
  process.exitCode = 2;
}
