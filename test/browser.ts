import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import puppeteer, { type Browser } from 'puppeteer';

/** WebGPU on SwiftShader, and none of the browser's services that would ask the network for something. */
const ARGS = [
  '--no-sandbox',
  '--use-webgpu-adapter=swiftshader',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];
const WEBGPU = '--enable-unsafe-webgpu';

/** Where the Chromium of @sparticuz/chromium is unpacked, once, with the system libraries that a bare machine lacks. */
const folder = join(import.meta.dirname, '..', 'node_modules', '.cache', 'chromium');

/** Starts Chromium, by default with WebGPU. Nothing of it is seen by other children of this process. */
export async function launchChromium({ webgpu = true } = {}): Promise<Browser> {
  if (!existsSync(folder)) unpack();
  return puppeteer.launch({
    args: webgpu ? [...ARGS, WEBGPU] : ARGS,
    executablePath: join(folder, 'chromium'),
    headless: 'shell',
    protocolTimeout: 600_000, // a wait inside the page counts as one call
    env: {
      ...process.env,
      FONTCONFIG_PATH: join(folder, 'fonts'),
      LD_LIBRARY_PATH: [join(folder, 'al2023', 'lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':'),
    },
  });
}

/**
 * The package unpacks into the folder for temporary files, and its libraries where it takes itself to run in a Lambda.
 */
function unpack(): void {
  const unfinished = `${folder}-${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  const script = "import('@sparticuz/chromium').then(({ default: chromium }) => chromium.executablePath())";
  execFileSync(process.execPath, ['-e', script], {
    env: { ...process.env, TMPDIR: unfinished, AWS_LAMBDA_JS_RUNTIME: 'nodejs20.x' },
  });
  try {
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true });
    if (!existsSync(folder)) throw error; // else another process was faster
  }
}
