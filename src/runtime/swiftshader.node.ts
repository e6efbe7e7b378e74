import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

/** Where the embedded driver lies once unpacked. */
export interface Swiftshader {
  /** The Vulkan loader, libvulkan.so.1. */
  loader: string;
  /** The manifest that tells a Vulkan loader where the driver is. */
  manifest: string;
}

const loader = 'libvulkan.so.1';
const manifest = 'vk_swiftshader_icd.json';
const members = [loader, manifest, 'libvk_swiftshader.so'];

/**
 * Unpacks SwiftShader, the CPU driver that Chromium carries, from the npm package @sparticuz/chromium, once for a user:
 * into $XDG_CACHE_HOME/wgrad or ~/.cache/wgrad, or where neither can be written into the folder for temporary files.
 * Processes that unpack at the same time do not disturb one another.
 *
 * @throws Error where the package carries no driver for this system, or no folder can be written.
 */
export function unpackSwiftshader(): Swiftshader {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error('it is there on Linux x64 only');
  // The package's entry is build/cjs/index.cjs; neither its package.json nor its bin/ can be resolved by name.
  const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  const root = join(dirname(entry), '..', '..');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const cache = cacheFolder();
  const folder = join(cache, `swiftshader-${version}`);
  if (!existsSync(folder)) unpack(join(root, 'bin', 'swiftshader.tar.br'), cache, folder);
  return { loader: join(folder, loader), manifest: join(folder, manifest) };
}

/** The first folder that is this user's own and can be written: libraries are loaded from it. */
function cacheFolder(): string {
  const preferred = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'wgrad');
  const temporary = join(tmpdir(), `wgrad-${process.getuid!()}`);
  const reasons: string[] = [];
  for (const folder of [preferred, temporary]) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const { uid, mode } = lstatSync(folder);
      if (uid !== process.getuid!() || mode & 0o022) throw new Error('others can write it');
      rmSync(mkdtempSync(join(folder, 'writable-')), { recursive: true });
      return folder;
    } catch (error) {
      reasons.push(`${folder}: ${(error as Error).message}`);
    }
  }
  throw new Error(`no folder to unpack it into (${reasons.join('; ')})`);
}

/**
 * Unpacks the archive's members under a temporary name and renames the folder, so that it is never seen half-written.
 */
function unpack(archive: string, cache: string, folder: string): void {
  const temporary = mkdtempSync(join(cache, 'unpacking-'));
  const tar = brotliDecompressSync(readFileSync(archive));
  for (const { name, data } of readTar(tar)) {
    if (members.includes(name)) writeFileSync(join(temporary, name), data, { mode: 0o755 });
  }
  try {
    renameSync(temporary, folder);
  } catch (error) {
    rmSync(temporary, { recursive: true });
    if (!existsSync(folder)) throw error; // else another process was first
  }
}

/** The files of a tar archive: each a header block of 512 bytes (name at 0, size in octal at 124), then padded data. */
function* readTar(tar: Buffer): Generator<{ name: string; data: Buffer }> {
  for (let at = 0; tar[at] !== 0; ) {
    const name = tar.toString('latin1', at, at + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(tar.toString('latin1', at + 124, at + 136), 8);
    yield { name, data: tar.subarray(at + 512, at + 512 + size) };
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
