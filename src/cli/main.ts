#!/usr/bin/env node
import { isOutOfMemory, printable, UserError } from '../io/errors.ts';
import { DeviceLost } from '../runtime/device.ts';

/** A verb of the command. */
export interface Verb {
  /** Its arguments in one line. */
  readonly usage: string;
  /** What it does, for the help. */
  readonly about: string;
  /** Does it with the arguments behind the verb, and returns the exit code. */
  run(args: string[]): Promise<number>;
}

/** Verbs are loaded when they are used, so that `wgrad --help` opens no GPU library. */
const verbs: Record<string, () => Promise<{ verb: Verb }>> = {
  start: () => import('./start.ts'),
  train: () => import('./train.ts'),
  generate: () => import('./generate.ts'),
  metrics: () => import('./metrics.ts'),
  profile: () => import('./profile.ts'),
  tune: () => import('./tune.ts'),
  kernel: () => import('./kernel.ts'),
  doctor: () => import('./doctor.ts'),
  verify: () => import('./verify.ts'),
  convert: () => import('./convert.ts'),
  web: () => import('./web.ts'),
};

async function help(): Promise<string> {
  const lines = ['wgrad: StyleGAN inversion trained on WebGPU', '', 'Usage:'];
  for (const load of Object.values(verbs)) {
    const { verb } = await load();
    lines.push(`  wgrad ${verb.usage}`, indented(verb.about, 6));
  }
  lines.push('', '  --debug shows where an error came from; WGRAD_ADAPTER=NAME chooses the adapter for every verb.');
  return lines.join('\n');
}

function indented(text: string, columns: number): string {
  return text.replaceAll(/^/gm, ' '.repeat(columns));
}

async function main(argv: string[]): Promise<number> {
  const args = argv.filter(arg => arg !== '--debug');
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    console.log(await help());
    return 0;
  }
  const load = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (!load)
    throw new UserError(`unknown verb '${name}'; there are ${Object.keys(verbs).join(', ')} (see wgrad --help)`);
  const { verb } = await load();
  if (rest.includes('--help') || rest.includes('-h')) {
    console.log(`wgrad ${verb.usage}\n${indented(verb.about, 4)}`);
    return 0;
  }
  return verb.run(rest);
}

/** The one line that an error becomes, if it is one that the user can do something about. */
function explain(error: unknown): string | undefined {
  if (error instanceof UserError) return printable(error.message);
  if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
    // Of an unknown option Node also says how to pass it as an argument, which no verb takes.
    return `${error.message.split('. To specify a positional')[0].replaceAll('\n', ' ')} (see --help)`;
  }
  if (isOutOfMemory(error)) {
    return `the device is out of memory: lower --batch (${error.message.split('\n')[0]})`;
  }
  if (error instanceof DeviceLost) return `${error.message}; go on with --resume`;
  if (isSystemError(error)) return `${error.message}; check that path, its permissions and the space on its disk`;
  return undefined;
}

/** What the system refused: a folder that may not be written, a full disk. */
function isSystemError(error: unknown): error is Error {
  return error instanceof Error && 'errno' in error && 'syscall' in error;
}

// Without whoever read the output, as behind `| head`, nothing is printed any more; a training saves and ends.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const debug = process.argv.includes('--debug');
main(process.argv.slice(2)).then(
  code => {
    process.exitCode = code;
  },
  error => {
    const line = explain(error);
    if (debug) console.error(error);
    else console.error(`wgrad: ${line ?? `${error instanceof Error ? error.message : error} (--debug says where)`}`);
    process.exitCode = line === undefined ? 1 : 2;
  },
);
