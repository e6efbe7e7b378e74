import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { unpackSwiftshader } from './swiftshader.node.ts';

const onLinux = process.platform === 'linux';
/** Where containers on Kubernetes are given the manifest of the NVIDIA driver, a folder that no loader searches. */
export const nvidiaContainerManifest = '/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json';

/** The C library's functions that Node has no name for; its own process.env reaches C from the main thread only. */
const libc = onLinux ? koffi.load('libc.so.6') : undefined;
const setenv = libc?.func('int setenv(const char *name, const char *value, int overwrite)');
const unsetenv = libc?.func('int unsetenv(const char *name)');
const dup = libc?.func('int dup(int fd)');
const dup2 = libc?.func('int dup2(int from, int to)');
const close = libc?.func('int close(int fd)');
const memfdCreate = libc?.func('int memfd_create(const char *name, unsigned int flags)');

/** Loaded libraries, referenced so that they stay loaded. */
const loaded: unknown[] = [];

/**
 * Sees to it that Dawn finds a Vulkan loader and the drivers that are there: LD_LIBRARY_PATH is read only when a
 * process starts, but a library that is loaded already is found by its name. Does nothing outside Linux.
 *
 * @returns why no loader could be had, or undefined.
 */
export function prepareVulkan(): string | undefined {
  if (!onLinux) return undefined;
  // Mesa's drivers complain without one.
  if (!existsSync(process.env.XDG_RUNTIME_DIR ?? '')) setenv!('XDG_RUNTIME_DIR', tmpdir(), 1);
  const chosenByUser = process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES || process.env.VK_ADD_DRIVER_FILES;
  const nvidiaFound = driverManifests().some(path => path.includes('nvidia'));
  if (!chosenByUser && !nvidiaFound && existsSync(nvidiaContainerManifest)) {
    setenv!('VK_ADD_DRIVER_FILES', nvidiaContainerManifest, 1);
  }
  if (loaded.length > 0) return undefined;
  try {
    loaded.push(koffi.load('libvulkan.so.1', { global: true }));
  } catch {
    try {
      loaded.push(koffi.load(unpackSwiftshader().loader, { global: true }));
    } catch (error) {
      return (error as Error).message;
    }
  }
  return undefined;
}

/** The manifests of the Vulkan drivers: those that the user chose, else those in the folders that a loader searches. */
export function driverManifests(): string[] {
  if (!onLinux) return [];
  const chosen = process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES;
  if (chosen) return chosen.split(':');
  return ['/usr/local/etc', '/etc', '/usr/local/share', '/usr/share']
    .map(folder => join(folder, 'vulkan', 'icd.d'))
    .filter(existsSync)
    .flatMap(folder => readdirSync(folder).map(file => join(folder, file)))
    .filter(path => path.endsWith('.json'));
}

/** Runs `f` while Vulkan sees only the driver of this manifest; all drivers that it finds, without one. */
export function withDriver<T>(manifest: string | undefined, f: () => T): T {
  if (!manifest) return f();
  const before = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'].map(name => [name, process.env[name]] as const);
  for (const [name] of before) setenv!(name, manifest, 1);
  try {
    return f();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) unsetenv!(name);
      else setenv!(name, value, 1);
    }
  }
}

/**
 * Runs `f` and catches what Dawn and the drivers write to the standard error meanwhile: it tells why a driver fails.
 */
export function catchingWarnings<T>(f: () => T): { result: T; warnings: string[] } {
  if (!onLinux) return { result: f(), warnings: [] };
  const standardError = dup!(2);
  const caught = memfdCreate!('warnings', 0);
  dup2!(caught, 2);
  try {
    const result = f();
    const text = readFileSync(`/proc/self/fd/${caught}`, 'utf8');
    return { result, warnings: [...text.matchAll(/^Warning: (.*)$/gm)].map(match => match[1]) };
  } finally {
    dup2!(standardError, 2);
    close!(standardError);
    close!(caught);
  }
}
