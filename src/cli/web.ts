import { once } from 'node:events';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { UserError } from '../io/errors.ts';
import type { Verb } from './main.ts';

/** A page's storage belongs to its port too, so it is the same from one time to the next. */
const PORT = 8765;

export const verb: Verb = {
  usage: 'web [--port N]',
  about: 'Serves a page, to this computer alone, in which the browser trains on its own GPU.',
  async run(args) {
    const { values } = parseArgs({ args, options: { port: { type: 'string' } } });
    const port = Number(values.port ?? PORT);
    if (!Number.isInteger(port) || port < 0 || port > 65535 || values.port?.trim() === '') {
      throw new UserError(`--port ${values.port}: give a number from 0 (any free port) to 65535`);
    }
    const root = packageFolder();
    const site = join(root, 'dist', 'web');
    if (!existsSync(join(site, 'index.html'))) throw new UserError(`${site} is not there: make it with npm run build`);
    const server = await serve({ site, weights: join(root, 'weights'), port });
    console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/ (Ctrl+C ends it)`);
    await once(server, 'close');
    return 0;
  },
};

/** The nearest folder above this file, be it source or bundle, that has a package.json. */
function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

export interface Site {
  /** The folder of the page's own files. */
  readonly site: string;
  /** What the page finds as weights/. */
  readonly weights: string;
  readonly port: number;
}

/**
 * Serves the two folders on 127.0.0.1, and nothing else.
 * @throws UserError where the port cannot be had
 */
export async function serve({ site, weights, port }: Site): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      refuse(response.setHeader('allow', 'GET, HEAD'), 405);
      return;
    }
    const parts = pathParts(request.url ?? '/');
    if (!parts) refuse(response, 400);
    else if (parts[0] === 'weights') send(response, join(weights, ...parts.slice(1)), request.method);
    else send(response, join(site, ...(parts.length > 0 ? parts : ['index.html'])), request.method);
  });
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new UserError(`port ${port} is in use: choose another with --port N, or any free one with --port 0`);
    }
    throw new UserError(`port ${port} cannot be opened: ${message}`);
  }
  return server;
}

/** The names in the path of a request; undefined where one of them could lead out of the folder. */
function pathParts(url: string): string[] | undefined {
  let path: string;
  try {
    path = decodeURIComponent(url.split(/[?#]/, 1)[0]);
  } catch {
    return undefined;
  }
  const parts = path.split('/').filter(part => part !== '');
  return parts.some(part => part.startsWith('.') || /[\\:\0]/.test(part)) ? undefined : parts;
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.map': 'application/json',
  '.json': 'application/json',
  '.safetensors': 'application/octet-stream',
};

/** The page loads nothing from elsewhere; 'unsafe-inline' is for the style of the report that it shows. */
const POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'";

function send(response: ServerResponse, file: string, method: string): void {
  const type = TYPES[extname(file)];
  const stats = statSync(file, { throwIfNoEntry: false });
  if (!type || !stats?.isFile()) {
    refuse(response, 404);
    return;
  }
  response.writeHead(200, {
    'content-type': type,
    'content-length': stats.size,
    'cache-control': 'no-cache',
    'content-security-policy': POLICY,
    'x-content-type-options': 'nosniff',
  });
  if (method === 'HEAD') response.end();
  else
    createReadStream(file)
      .on('error', () => response.destroy())
      .pipe(response);
}

function refuse(response: ServerResponse, status: 400 | 404 | 405): void {
  const texts = { 400: 'bad path', 404: 'not found', 405: 'GET and HEAD only' };
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${texts[status]}\n`);
}
