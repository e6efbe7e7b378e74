import { type ChildProcess, fork } from 'node:child_process';
import { UserError } from '../../src/io/errors.ts';
import type { Answer, Opened, Prepared, Request } from './process.ts';

/** Milliseconds after which a library that does not answer is given up: a driver may hang. */
const PATIENCE = 180_000;

/** How ONNX Runtime and jax-js, which go on then, report errors of WebGPU. */
const COMPLAINT = /\[E:onnxruntime|validation error|uncaptured error/i;

/**
 * A library in a process of its own: its device does not share the host's time with another's, and where it crashes,
 * the others go on. It is started anew when it is next opened.
 */
export class LibraryProcess {
  private child: ChildProcess | undefined;
  private opened: Promise<Opened> | undefined;
  private stderr = '';

  constructor(readonly name: string) {}

  /** Starts the process on an adapter, unless it runs already. */
  open(adapter: string | undefined): Promise<Opened> {
    if (this.child) return this.opened!;
    const child = fork('scripts/run.mjs', [`bench/peers/${this.name}.ts`], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.stderr = '';
    child.stderr!.setEncoding('utf8').on('data', text => {
      this.stderr = (this.stderr + text).slice(-2000);
    });
    child.on('exit', () => {
      if (this.child === child) this.child = undefined;
    });
    this.child = child;
    this.opened = this.ask<Opened>({ ask: 'open', adapter });
    return this.opened;
  }

  prepare(name: string): Promise<Prepared> {
    this.stderr = '';
    return this.ask({ ask: 'prepare', name });
  }

  /** Milliseconds of one run of the work that is prepared. */
  time(): Promise<number> {
    return this.ask({ ask: 'time' });
  }

  /** What the library reported since a case was prepared, though it went on. */
  get complaint(): string | undefined {
    return this.stderr.split('\n').find(line => COMPLAINT.test(line));
  }

  /** Forgets the work; a library that cannot is ended. */
  async release(): Promise<void> {
    if (!this.child) return;
    await this.ask({ ask: 'release' }).catch(() => this.end());
  }

  end(): void {
    this.child?.kill('SIGKILL');
    this.child = undefined;
  }

  private ask<T>(request: Request): Promise<T> {
    const { child } = this;
    if (!child) return Promise.reject(new Error('its process has ended'));
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        child.off('message', answered);
        child.off('exit', exited);
        settle();
      };
      const answered = (answer: Answer<T>) => {
        finish(() => {
          if ('value' in answer) resolve(answer.value);
          else reject(answer.isUserError ? new UserError(answer.error) : new Error(answer.error));
        });
      };
      const exited = (code: number | null, signal: string | null) => {
        const last = this.stderr.trim().split('\n').at(-1);
        finish(() => reject(new Error(`its process ended with ${signal ?? `code ${code}`}${last ? `: ${last}` : ''}`)));
      };
      const timer = setTimeout(() => {
        this.end();
        finish(() => reject(new Error(`it gave no answer in ${PATIENCE / 1000} s`)));
      }, PATIENCE);
      child.on('message', answered).on('exit', exited);
      // It may have ended without anybody knowing yet.
      child.send(request, error => error && finish(() => reject(error)));
    });
  }
}
