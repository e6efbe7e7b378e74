import { parseArgs } from 'node:util';
import { UserError } from '../../src/io/errors.ts';
import { type Case, cases } from './cases.ts';

export interface Options {
  /** The cases whose names contain the filter. */
  readonly cases: readonly Case[];
  readonly json: boolean;
  readonly adapter: string | undefined;
  readonly rounds: number;
}

/** @throws UserError on a filter that no case has and on rounds that are no whole number; what parseArgs throws */
export function parseOptions(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      adapter: { type: 'string' },
      rounds: { type: 'string', default: '7' },
    },
  });
  if (positionals.length > 1) {
    throw new UserError(`bench:peers: one filter, not ${positionals.length}: put it in quotes`);
  }
  const [filter = ''] = positionals;
  const chosen = cases.filter(({ name }) => name.includes(filter));
  if (chosen.length === 0) {
    throw new UserError(
      `bench:peers: no case has '${filter}' in its name; there are ${cases.map(({ name }) => `'${name}'`).join(', ')}`,
    );
  }
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new UserError(`bench:peers: --rounds ${values.rounds} is not possible; give a whole number from 1 on`);
  }
  return { cases: chosen, json: values.json, adapter: values.adapter, rounds };
}
