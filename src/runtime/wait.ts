/** Longest sleep of one turn, in milliseconds: long enough that Dawn's polling costs nothing, short beside a step. */
const longestSleep = 1;
/** A sleep is at most this fraction of the time waited so far, so that a short wait is never made noticeably longer. */
const sleepFraction = 1 / 8;

const inNode = typeof globalThis.process?.versions?.node === 'string';
const neverNotified = inNode ? new Int32Array(new SharedArrayBuffer(4)) : undefined;

/**
 * The turn of the event loop in progress, shared by all waits, so that waits side by side do not sleep one after
 * another.
 */
let turn: Promise<void> | undefined;

function sleepAndTurn(sleep: number): Promise<void> {
  turn ??= new Promise(resolve => {
    Atomics.wait(neverNotified!, 0, 0, sleep);
    setImmediate(() => {
      turn = undefined;
      resolve();
    });
  });
  return turn;
}

/**
 * Waits for a promise of the device: every wait on the device goes through this function.
 *
 * While such a promise is pending in Node, Dawn polls for it on every turn of the event loop and so keeps one core busy
 * spinning, a core that a CPU driver needs for the kernels. This slows the loop down by sleeping between turns. In a
 * page the browser waits, and this only awaits.
 *
 * @returns what the promise resolves to; rejects as the promise does.
 */
export async function settle<T>(promise: Promise<T>): Promise<T> {
  if (!inNode) return promise;
  let settled = false;
  const settle = () => {
    settled = true;
  };
  promise.then(settle, settle);
  const start = performance.now();
  await undefined; // a promise that has settled already needs no turn
  while (!settled) await sleepAndTurn(Math.min(longestSleep, (performance.now() - start) * sleepFraction));
  return promise;
}
