import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '..');

/** What README.md tells the reader to type, and what it shows. */
export interface Readme {
  /** The lines of its `sh` blocks without their comments. */
  readonly commands: readonly string[];
  /**
   * Its blocks of code by the name in their first line: `// NAME` is a file to be written, `// from PATH` a quotation
   * of one.
   */
  readonly files: ReadonlyMap<string, string>;
  readonly quotations: ReadonlyMap<string, string>;
  /** What it links to in this folder. */
  readonly links: readonly string[];
}

export function readReadme(): Readme {
  const text = readFileSync(join(root, 'README.md'), 'utf8');
  const commands: string[] = [];
  const [files, quotations] = [new Map<string, string>(), new Map<string, string>()];
  for (const [, language, body] of text.matchAll(/^```(\w*)\n(.*?)^```$/gms)) {
    if (language === 'sh') {
      const lines = body.split('\n').map(line => line.replace(/\s+#.*$/, '').trim());
      commands.push(...lines.filter(line => line !== ''));
      continue;
    }
    const [, from, name] = body.match(/^\/\/ (from )?(\S+)\n/) ?? [];
    if (name === undefined) throw new Error(`README.md: a block of ${language} does not begin with // and a name`);
    if (from) quotations.set(name, body.slice(body.indexOf('\n') + 1));
    else files.set(name, body);
  }
  const links = [...text.matchAll(/\]\(([^):]+)\)/g)].map(([, path]) => path);
  return { commands, files, quotations, links };
}

export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a line of shell until it ends; `until` may ask for its end as soon as the output is what it waits for. */
export function run(line: string, cwd: string, until?: (output: string) => Promise<boolean>): Promise<Ended> {
  return new Promise((resolve, reject) => {
    // A process group of its own, so that what npm started ends with npm.
    const child = spawn('bash', ['-c', line], { cwd, detached: true });
    let output = '';
    let ending = false;
    const listen = (text: string) => {
      output += text;
      if (ending || !until) return;
      until(output).then(
        done => {
          if (!done || ending) return;
          ending = true;
          process.kill(-child.pid!, 'SIGTERM');
        },
        error => {
          process.kill(-child.pid!, 'SIGTERM');
          reject(error);
        },
      );
    };
    child.stdout.setEncoding('utf8').on('data', listen);
    child.stderr.setEncoding('utf8').on('data', listen);
    child.on('error', reject).on('close', code => resolve({ code: ending ? 0 : code, output }));
  });
}

/** For `run`: ends a server once the page at the address that it prints is there. */
export async function pageIsServed(output: string): Promise<boolean> {
  const address = output.match(/http:\/\/\S+/)?.[0];
  if (!address) return false;
  const response = await fetch(address);
  if (!response.ok || !(await response.text()).includes('<title>wgrad')) {
    throw new Error(`${address} serves no page of wgrad: ${response.status}`);
  }
  return true;
}
