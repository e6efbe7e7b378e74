import { describe, expect, it } from 'vitest';
import { UserError } from '../src/io/errors.ts';
import { AbortionMonitor, type MonitorState, marginalGain } from '../src/train/abortion.ts';
import { type AbortionOptions, abortionWarning, presetNames, presetOptions } from '../src/train/abortionPresets.ts';
import { absoluteDeciles, firstFirings, ShadowMonitors } from '../src/train/abortionShadow.ts';

const relative = (overrides: Partial<AbortionOptions> = {}) => presetOptions('paper-relative', overrides);
const absolute = (overrides: Partial<AbortionOptions> = {}) =>
  presetOptions('paper-absolute', { thresholdA: 0.5, ...overrides });

const times = (n: number, value: number) => Array<number>(n).fill(value);
/** first, first+1, … in hundredths or other units. */
const ramp = (n: number, first: number, scale: number) => Array.from({ length: n }, (_, i) => (first + i) * scale);
const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

const throughJson = (monitor: AbortionMonitor): AbortionMonitor =>
  new AbortionMonitor(monitor.options, JSON.parse(JSON.stringify(monitor.state())) as MonitorState);

/** Counts, 'KIND@observation from>to' for each event, and stages left; saved and restored before index `restoreAt`. */
function run(options: AbortionOptions, losses: readonly number[], restoreAt = -1) {
  let monitor = new AbortionMonitor(options);
  const counts: number[] = [];
  const events: string[] = [];
  losses.forEach((loss, i) => {
    if (i === restoreAt) monitor = throughJson(monitor);
    const { count, active, event } = monitor.observe(loss);
    expect(active).toBe(monitor.active);
    counts.push(count);
    if (event) events.push(`${event.kind}@${event.observation} ${event.from}>${event.to}`);
  });
  return { counts, events, active: monitor.active };
}

interface Vector {
  name: string;
  options: AbortionOptions;
  losses: number[];
  counts: number[];
  events?: string[];
  active?: number;
}

const tv6 = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9.5, 9.6, 9.7, 9.8, 9.9, 10, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6];
const tv9 = [...times(10, 0.7), 0.49, ...times(11, 0.7)];
const tv10 = [0.9, 0.6, 0.45, 0.44, 0.43, 0.42, 0.41, 0.4, 0.39, 0.38, 0.37, 0.36, 0.35];
const tv11 = [1.0, 1.1, NaN, 1.2, 1.15, Infinity, 1.16, 1.17];
const tv12 = [Infinity, Infinity, 1, 2];
const tv13 = [1, ...times(21, NaN)];
const nonFinite = (...observations: number[]) => observations.map(n => `NONFINITE@${n} 3>3`);

const vectors: Vector[] = [
  {
    name: 'TV1 strictly falling',
    options: relative(),
    losses: [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.01],
    counts: times(12, 0),
  },
  {
    name: 'TV2 rising',
    options: relative(),
    losses: ramp(12, 10, 0.01),
    counts: [0, ...upTo(9), 0, 1],
    events: ['ABORT@11 3>2'],
    active: 2,
  },
  {
    name: 'TV3 constant: ties fail',
    options: relative(),
    losses: times(32, 0.5),
    counts: [0, ...upTo(9), 0, ...upTo(9), 0, ...upTo(9), 0, 1],
    events: ['ABORT@11 3>2', 'ABORT@21 2>1', 'FLOOR@31 1>1'],
    active: 1,
  },
  {
    name: 'TV4 constant, baseline reset',
    options: relative({ resetBaselineOnAbort: true }),
    losses: times(24, 0.5),
    counts: [0, ...upTo(9), 0, 0, ...upTo(9), 0, 0, 1],
    events: ['ABORT@11 3>2', 'ABORT@22 2>1'],
    active: 1,
  },
  {
    name: 'TV5 sawtooth',
    options: relative(),
    losses: [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2],
    counts: [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1],
  },
  {
    name: 'TV6 a dip rescues',
    options: relative(),
    losses: tv6,
    counts: [0, ...upTo(9), 0, ...upTo(9), 0, 1],
    events: ['ABORT@21 3>2'],
    active: 2,
  },
  {
    name: 'TV7 absolute, exceeding',
    options: absolute(),
    losses: times(12, 0.6),
    counts: [...upTo(10), 0, 1],
    events: ['ABORT@11 3>2'],
    active: 2,
  },
  {
    name: 'TV7 absolute, reaching',
    options: absolute({ fireWhen: 'gte' }),
    losses: times(12, 0.6),
    counts: [...upTo(9), 0, 1, 2],
    events: ['ABORT@10 3>2'],
    active: 2,
  },
  {
    name: 'TV8 absolute, equality fails',
    options: absolute(),
    losses: times(23, 0.5),
    counts: [...upTo(10), 0, ...upTo(10), 0, 1],
    events: ['ABORT@11 3>2', 'ABORT@22 2>1'],
    active: 1,
  },
  {
    name: 'TV9 absolute, one loss below',
    options: absolute(),
    losses: tv9,
    counts: [...upTo(10), 0, ...upTo(10), 0],
    events: ['ABORT@22 3>2'],
    active: 2,
  },
  {
    name: 'TV9 reaching',
    options: absolute({ fireWhen: 'gte' }),
    losses: tv9,
    counts: [...upTo(9), 0, 0, ...upTo(9), 0, 1],
    events: ['ABORT@10 3>2', 'ABORT@21 2>1'],
    active: 1,
  },
  { name: 'TV10 absolute, literal', options: absolute(), losses: tv10, counts: [1, 2, ...times(11, 0)] },
  {
    name: 'TV10 absolute, inverted',
    options: absolute({ absoluteSense: 'resetAbove' }),
    losses: tv10,
    counts: [0, 0, ...upTo(10), 0],
    events: ['ABORT@13 3>2'],
    active: 2,
  },
  {
    name: 'TV11 non-finite ignored',
    options: relative(),
    losses: tv11,
    counts: [0, 1, 1, 2, 0, 0, 1, 2],
    events: nonFinite(3, 6),
  },
  {
    name: 'TV11 non-finite counted',
    options: relative({ nonFinite: 'count' }),
    losses: tv11,
    counts: [0, 1, 2, 3, 0, 1, 2, 3],
    events: nonFinite(3, 6),
  },
  {
    name: 'TV11 non-finite literal',
    options: relative({ nonFinite: 'literal' }),
    losses: tv11,
    counts: [0, 1, 2, 3, 0, 1, 0, 1],
    events: nonFinite(3, 6),
  },
  {
    name: 'TV12 first values non-finite, ignored',
    options: relative(),
    losses: tv12,
    counts: [0, 0, 0, 1],
    events: nonFinite(1, 2),
  },
  {
    name: 'TV12 literal',
    options: relative({ nonFinite: 'literal' }),
    losses: tv12,
    counts: [1, 2, 0, 1],
    events: nonFinite(1, 2),
  },
  {
    name: 'TV13 NaN ignored',
    options: relative(),
    losses: tv13,
    counts: times(22, 0),
    events: upTo(21).map(n => `NONFINITE@${n + 1} 3>3`),
  },
  {
    name: 'TV13 NaN literal collapses',
    options: relative({ nonFinite: 'literal' }),
    losses: tv13,
    counts: [0, ...upTo(9), 0, ...upTo(9), 0, 1],
    events: [
      ...upTo(9).map(n => `NONFINITE@${n + 1} 3>3`),
      'ABORT@11 3>2',
      ...upTo(9).map(n => `NONFINITE@${n + 11} 2>2`),
      'ABORT@21 2>1',
      'NONFINITE@22 1>1',
    ],
    active: 1,
  },
  {
    name: 'TV14 one stage only',
    options: relative({ initialStages: 1 }),
    losses: times(12, 0.5),
    counts: [0, ...upTo(9), 0, 1],
    events: ['FLOOR@11 1>1'],
    active: 1,
  },
  {
    name: 'TV15 uninterrupted',
    options: relative(),
    losses: ramp(12, 30, 0.01),
    counts: [0, ...upTo(9), 0, 1],
    events: ['ABORT@11 3>2'],
    active: 2,
  },
  {
    name: 'TV16 best of window means',
    options: presetOptions('robust', { window: 2, patience: 3, minDeltaRel: 0.01, warmup: 1, cooldown: 1 }),
    losses: [
      ...[1.0, 0.9, 0.9, 0.8, 0.84, 0.845, 0.845, 0.84, 0.86, 0.84],
      ...[0.95, 0.93, 0.9, 0.88, 0.89, 0.87, 0.88, 0.88, 0.88, 0.87],
    ],
    counts: [0, 0, 0, 0, 0, 1, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2],
    events: ['WARMUP_END@2 3>3', 'ABORT@10 3>2'],
    active: 2,
  },
];

describe('the test vectors of the abortion method', () => {
  for (const { name, options, losses, counts, events = [], active = 3 } of vectors) {
    it(name, () => {
      expect(run(options, losses)).toEqual({ counts, events, active });
    });
    it(`${name}: saved and restored at every index`, () => {
      for (let i = 0; i <= losses.length; i++) expect(run(options, losses, i)).toEqual({ counts, events, active });
    });
  }

  it('TV15: what is saved after eight observations, and what a restart without it would do', () => {
    const losses = ramp(12, 30, 0.01);
    const monitor = new AbortionMonitor(relative());
    for (const loss of losses.slice(0, 8)) monitor.observe(loss);
    expect(monitor.state()).toMatchObject({ previous: 0.37, count: 7, active: 3 });
    expect(run(relative(), losses.slice(8))).toEqual({ counts: [0, 1, 2, 3], events: [], active: 3 });
  });

  it('TV16: good and baseline as they are logged', () => {
    const { options, losses } = vectors.find(({ name }) => name.startsWith('TV16'))!;
    const monitor = new AbortionMonitor(options);
    const decisions = losses.map(loss => monitor.observe(loss)).filter((_, i) => i % 2 === 1);
    expect(decisions.map(({ good }) => good)).toEqual([
      null,
      true,
      false,
      false,
      false,
      null,
      true,
      true,
      false,
      false,
    ]);
    const best = [Infinity, 0.95, 0.85, 0.85, 0.85, Infinity, 0.94, 0.89, 0.88, 0.88];
    decisions.forEach(({ baseline }, i) => {
      if (best[i] === Infinity) expect(baseline).toBe(Infinity);
      else expect(baseline).toBeCloseTo(best[i], 12);
    });
  });
});

describe('options', () => {
  it('the presets are those of the specification', () => {
    expect(presetNames).toEqual(['off', 'paper-relative', 'paper-absolute', 'robust']);
    expect(relative()).toMatchObject({ mode: 'relative', patience: 10, fireWhen: 'gte', signal: 'trainStep' });
    expect(relative()).toMatchObject({ resetBaselineOnAbort: false, warmup: 0, cooldown: 0, initialStages: 3 });
    expect(absolute()).toMatchObject({ mode: 'absolute', patience: 10, fireWhen: 'gt', absoluteSense: 'resetBelow' });
    expect(presetOptions('robust')).toMatchObject({
      mode: 'best',
      patience: 10,
      fireWhen: 'gte',
      signal: 'trainWindowMean',
      window: 200,
      minDeltaRel: 0.002,
      minDeltaAbs: 0,
      warmup: 10,
      cooldown: 5,
      resetBaselineOnAbort: true,
      minStages: 1,
      nonFinite: 'ignore',
      onFloor: 'ignore',
    });
  });

  it('refuses what cannot be, in one line that names it', () => {
    const refused = (name: string, overrides: object, message: RegExp) => {
      expect(() => presetOptions(name, overrides)).toThrow(UserError);
      expect(() => presetOptions(name, overrides)).toThrow(message);
    };
    refused('paper-absolute', {}, /threshold/);
    refused('paper-absolute', { thresholdA: NaN }, /thresholdA is NaN/);
    refused('paper', {}, /paper-relative, paper-absolute, robust/);
    refused('toString', {}, /no preset/);
    refused('robust', { patience: 0 }, /patience is 0/);
    refused('robust', { patience: 2.5 }, /patience is 2.5/);
    refused('robust', { window: 0 }, /window is 0/);
    refused('robust', { warmup: -1 }, /warmup is -1/);
    refused('robust', { minDeltaRel: 1 }, /minDeltaRel is 1/);
    refused('robust', { minDeltaAbs: -0.1 }, /minDeltaAbs is -0.1/);
    refused('robust', { minStages: 4 }, /minStages is 4/);
    refused('robust', { fireWhen: 'soon' }, /fireWhen is soon; give one of gte, gt/);
    refused('robust', { patince: 3 }, /no option is called 'patince'/);
  });

  it('warns of the literal absolute rule only', () => {
    expect(abortionWarning(absolute())).toMatch(/every 11 losses in a row at or above 0.5/);
    expect(abortionWarning(absolute({ fireWhen: 'gte' }))).toMatch(/every 10 losses/);
    expect(abortionWarning(absolute({ absoluteSense: 'resetAbove' }))).toBeUndefined();
    expect(abortionWarning(relative())).toBeUndefined();
  });

  it('off never changes anything', () => {
    const losses = [...times(30, 0.5), NaN, ...times(30, 0.6)];
    expect(run(presetOptions('off'), losses)).toEqual({ counts: times(61, 0), events: [], active: 3 });
  });

  it('a non-finite loss can be an error, and leaves the state as it was', () => {
    const monitor = new AbortionMonitor(relative({ nonFinite: 'throw' }));
    monitor.observe(0.5);
    const before = monitor.state();
    expect(() => monitor.observe(NaN)).toThrow(/NaN at observation 2/);
    expect(monitor.state()).toEqual(before);
  });

  it('a non-finite loss does not enter a window mean', () => {
    const options = presetOptions('robust', { window: 2, warmup: 0 });
    const monitor = new AbortionMonitor(options);
    for (const loss of [0.4, NaN, 0.6]) monitor.observe(loss);
    expect(monitor.state()).toMatchObject({ best: 0.5, windowCount: 0, observations: 3 });
  });

  it('counts a non-finite loss inside a window at once, but not during the warm-up', () => {
    const options = presetOptions('robust', { window: 2, warmup: 1, patience: 2, nonFinite: 'count' });
    expect(run(options, [NaN, 1, 1, NaN, NaN]).events).toEqual([
      'NONFINITE@1 3>3',
      'WARMUP_END@3 3>3',
      'NONFINITE@4 3>3',
      'ABORT@5 3>2',
    ]);
  });

  it('minDeltaAbs and minDeltaRel ask for more than a smaller loss', () => {
    expect(run(relative({ minDeltaAbs: 0.25 }), [1, 0.75, 0.375, 0.125]).counts).toEqual([0, 1, 0, 1]);
    expect(run(relative({ minDeltaRel: 0.5 }), [1, 0.5, 0.125]).counts).toEqual([0, 1, 0]);
  });

  it('slow progress adds up in mode best: the baseline stays until it is beaten by enough', () => {
    const options = presetOptions('robust', { window: 1, warmup: 0, minDeltaRel: 0.01 });
    expect(run(options, [1, 0.996, 0.992, 0.988]).counts).toEqual([0, 1, 2, 0]);
  });

  it('warm-up and cool-down count decisions and nothing fires in them', () => {
    const options = absolute({ warmup: 3, cooldown: 2, patience: 2, fireWhen: 'gte' });
    expect(run(options, times(11, 1))).toEqual({
      counts: [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
      events: ['WARMUP_END@3 3>3', 'ABORT@5 3>2', 'ABORT@9 2>1'],
      active: 1,
    });
  });

  it('minStages is the floor, where onFloor may ask for the end of the run', () => {
    const monitor = new AbortionMonitor(relative({ minStages: 2, patience: 1, onFloor: 'stop' }));
    const stopped = [1, 1, 1].map(loss => {
      const { active } = monitor.observe(loss);
      return [active, monitor.stopped];
    });
    expect(stopped).toEqual([
      [3, false],
      [2, false],
      [2, true],
    ]);
    expect(throughJson(monitor).stopped).toBe(true);
  });

  it('a stage that leaves without the monitor is one less, and changes nothing else', () => {
    const monitor = new AbortionMonitor(relative({ patience: 2 }));
    monitor.observe(0.5);
    monitor.observe(0.5);
    const before = monitor.state();
    monitor.stageLeft();
    expect(monitor.state()).toEqual({ ...before, active: 2 });
    expect(monitor.observe(0.5).event).toMatchObject({ kind: 'ABORT', from: 2, to: 1 });
    expect(() => monitor.stageLeft()).toThrow(RangeError);
  });

  it('marginalGain fires when the last stage adds too little', () => {
    expect(marginalGain([1, 0.8, 0.6])).toBeCloseTo(0.25, 12);
    expect(() => marginalGain([1])).toThrow(RangeError);
    const options = presetOptions('off', { mode: 'marginalGain', patience: 2, tau: 0.02 });
    const result = run(options, [0.03, 0.02, 0.019, 0.03, 0.01, -0.01, 0.01]);
    expect(result).toEqual({ counts: [0, 0, 1, 0, 1, 0, 1], events: ['ABORT@6 3>2'], active: 2 });
  });
});

describe('state', () => {
  it('an event holds the state before and after it', () => {
    const monitor = new AbortionMonitor(relative({ patience: 1 }));
    monitor.observe(0.5);
    const before = monitor.state();
    const { event } = monitor.observe(0.75);
    expect(event?.before).toEqual(before);
    expect(event?.after).toEqual(monitor.state());
    expect(event?.after).toMatchObject({ active: 2, previous: 0.75, aborts: 1, lastEvent: 2, observations: 2 });
  });

  it('infinities and NaN are text in it', () => {
    const monitor = new AbortionMonitor(relative({ nonFinite: 'literal' }));
    expect(monitor.state()).toMatchObject({ previous: 'Infinity', best: 'Infinity' });
    monitor.observe(NaN);
    expect(monitor.state().previous).toBe('NaN');
    monitor.observe(-Infinity);
    expect(throughJson(monitor).state()).toMatchObject({ previous: '-Infinity' });
  });

  it('refuses a state that no monitor of these options can have', () => {
    const state = new AbortionMonitor(relative()).state();
    const wrong: object[] = [{ active: 0 }, { active: 4 }, { count: -1 }, { count: 10 }, { count: '3' }];
    wrong.push({ previous: null }, { previous: '7' }, { stopped: 0 }, { observations: 1.5 }, { warmupLeft: 1 });
    for (const change of wrong) {
      const [name] = Object.keys(change);
      const restore = () => new AbortionMonitor(relative(), { ...state, ...change } as MonitorState);
      expect(restore).toThrow(UserError);
      expect(restore).toThrow(new RegExp(`${name} is`));
    }
    expect(() => new AbortionMonitor(relative(), null as unknown as MonitorState)).toThrow(UserError);
  });
});

/** Uniform in [0, 1), 32 bits of state (mulberry32). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('properties on random sequences', () => {
  const pick = <T>(random: () => number, values: readonly T[]): T => values[Math.floor(random() * values.length)];

  function randomCase(seed: number) {
    const random = generator(seed);
    const minStages = 1 + Math.floor(random() * 2);
    const options = presetOptions('robust', {
      mode: pick(random, ['relative', 'absolute', 'best', 'marginalGain'] as const),
      patience: 1 + Math.floor(random() * 4),
      fireWhen: pick(random, ['gte', 'gt'] as const),
      thresholdA: 0.5,
      absoluteSense: pick(random, ['resetBelow', 'resetAbove'] as const),
      signal: pick(random, ['trainStep', 'trainWindowMean'] as const),
      window: 1 + Math.floor(random() * 4),
      minDeltaRel: pick(random, [0, 0.01]),
      warmup: Math.floor(random() * 3),
      cooldown: Math.floor(random() * 3),
      resetBaselineOnAbort: random() < 0.5,
      initialStages: minStages + Math.floor(random() * 4),
      minStages,
      nonFinite: pick(random, ['ignore', 'count', 'literal'] as const),
      onFloor: pick(random, ['ignore', 'stop'] as const),
      tau: 0.5,
    });
    const special = [NaN, Infinity, -Infinity, 0.5];
    const losses = Array.from({ length: 60 }, () => (random() < 0.15 ? pick(random, special) : random()));
    return { options, losses, restoreAt: Math.floor(random() * 60) };
  }

  it('the floor is never undercut, stages never come back, one leaves at a time', () => {
    for (let seed = 0; seed < 500; seed++) {
      const { options, losses } = randomCase(seed);
      const monitor = new AbortionMonitor(options);
      let active = options.initialStages;
      for (const loss of losses) {
        const observation = monitor.observe(loss);
        const dropped = active - observation.active;
        expect(dropped).toBe(observation.event?.kind === 'ABORT' ? 1 : 0);
        expect(observation.active).toBeGreaterThanOrEqual(options.minStages);
        active = observation.active;
      }
    }
  });

  it('a restored monitor goes on as if it had never stopped', () => {
    for (let seed = 0; seed < 500; seed++) {
      const { options, losses, restoreAt } = randomCase(seed);
      expect(run(options, losses, restoreAt)).toEqual(run(options, losses));
    }
  });

  it('the count is the length of the run of failures modulo the patience', () => {
    for (let seed = 0; seed < 200; seed++) {
      const { options, losses } = randomCase(seed);
      const plain = relative({ patience: options.patience, fireWhen: options.fireWhen });
      const period = plain.patience + (plain.fireWhen === 'gt' ? 1 : 0);
      let previous = Infinity;
      let failures = 0;
      let kept = 0;
      const expected = losses.map(loss => {
        if (!Number.isFinite(loss)) return kept;
        failures = loss < previous ? 0 : failures + 1;
        previous = loss;
        kept = failures % period;
        return kept;
      });
      expect(run(plain, losses).counts).toEqual(expected);
    }
  });

  it('a constant loss fires every patience observations after the first', () => {
    for (const patience of [1, 2, 5, 10]) {
      const { counts, events } = run(relative({ patience, initialStages: 50 }), times(101, 0.5));
      expect(counts).toEqual(Array.from({ length: 101 }, (_, i) => i % patience));
      expect(events).toHaveLength(Math.floor(100 / patience));
    }
  });
});

describe('how often the relative rule fires by chance', () => {
  /** Mean observations to the first firing on independent noise, over `runs` new monitors. */
  function meanFirstFiring(patience: number, runs: number): number {
    const random = generator(patience);
    let observations = 0;
    for (let i = 0; i < runs; i++) {
      const monitor = new AbortionMonitor(relative({ patience }));
      do observations += 1;
      while (!monitor.observe(random()).event);
    }
    return observations / runs;
  }

  // The expectation is (k + 2)! / (k + 1); its standard error here is about 1 % of it.
  it.each([
    [3, 30],
    [4, 144],
  ])('patience %i: %i observations on average', (patience, expected) => {
    expect(Math.abs(meanFirstFiring(patience, 8000) / expected - 1)).toBeLessThan(0.04);
  });
});

describe('monitors that are not obeyed', () => {
  const options = { relative: relative({ patience: 2 }), robust: presetOptions('robust', { window: 2 }) };

  it('report their first firing only', () => {
    expect(firstFirings(options, times(40, 0.5))).toEqual([
      { name: 'relative', observation: 3 },
      { name: 'robust', observation: 40 },
    ]);
    expect(firstFirings(options, times(39, 0.5))[1]).toEqual({ name: 'robust', observation: null });
  });

  it('with one stage, where nothing could leave, a firing is one all the same', () => {
    expect(firstFirings({ one: relative({ initialStages: 1 }) }, times(12, 0.5))[0].observation).toBe(11);
  });

  it('go on from their state through JSON at every index', () => {
    const losses = times(45, 0.5);
    for (let i = 0; i <= losses.length; i++) {
      const first = new ShadowMonitors(options);
      for (const loss of losses.slice(0, i)) first.observe(loss);
      const second = new ShadowMonitors(options, JSON.parse(JSON.stringify(first.state())));
      for (const loss of losses.slice(i)) second.observe(loss);
      expect(second.firstFirings()).toEqual(firstFirings(options, losses));
    }
    expect(() => new ShadowMonitors(options, {})).toThrow(/'relative'/);
  });

  it('the absolute method at each decile of the losses', () => {
    // 101 losses falling from 1.00 to 0.00: a decile of p per cent is p / 100.
    const falling = Array.from({ length: 101 }, (_, i) => (100 - i) / 100);
    const table = absoluteDeciles(falling);
    expect(table.map(({ percent }) => percent)).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90]);
    for (const { percent, threshold } of table) expect(threshold).toBeCloseTo(percent / 100, 12);
    // At 90 % eleven losses, 1.00 to 0.90, are not below the threshold: exactly enough.
    expect(table.every(({ observation }) => observation === 11)).toBe(true);
    const rising = absoluteDeciles([NaN, ...falling.toReversed()]);
    expect(rising.map(({ observation }) => observation)).toEqual([22, 32, 42, 52, 62, 72, 82, 92, 102]);
    expect(absoluteDeciles([NaN])).toEqual([]);
    expect(absoluteDeciles([1, 2]).map(({ threshold }) => threshold)[4]).toBe(1.5);
    expect(absoluteDeciles(times(5, 1))[0].observation).toBeNull();
  });
});
