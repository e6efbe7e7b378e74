import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/**
 * Builds dist/ once for the tests that run the command as a process. Where that fails the other tests still run, and
 * those fail for want of dist/cli.mjs.
 */
export default function setup(): void {
  try {
    execFileSync(process.execPath, [join(import.meta.dirname, '..', 'scripts', 'build.mjs')], { stdio: 'pipe' });
  } catch (error) {
    console.error(`The command could not be built:\n${(error as { stderr?: Buffer }).stderr}`);
  }
}
