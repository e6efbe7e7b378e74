import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, watch as watchFolder } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../../io/errors.ts';

/** Milliseconds in which an editor's several writes count as one. */
const DEBOUNCE = 150;
const WATCHED = ['shaders', join('src', 'runtime', 'kernels')];

/**
 * Runs `wgrad kernel` with these arguments from the sources of the checkout that the command belongs to, and again
 * whenever one is saved: shaders are text in the bundle, so each time it is bundled anew. Ends with the process; a run
 * that fails ends only itself.
 */
export async function watch(args: readonly string[]): Promise<number> {
  const root = rootOf(dirname(fileURLToPath(import.meta.url)));
  const runner = join(root, 'scripts', 'run.mjs');
  if (!existsSync(runner)) {
    throw new UserError('--watch needs a checkout of wgrad with its sources; this is the package');
  }
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  const run = () => {
    child?.kill();
    child = spawn(process.execPath, [runner, join(root, 'src', 'cli', 'main.ts'), 'kernel', ...args], {
      stdio: 'inherit',
    });
  };
  const watchers = WATCHED.map(folder =>
    watchFolder(join(root, folder), (_, file) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        console.log(`\n${file ?? folder} was saved, ${new Date().toLocaleTimeString()}`);
        run();
      }, DEBOUNCE);
    }),
  );
  run();
  await new Promise<void>(resolve => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  for (const watcher of watchers) watcher.close();
  clearTimeout(timer);
  child?.kill();
  return 0;
}

/** The folder of package.json above this one. */
function rootOf(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : rootOf(dirname(folder));
}
