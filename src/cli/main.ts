import { isOutOfMemory, UserError } from '../io/errors.ts';
import { DeviceLost } from '../runtime/device.ts';

/** A verb of the command: its line in the help, and what it does with the arguments behind it. Returns the exit code. */
export interface Verb {
  readonly usage: string;
  readonly about: string;
  run(args: string[]): Promise<number>;
}

/** Verbs are loaded when they are used, so that `wgrad --help` opens no GPU library. */
const verbs: Record<string, () => Promise<{ verb: Verb }>> = {
  start: () => import('./start.ts'),
  train: () => import('./train.ts'),
  doctor: () => import('./doctor.ts'),
  verify: () => import('./verify.ts'),
  web: () => import('./web.ts'),
};

async function help(): Promise<string> {
  const lines = ['wgrad: StyleGAN inversion trained on WebGPU', '', 'Usage:'];
  for (const load of Object.values(verbs)) {
    const { verb } = await load();
    lines.push(`  wgrad ${verb.usage}`, `      ${verb.about}`);
  }
  lines.push('', '  --debug shows where an error came from; WGRAD_ADAPTER=NAME chooses the adapter for every verb.');
  return lines.join('\n');
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
    console.log(`wgrad ${verb.usage}\n    ${verb.about}`);
    return 0;
  }
  return verb.run(rest);
}

/** The one line that an error becomes, if it is one that the user can do something about. */
function explain(error: unknown): string | undefined {
  if (error instanceof UserError) return error.message;
  if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')) {
    return `${error.message.split(/\.\s/)[0]} (see --help)`;
  }
  if (isOutOfMemory(error)) {
    return `the device is out of memory: lower --batch (${error.message.split('\n')[0]})`;
  }
  if (error instanceof DeviceLost) return `${error.message}; go on with --resume`;
  return undefined;
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
