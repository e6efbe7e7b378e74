import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../io/errors.ts';
import { type Folder, openFolder } from '../io/files.ts';

/** Names the process that trains in the folder. One that was killed leaves it, and the next one replaces it. */
const LOCK = '.lock';

/** Refuses a folder that holds a run already. */
export function refuseRun(out: string): void {
  if (out === '') throw new UserError('--out: name a folder');
  if (existsSync(join(out, 'config.json'))) {
    throw new UserError(
      `--out ${out}: there is a run already; go on with it by --resume ${out}, or give another folder`,
    );
  }
}

/** A run's folder while this process trains in it. */
export interface TakenFolder {
  readonly path: string;
  readonly folder: Folder;
  release(): void;
}

/**
 * Makes a run's folder if it is not there, and takes it for this process: for a new run in `out`, or in the first of
 * runs/RECIPE, runs/RECIPE-2, … that is not there; or for the run in `resume`.
 * @throws UserError where a process trains there already, or the folder of a new run holds one
 */
export async function takeFolder(
  recipe: string,
  { out, resume }: { out?: string; resume?: string },
): Promise<TakenFolder> {
  const path = resume ?? out ?? makeFreeFolder(recipe);
  const folder = await openFolder(path, { create: true });
  const lock = join(path, LOCK);
  takeLock(path, lock);
  const release = () => rmSync(lock, { force: true });
  try {
    if (resume === undefined) refuseRun(path); // another process may have begun one since the arguments were read
  } catch (error) {
    release();
    throw error;
  }
  return { path, folder, release };
}

/** Two processes never make the same one. */
function makeFreeFolder(recipe: string): string {
  mkdirSync('runs', { recursive: true });
  for (let i = 1; ; i++) {
    const path = join('runs', i === 1 ? recipe : `${recipe}-${i}`);
    try {
      mkdirSync(path);
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

function takeLock(path: string, lock: string): void {
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = Number(readFileSync(lock, 'utf8'));
    if (isRunning(owner)) {
      throw new UserError(
        `${path}: process ${owner} is training there; end it first (if it is none of wgrad, remove ${lock})`,
      );
    }
    rmSync(lock, { force: true });
  }
}

/** Not this process: in a container that was started anew it may have the number of the one that was killed. */
function isRunning(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
