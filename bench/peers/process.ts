/** What runs in a process of its own for each library: it makes a case's work, checks what it gives, and times it. */
import { type Case, type CaseOf, cases, samplesOf } from './cases.ts';

/** Milliseconds that a measurement takes at least, beside which submitting and waiting are small. */
const ENOUGH = 80;

/** A case on the device, its operands in place. */
export interface Work {
  /** Hands the work to the device so many times, without waiting for it. */
  run(times: number): void | Promise<void>;
  /** Does the work once and reads its outputs, NCHW, [O, C, KH, KW] and row-major; of a training the first losses. */
  outputs(): Promise<readonly ArrayLike<number>[]>;
  release(): void;
}

/** A library on its device. */
export interface Library {
  /** The adapter as the library's driver names it. */
  readonly adapter: string;
  readonly version: string;
  /** Waits until the device has done all that it was handed. Throws what WebGPU reported. */
  finish(): Promise<void>;
  /** By kind of case: its work, or why the library cannot do it. */
  readonly works: { readonly [K in Case['kind']]: string | ((one: CaseOf<K>) => Work | Promise<Work>) };
}

/** What the driver asks for, each with one answer. */
export type Request =
  | { readonly ask: 'open'; readonly adapter?: string }
  | { readonly ask: 'prepare'; readonly name: string }
  | { readonly ask: 'time' }
  | { readonly ask: 'release' };

export interface Opened {
  readonly adapter: string;
  readonly version: string;
}

/** The outputs at their samples, or why there are none. */
export type Prepared = { readonly outputs: number[][] } | { readonly unable: string };

export type Answer<T> = { readonly value: T } | { readonly error: string; readonly isUserError: boolean };

/** Answers the driver's requests with the library that `open` opens. */
export function serve(open: (adapter: string | undefined) => Promise<Library>): void {
  let library: Library;
  let work: Work | undefined;
  let times = 1;

  const measure = async () => {
    const start = performance.now();
    await work!.run(times);
    await library.finish();
    return performance.now() - start;
  };

  const prepare = async (one: Case): Promise<Prepared> => {
    const make = library.works[one.kind] as string | ((one: Case) => Work | Promise<Work>);
    if (typeof make === 'string') return { unable: make };
    work = await make(one);
    const outputs = await work.outputs();
    await library.finish();
    times = 1;
    await measure();
    for (let ms = await measure(); ms < ENOUGH; ms = await measure()) {
      times = Math.ceil(times * Math.min(16, Math.max(1.5, (1.2 * ENOUGH) / ms)));
    }
    const sampled = outputs.map(output =>
      (one.kind === 'training' ? [...Array(output.length).keys()] : samplesOf(output.length)).map(at => output[at]),
    );
    return { outputs: sampled };
  };

  const answer = async (request: Request): Promise<unknown> => {
    switch (request.ask) {
      case 'open': {
        library = await open(request.adapter);
        return { adapter: library.adapter, version: library.version } satisfies Opened;
      }
      case 'prepare':
        return prepare(cases.find(({ name }) => name === request.name)!);
      case 'time':
        return (await measure()) / times;
      case 'release': {
        work?.release();
        work = undefined;
        return null;
      }
    }
  };

  process.on('message', (request: Request) => {
    answer(request).then(
      value => process.send!({ value }),
      (error: Error) => process.send!({ error: firstLine(error.message), isUserError: error.name === 'UserError' }),
    );
  });
  // Without the driver there is nothing to do.
  process.on('disconnect', () => process.exit());
}

function firstLine(message: string): string {
  return message.trim().split('\n')[0];
}
