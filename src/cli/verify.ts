import { parseArgs } from 'node:util';
import { UserError } from '../io/errors.ts';
import { Device } from '../runtime/device.ts';
import type { GoldenCase } from './goldens/format.ts';
import { readGoldenFile } from './goldens/read.ts';
import { type CaseResult, verifyCase } from './goldens/verify.ts';
import type { Verb } from './main.ts';

type Status = 'ok' | 'FAIL' | 'unknown';

/** What --json prints of a case. */
interface Verdict {
  readonly file: string;
  readonly name: string;
  readonly status: Status;
  /** In units of the file's comparison rule; null where the case is unknown, or has no finite error. */
  readonly error: number | null;
  readonly tolerance: number;
  /** The quantity that is furthest off, or why the case could not be run. */
  readonly worst: string;
}

export const verb: Verb = {
  usage: 'verify FILE.json… [--json] [--strict] [--filter TEXT] [--adapter NAME]',
  about: 'Runs golden files on the adapter in use: exit code 1 if a case fails, with --strict also if one is unknown.',
  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        json: { type: 'boolean' },
        strict: { type: 'boolean' },
        filter: { type: 'string', default: '' },
        adapter: { type: 'string' },
      },
    });
    if (positionals.length === 0) throw new UserError('verify: say which golden files to run (see --help)');
    const cases: { file: string; golden: GoldenCase }[] = [];
    for (const file of positionals) {
      for (const golden of await readGoldenFile(file)) {
        if (golden.name.includes(values.filter)) cases.push({ file, golden });
      }
    }
    if (cases.length === 0) {
      const which = values.filter ? ` whose name contains '${values.filter}'` : '';
      throw new UserError(`verify: no case${which} in ${positionals.join(', ')}`);
    }

    const width = Math.max(...cases.map(({ golden }) => golden.name.length));
    const verdicts: Verdict[] = [];
    const device = await Device.open({ adapter: values.adapter });
    try {
      for (const { file, golden } of cases) {
        const verdict = judge(file, await verifyCase(device, golden));
        verdicts.push(verdict);
        if (!values.json) console.log(line(verdict, width));
      }
    } finally {
      device.destroy();
    }

    const count = (status: Status) => verdicts.filter(verdict => verdict.status === status).length;
    const [passed, failed, unknown] = [count('ok'), count('FAIL'), count('unknown')];
    if (values.json) console.log(JSON.stringify({ passed, failed, unknown, cases: verdicts }, null, 2));
    else console.log(`${passed} passed, ${failed} failed, ${unknown} unknown, on ${device.adapter.name}`);
    return failed > 0 || (values.strict && unknown > 0) ? 1 : 0;
  },
};

function judge(file: string, { name, tolerance, error, worst, passed }: CaseResult): Verdict {
  const status = error === undefined ? 'unknown' : passed ? 'ok' : 'FAIL';
  const finite = error !== undefined && Number.isFinite(error) ? error : null;
  return { file, name, status, error: finite, tolerance, worst: status === 'unknown' ? '' : worst };
}

function line({ name, status, error, tolerance, worst }: Verdict, width: number): string {
  const start = `${status.padEnd(7)}  ${name.padEnd(width)}`;
  if (status === 'unknown') return start.trimEnd();
  return `${start}  ${error?.toExponential(1) ?? 'no value'} (tolerance ${tolerance.toExponential()})  ${worst}`;
}
