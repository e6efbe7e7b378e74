/** Images for training in Node, decoded and resized on worker threads. The twin for pages is decoder.web.ts. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { UserError } from '../io/errors.ts';
import { packageFile } from '../io/packageFile.node.ts';
import { decodeSquare as decodeHere } from './square.ts';

/** An image for a thread to decode. */
export interface Task {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly size: number;
}

/** What became of it: its pixels, or the message of an error. */
export type TaskResult = { readonly id: number } & (
  | { readonly pixels: Uint8Array }
  | { readonly message: string; readonly isUserError: boolean }
);

interface Waiting {
  resolve(pixels: Uint8Array): void;
  reject(error: Error): void;
}

const MOST_THREADS = 4;

/** A thread, with the tasks that it has not answered. Idle, it does not keep the process alive. */
class Thread {
  private readonly waiting = new Map<number, Waiting>();
  private readonly worker: Worker;
  private next = 0;

  constructor(file: string) {
    // The process's flags are not for a file: with --input-type, node refuses one.
    this.worker = new Worker(file, { execArgv: [] });
    this.worker.on('message', (result: TaskResult) => this.answer(result));
    this.worker.on('error', error => this.fail(error));
    this.worker.unref();
  }

  get tasks(): number {
    return this.waiting.size;
  }

  run(bytes: Uint8Array, name: string, size: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.tasks === 0) this.worker.ref();
      const id = this.next++;
      this.waiting.set(id, { resolve, reject });
      // A view takes the whole of its buffer along.
      const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
      this.worker.postMessage({ id, bytes: own, name, size } satisfies Task);
    });
  }

  private answer(result: TaskResult): void {
    const { resolve, reject } = this.waiting.get(result.id)!;
    this.waiting.delete(result.id);
    if (this.tasks === 0) this.worker.unref();
    if ('pixels' in result) resolve(result.pixels);
    else reject(result.isUserError ? new UserError(result.message) : new Error(result.message));
  }

  /** The thread has ended by itself: no memory, as a rule. */
  private fail(error: Error): void {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
    threads = undefined;
  }
}

let threads: readonly Thread[] | undefined;

/** As square.ts says, on whichever thread has the least to do. */
export function decodeSquare(bytes: Uint8Array, name: string, size: number): Promise<Uint8Array> {
  threads ??= start();
  if (threads.length === 0) return decodeHere(bytes, name, size);
  return threads.reduce((a, b) => (b.tasks < a.tasks ? b : a)).run(bytes, name, size);
}

/** None where the package is not built: sharp then decodes on its own threads, and the main one resizes. */
function start(): Thread[] {
  const file = packageFile('dist', 'decodeWorker.mjs');
  if (file === undefined) return [];
  return Array.from({ length: Math.min(MOST_THREADS, availableParallelism()) }, () => new Thread(file));
}
