import { describe, expect, it } from 'vitest';
import { presetOptions } from '../src/train/abortionPresets.ts';
import { path, smooth, smoothingWindow } from '../src/train/report/chart.ts';
import { escapeHtml, formatBytes, formatMilliseconds, formatNumber, formatPercent } from '../src/train/report/html.ts';
import { fittedScale, linearScale, niceStep } from '../src/train/report/scale.ts';
import { type Drop, type RunReport, renderReport } from '../src/train/report.ts';
import { sampleReport } from './sampleReport.ts';

const scheduled: Drop[] = [
  { kind: 'scheduled', decisionStep: 352, effectiveStep: 353, from: 3, to: 2 },
  { kind: 'scheduled', decisionStep: 376, effectiveStep: 377, from: 2, to: 1 },
];
const obeyed: Drop[] = [{ kind: 'obeyed', decisionStep: 192, effectiveStep: 201, from: 3, to: 2 }];

/** The names of the elements that are open where a tag does not close the innermost one; empty if well-formed. */
function unbalanced(html: string): string[] {
  const open: string[] = [];
  for (const [, slash, name] of html.replace(/<style>[^<]*<\/style>/, '').matchAll(/<(\/?)([a-z][a-z0-9]*)[^<>]*>/gi)) {
    if (['meta', 'img'].includes(name)) continue;
    if (!slash) open.push(name);
    else if (open.pop() !== name) return [...open, name];
  }
  return open;
}

/** The text of a page as a reader sees it. */
const text = (html: string) =>
  html
    .replace(/<(style|title)>.*?<\/\1>/gs, '')
    .replace(/<[^>]+>/g, ' ')
    .replace(/\s+/g, ' ');

const occurrences = (html: string, pattern: RegExp) => [...html.matchAll(pattern)].length;

describe('the report', () => {
  const page = renderReport(sampleReport({ drops: scheduled }));

  it('is well-formed', () => {
    expect(page.startsWith('<!DOCTYPE html>\n<html lang="en">')).toBe(true);
    expect(unbalanced(page)).toEqual([]);
    expect(unbalanced('<p><b></p>')).not.toEqual([]);
    expect(page.replace(/<[^<>]*>/g, '')).not.toMatch(/[<>]/);
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const used = [...page.matchAll(/url\(#([^)]+)\)/g)].map(([, id]) => id);
    expect(used.every(id => ids.includes(id))).toBe(true);
    expect(page).not.toMatch(/NaN|Infinity|undefined|\[object/);
  });

  it('needs nothing from elsewhere, and no script', () => {
    expect(page).not.toMatch(/https?:|<script|<link|<iframe|@import|\son\w+=|srcset/i);
    expect(page).not.toMatch(/url\((?!#)/);
    const sources = [...page.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, source]) => source);
    expect(sources).toHaveLength(40);
    expect(sources.every(source => source.startsWith('data:image/png;base64,'))).toBe(true);
  });

  it('is the same for the same data', () => {
    expect(renderReport(sampleReport({ drops: scheduled }))).toBe(page);
  });

  it('escapes all text of the run', () => {
    const evil = `<img src=x onerror="alert('1')">&`;
    const run = sampleReport({ drops: obeyed });
    run.title = run.subtitle = run.abortion.preset = run.metrics.description = evil;
    run.adapter = { [evil]: evil };
    run.config = { [evil]: evil, nested: { [evil]: [evil] } };
    run.terms = run.terms.map(term => ({ ...term, title: evil }));
    run.metrics.rows = run.metrics.rows.map(row => ({ ...row, name: evil }));
    run.reconstructions.rows = run.reconstructions.rows.map(row => ({ ...row, label: evil, note: evil }));
    run.abortion.firstFirings = [{ name: evil, observation: 20 }];
    const html = renderReport(run);
    expect(html).not.toContain('<img src=x');
    expect(html).not.toContain('onerror="');
    expect(unbalanced(html)).toEqual([]);
    expect(occurrences(html, /&lt;img src=x onerror=&quot;alert\(&#39;1&#39;\)&quot;&gt;&amp;/g)).toBeGreaterThan(20);
  });

  it('refuses a picture that is not in the page', () => {
    const run = sampleReport({ picture: () => 'https://example.com/face.png' });
    expect(() => renderReport(run)).toThrow(/picture 1 of 'Input'/);
  });

  it('marks each drop in every chart, and says what kind it is', () => {
    const run = sampleReport({ drops: [...obeyed, { ...scheduled[1] }] });
    run.abortion.firstFirings = [
      { name: 'paper-relative', observation: 120 },
      { name: 'other', observation: null },
    ];
    const html = renderReport(run);
    for (const title of ['robust 3 → 2', 'scheduled 2 → 1', 'paper-relative, not obeyed']) {
      // The total, four terms and the timeline; the first and the last with a label that can be read.
      expect(occurrences(html, new RegExp(`<title>${title}</title>`, 'g'))).toBe(6);
      expect(occurrences(html, new RegExp(`>${title}</text>`, 'g'))).toBe(2);
    }
    expect(html).not.toContain('other, not obeyed');
    expect(text(html)).toMatch(/monitor robust 3 → 2 192 201/);
    expect(text(html)).toMatch(/schedule 2 → 1 376 377/);
    expect(text(html)).toMatch(/paper-relative 120 3 other never –/);
    expect(text(html)).toMatch(/It fired once and dropped the last stage/);
    expect(text(html)).not.toMatch(/did not fire|No monitor fired/);
    expect(text(html)).toMatch(/One drop was scheduled beforehand/);
  });

  it('gives the lanes of the timeline the colours of the curves, however many stages there are', () => {
    const run = sampleReport();
    const [stage] = run.stages;
    run.stages = Array(7).fill(stage);
    run.log.active = run.log.active.map(() => 7);
    const lanes = [...renderReport(run).matchAll(/<rect class="fill (s\d)"/g)].map(([, colour]) => colour);
    expect(lanes).toEqual(['s1', 's2', 's3', 's4', 's5', 's1', 's2']);
  });

  it('places a marker at its step', () => {
    // The wide charts map steps 0 to 400 to pixels 56 to 986.
    const pixel = (56 + (353 / 400) * 930).toFixed(1);
    expect(page).toMatch(
      new RegExp(`<path class="marker scheduled" d="M${pixel} [0-9]+V[0-9]+"><title>scheduled 3 → 2`),
    );
  });

  it('says so if no monitor fired', () => {
    expect(text(page)).toMatch(/No monitor fired , neither one obeyed nor one that only watched/);
    const shadow = sampleReport();
    shadow.abortion.firstFirings = [{ name: 'paper-relative', observation: 120 }];
    expect(text(renderReport(shadow))).toMatch(/It did not fire and dropped no stage/);
    expect(text(renderReport(shadow))).not.toMatch(/No monitor fired/);
    const off = sampleReport();
    off.abortion = { ...off.abortion, preset: 'off', options: presetOptions('off'), firstFirings: [] };
    expect(text(renderReport(off))).toMatch(/The run obeyed no monitor\. No monitor fired \./);
    const floor = sampleReport();
    floor.abortion.floorFirings = 2;
    expect(text(renderReport(floor))).toMatch(/It fired 2 times with one stage left/);
    expect(text(renderReport(floor))).not.toMatch(/did not fire|No monitor fired/);
    const late = sampleReport();
    late.abortion.lateFirings = 1;
    expect(text(renderReport(late))).toMatch(/It fired once so near the end of the run/);
    expect(text(renderReport(late))).not.toMatch(/did not fire|No monitor fired/);
  });

  it('measures what a drop saves', () => {
    const run = sampleReport({ drops: scheduled });
    run.log.msPerStep = run.log.active.map(active => 100 + 200 * active);
    const saved = text(renderReport(run)).match(/What a drop saves.*Configuration/)?.[0];
    expect(saved).toMatch(/3 – 352 700 ms 700 ms – 700 ms –/);
    expect(saved).toMatch(/2 schedule 24 500 ms 500 ms – 500 ms 29 %/);
    expect(saved).toMatch(/1 schedule 24 300 ms 300 ms – 300 ms 57 %/);
    expect(text(renderReport(sampleReport()))).toMatch(
      /No stage left during the run, so there is no saving to measure/,
    );
  });

  it('sets the metrics of the result beside the baseline', () => {
    expect(text(page)).toMatch(/stage 2 stage 3, the result result : mean latent/);
    expect(text(page)).toMatch(/MS-SSIM higher is better 0\.3910 ± 0\.1504 .* 0\.6800 ± 0\.0940 174 %/);
    const run = sampleReport();
    run.metrics.resultStage = 1;
    expect(text(renderReport(run))).toMatch(/Held-out L2 0\.0412 47 % of the mean latent’s/);
    const worse = sampleReport();
    worse.metrics.rows = [
      { name: 'ID', better: 'higher', baseline: { mean: 0.5 }, stages: [0.6, 0.5, 0.4].map(mean => ({ mean })) },
    ];
    expect(renderReport(worse)).not.toContain('class="better"');
  });

  it('marks the table of deciles as computed afterwards', () => {
    expect(text(page)).toMatch(/Computed afterwards , with the threshold at each decile/);
    expect(text(page)).toMatch(/losses below it 10 % 20 % .* 90 % threshold 1\.0\d+ .* first firing at step 11/);
  });

  it('shows the configuration with dotted names, and the adapter', () => {
    expect(text(page)).toMatch(/optimizer\.betas \[0\.95,0\.999\]/);
    expect(text(page)).toMatch(/driver lavapipe, Mesa 22\.3\.6/);
  });

  it('stands a run of one step, of none, and one that diverged', () => {
    const one = sampleReport({ steps: 1 });
    const none = sampleReport({ steps: 0 });
    none.metrics.rows = [];
    none.reconstructions.rows = [];
    const diverged = sampleReport();
    diverged.stages = diverged.stages.map(({ total, terms }) => ({ total: total.map(() => Number.NaN), terms }));
    for (const run of [one, none, diverged] satisfies RunReport[]) {
      const html = renderReport(run);
      expect(unbalanced(html)).toEqual([]);
      expect(html).not.toMatch(/NaN|Infinity|undefined/);
    }
    expect(renderReport(diverged)).toContain('no finite values');
  });
});

describe('scales', () => {
  it('steps are 1, 2 or 5 times a power of ten', () => {
    expect([0.7, 1, 3.4, 12, 47, 400].map(span => niceStep(span, 5))).toEqual([0.1, 0.2, 0.5, 2, 10, 100]);
  });

  it('ticks are round and inside', () => {
    const labels = (low: number, high: number) => linearScale(low, high, 0, 100, 5).ticks.map(({ label }) => label);
    expect(labels(0, 1.1)).toEqual(['0.0', '0.2', '0.4', '0.6', '0.8', '1.0']);
    expect(labels(-0.04, 0.05)).toEqual(['−0.04', '−0.02', '0.00', '0.02', '0.04']);
    expect(labels(0, 50000)).toEqual(['0', '10\u202f000', '20\u202f000', '30\u202f000', '40\u202f000', '50\u202f000']);
  });

  it('logarithmic only where positive values span much', () => {
    const values = (low: number, high: number) => Array.from({ length: 101 }, (_, i) => low + ((high - low) * i) / 100);
    expect(fittedScale(values(0.01, 1), 100, 0)?.kind).toBe('log');
    expect(fittedScale(values(0.2, 1), 100, 0)).toMatchObject({ kind: 'linear', low: 0 });
    expect(fittedScale(values(0, 1), 100, 0)).toMatchObject({ kind: 'linear', low: 0 });
    expect(fittedScale(values(0.9, 1), 100, 0)?.low).toBeCloseTo(0.894, 6);
    expect(fittedScale(values(-1, 1), 100, 0)?.kind).toBe('linear');
    expect(fittedScale([Number.NaN], 100, 0)).toBeNull();
    const log = fittedScale(values(0.01, 1), 100, 0)!;
    expect(log.at(Math.sqrt(log.low * log.high))).toBeCloseTo(50, 9);
    expect(log.ticks.map(({ label }) => label)).toEqual(['0.01', '0.02', '0.05', '0.1', '0.2', '0.5', '1']);
  });

  it('a constant and a single outlier do not spoil it', () => {
    const constant = fittedScale([0.5, 0.5], 100, 0)!;
    expect(constant.at(0.5)).toBeGreaterThan(5);
    expect(constant.at(0.5)).toBeLessThan(95);
    const spike = [...Array<number>(1000).fill(1), 1e9];
    expect(fittedScale(spike, 100, 0)!.high).toBeLessThan(2);
  });
});

describe('curves', () => {
  it('smooth is a centred mean that keeps gaps', () => {
    expect(smooth([1, 2, 6, 4], 3)).toEqual([1.5, 3, 4, 5]);
    expect(smooth([1, Number.NaN, 3], 3)).toEqual([1, Number.NaN, 3]);
    expect(smooth([5, 7], 1)).toEqual([5, 7]);
    expect([1, 79, 80, 400].map(smoothingWindow)).toEqual([1, 1, 3, 11]);
  });

  it('a path breaks at gaps', () => {
    const x = linearScale(0, 4, 0, 400, 4);
    const y = linearScale(0, 1, 100, 0, 4);
    expect(path([0, 1, 2, 3, 4], [0, 0.5, Number.NaN, 1, 0], x, y)).toBe('M0.0 100.0L100.0 50.0M300.0 0.0L400.0 100.0');
  });

  it('a long path keeps the extremes of each pixel and stays small', () => {
    const steps = Array.from({ length: 100000 }, (_, i) => i);
    const values = steps.map(i => (i === 54321 ? 1 : 0.1));
    const x = linearScale(0, 100000, 0, 500, 4);
    const d = path(steps, values, x, linearScale(0, 1, 100, 0, 4));
    expect(occurrences(d, /[ML]/g)).toBeLessThanOrEqual(2000);
    expect(occurrences(d, / 0\.0/g)).toBe(1);
  });
});

describe('formats', () => {
  it('numbers', () => {
    const numbers = [0, 3, -3, 400, 12000, 1234567, 0.0359, 0.68, 12.3456, 1234.5, 0.000123, 3.5e8, -0.5];
    expect(numbers.map(formatNumber)).toEqual([
      ...[
        '0',
        '3',
        '−3',
        '400',
        '12\u202f000',
        '1\u202f234\u202f567',
        '0.0359',
        '0.6800',
        '12.35',
        '1235',
        '1.23 × 10⁻⁴',
      ],
      ...['3.50 × 10⁸', '−0.5000'],
    ]);
    expect([Number.NaN, Infinity, -Infinity].map(formatNumber)).toEqual(['not a number', '∞', '−∞']);
  });

  it('bytes', () => {
    expect([0, 1, 1000, 1536, 5 * 2 ** 20].map(formatBytes)).toEqual(['0 B', '1 B', '1000 B', '1.5 KiB', '5 MiB']);
  });

  it('parts and times', () => {
    expect([0.002, 0.333, 5.05, -0.2, Number.NaN].map(formatPercent)).toEqual(['0.2 %', '33 %', '505 %', '−20 %', '–']);
    expect([0.5, 42.26, 676.4, 12345].map(formatMilliseconds)).toEqual(['0.50 ms', '42.3 ms', '676 ms', '12.3 s']);
    expect(escapeHtml(`<a href="x">'&'</a>`)).toBe('&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;');
  });
});
