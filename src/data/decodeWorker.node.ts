/** What a worker thread of decoder.node.ts runs: image files in, squares of pixels out. */
import { parentPort } from 'node:worker_threads';
import { UserError } from '../io/errors.ts';
import type { Task, TaskResult } from './decoder.node.ts';
import { decodeSquare } from './square.ts';

const port = parentPort!;

port.on('message', async ({ id, bytes, name, size }: Task) => {
  let result: TaskResult;
  try {
    result = { id, pixels: await decodeSquare(bytes, name, size) };
  } catch (error) {
    result = { id, message: (error as Error).message, isUserError: error instanceof UserError };
  }
  port.postMessage(result);
});
