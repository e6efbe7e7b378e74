import type { Device } from './device.ts';

export interface RaceOptions {
  /** Rounds, in each of which every runner has its turn. Default 5. */
  readonly rounds?: number;
  /** Milliseconds of a turn: short work is repeated. Default 20. */
  readonly turn?: number;
  /** A runner so many times slower than the fastest is out. Default 1.5, and twice that for its first time alone. */
  readonly hopeless?: number;
}

/**
 * The milliseconds that each of some work takes: the median of its turns, which alternate, so that whatever else the
 * machine does meets all alike. Each must have run before. What is hopeless gets no further turn.
 */
export async function race(
  device: Pick<Device, 'finish'>,
  runners: readonly (() => void)[],
  { rounds = 5, turn = 20, hopeless = 1.5 }: RaceOptions = {},
): Promise<number[]> {
  const time = async (run: () => void, units: number) => {
    const start = performance.now();
    for (let i = 0; i < units; i++) run();
    await device.finish();
    return (performance.now() - start) / units;
  };
  await device.finish();
  const units: number[] = [];
  for (const run of runners) units.push(unitsFor(await time(run, 1), turn));
  const times: number[][] = runners.map(() => []);
  const running = new Set(runners.keys());
  for (let round = 0; round < rounds && (round === 0 || running.size > 1 || runners.length === 1); round++) {
    for (const i of running) {
      const ms = await time(runners[i], units[i]);
      times[i].push(ms);
      // The time alone that set the number of units was with a cold cache.
      if (round === 0) units[i] = unitsFor(ms, turn);
    }
    const best = Math.min(...times.map(median));
    for (const i of running) {
      if (median(times[i]) > (round === 0 ? 2 : 1) * hopeless * best) running.delete(i);
    }
  }
  return times.map(median);
}

function unitsFor(ms: number, turn: number): number {
  return Math.max(1, Math.min(1000, Math.round(turn / ms)));
}

/** The middle one of some values, of two the larger. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
