import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { UserError } from '../../src/io/errors.ts';

/** Where the peers are installed; scripts run in the checkout's root. */
export const folder = join(process.cwd(), 'bench', 'peers');

/** Requires a package of the peers: `import` would look for it beside the bundle that this file is part of. */
export const requirePeer = createRequire(join(folder, 'package.json'));

/** The version of a peer that is installed; undefined where none is. */
export function versionOf(name: string): string | undefined {
  const manifest = join(folder, 'node_modules', name, 'package.json');
  return existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')).version : undefined;
}

/**
 * Installs the peers as package-lock.json has them, unless they are there.
 *
 * @throws UserError where npm cannot
 */
export function installPeers(): void {
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (Object.entries(dependencies).every(([name, version]) => versionOf(name) === version)) return;
  console.error('bench:peers: installing the peers into bench/peers/node_modules (360 MB, once) …');
  // `npm run` tells the npm below it where the project is, which would be the wrong one here.
  const { npm_config_local_prefix: _, ...env } = process.env;
  // Without scripts: that of onnxruntime-node fetches CUDA libraries, which WebGPU has no use for.
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, stderr, error } = spawnSync('npm', args, {
    cwd: folder,
    env,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (status === 0) return;
  const reason =
    error?.message ?? stderr.match(/^npm (?:error|ERR!) (?!code|errno|syscall)(.+)$/m)?.[1] ?? stderr.trim();
  throw new UserError(
    `bench:peers: npm could not install the peers (${reason}): the first use needs a package registry`,
  );
}
