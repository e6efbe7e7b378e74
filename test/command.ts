import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** The command's file. */
export const command = join(import.meta.dirname, '..', 'dist', 'cli.mjs');

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `wgrad` with these arguments, as globalSetup.ts built it, until it exits. */
export function wgrad(args: readonly string[], { env = {}, cwd }: { env?: NodeJS.ProcessEnv; cwd?: string } = {}) {
  return new Promise<Outcome>((resolve, reject) => {
    const child = spawn(process.execPath, [command, ...args], { env: { ...process.env, ...env }, cwd });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', text => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', text => (stderr += text));
    child.on('error', reject).on('close', code => resolve({ code, stdout, stderr }));
  });
}
