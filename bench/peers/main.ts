/**
 * Times the same work on the same adapter through this library and three others, side by side.
 *
 *     npm run bench:peers -- [FILTER] [--json] [--adapter NAME] [--rounds N]
 *
 * The peers are TensorFlow.js and jax-js on the same Dawn as ours, waited for as ours is, and ONNX Runtime's WebGPU
 * provider with a Dawn of its own on the same driver; they are installed on first use. Each runs in a process of its
 * own. In every round each library measures once, one after the other, each for 80 ms at least and from handing over
 * the work until the device is done; operands are on the device, in the library's own layout, and everything is
 * compiled. A time counts only if the outputs, at 97 places of each, are those of a reference in double precision
 * within 1e-3 of their largest value, and WebGPU reported no error; else there is a – and the reason below the table.
 *
 * `ratio` is how many times as fast as the fastest peer ours is: the median over the rounds, with the first and third
 * quartile as its spread. A target is met if the lower of them reaches it. --json prints one object instead of the
 * table; FILTER takes the cases whose names contain it.
 */
import type { Case } from './cases.ts';
import { type Comparison, compare } from './figures.ts';
import { installPeers } from './install.ts';
import { LibraryProcess } from './libraryProcess.ts';
import { parseOptions } from './options.ts';
import { errorOf, reference } from './reference.ts';

const TOLERANCE = 1e-3;
const PEERS = ['tfjs', 'jax', 'onnxruntime'] as const;

const options = parseOptions(process.argv.slice(2));
const ours = new LibraryProcess('wgrad');
const libraries = [ours, ...PEERS.map(name => new LibraryProcess(name))];
try {
  const { adapter } = await ours.open(options.adapter);
  installPeers();
  const versions: Record<string, string> = {};
  const adapters: Record<string, string> = {};
  for (const library of libraries) {
    try {
      const opened = await library.open(adapter);
      versions[library.name] = opened.version;
      adapters[library.name] = opened.adapter;
    } catch (error) {
      versions[library.name] = `none: ${(error as Error).message}`;
    }
  }
  if (!options.json) printHeader(adapter, versions, adapters);
  const rows: Row[] = [];
  for (const one of options.cases) {
    const row = await compareOn(one, adapter);
    rows.push(row);
    if (!options.json) printRow(row, rows);
  }
  const met = rows.every(row => row.met);
  if (options.json)
    console.log(JSON.stringify({ adapter, versions, drivers: adapters, rounds: options.rounds, rows, met }, null, 2));
  else printNotes(rows, met);
  if (rows.some(row => row.ours === null)) process.exitCode = 1;
} finally {
  for (const library of libraries) library.end();
}

type Row = Comparison & { readonly name: string; readonly notes: Readonly<Record<string, string>> };

/** Prepares and checks a case in every library, then measures those that can do it in turns. */
async function compareOn(one: Case, adapter: string): Promise<Row> {
  const expected = reference(one);
  const notes: Record<string, string> = {};
  const times = new Map<LibraryProcess, number[]>();
  const attempt = async (library: LibraryProcess, body: () => Promise<void>) => {
    try {
      await body();
    } catch (error) {
      times.delete(library);
      notes[library.name] = (error as Error).message;
    }
  };
  for (const library of libraries) {
    await attempt(library, async () => {
      await library.open(adapter);
      const prepared = await library.prepare(one.name);
      if ('unable' in prepared) throw new Error(prepared.unable);
      const error = errorOf(prepared.outputs, expected);
      if (!(error <= TOLERANCE)) throw new Error(`its result is wrong by ${error.toPrecision(2)} of the largest value`);
      times.set(library, []);
    });
  }
  for (let round = 0; round < options.rounds; round++) {
    // Another one begins each round, so that none always follows the same.
    for (let i = 0; i < libraries.length; i++) {
      const library = libraries[(round + i) % libraries.length];
      const measured = times.get(library);
      if (measured) await attempt(library, async () => void measured.push(await library.time()));
    }
  }
  for (const library of libraries) {
    await library.release();
    await attempt(library, async () => {
      if (library.complaint && times.has(library)) throw new Error(`it reported: ${library.complaint}`);
    });
  }
  const peers = Object.fromEntries(libraries.slice(1).map(peer => [peer.name, times.get(peer) ?? null]));
  return { name: one.name, ...compare(times.get(ours) ?? null, peers, one.target), notes };
}

function printHeader(adapter: string, versions: Record<string, string>, adapters: Record<string, string>): void {
  console.log(`${adapter}, rounds: ${options.rounds}`);
  for (const { name } of libraries)
    console.log(`${name} ${versions[name]}${adapters[name] ? ` on ${adapters[name]}` : ''}`);
  const names = libraries.map(({ name }) => name.padStart(12)).join('');
  console.log(`\n${'milliseconds'.padEnd(44)}${names}   ratio (quartiles)   target`);
}

function printRow(row: Row, rows: readonly Row[]): void {
  const notes = notesOf(rows);
  const cell = (name: string, ms: number | null) =>
    (ms === null ? `– [${notes.indexOf(`${name}: ${row.notes[name]}`) + 1}]` : ms.toFixed(2)).padStart(12);
  const cells = [cell('wgrad', row.ours), ...PEERS.map(name => cell(name, row.peers[name]))].join('');
  const ratio = row.ratio === null ? '–' : `${row.ratio.toFixed(2)} (${row.spread!.map(q => q.toFixed(2)).join('–')})`;
  console.log(
    `${row.name.padEnd(44)}${cells}   ${ratio.padEnd(17)}   ${row.target.toFixed(1)} ${row.met ? 'met' : 'not met'}`,
  );
}

/** The reasons in the order in which they appear in the table, each once. */
function notesOf(rows: readonly Row[]): string[] {
  return [...new Set(rows.flatMap(({ notes }) => Object.entries(notes).map(([library, why]) => `${library}: ${why}`)))];
}

function printNotes(rows: readonly Row[], met: boolean): void {
  const notes = notesOf(rows);
  if (notes.length > 0) console.log('');
  for (const [i, note] of notes.entries()) console.log(`[${i + 1}] ${note}`);
  console.log(
    `\n${met ? 'All targets are met.' : `Targets met: ${rows.filter(row => row.met).length} of ${rows.length}.`}`,
  );
}
