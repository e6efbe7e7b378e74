import { describe, expect, it } from 'vitest';
import {
  formatBar,
  formatBarLine,
  formatDuration,
  formatLine,
  formatLoss,
  formatRate,
  Progress,
  type ProgressStatus,
} from '../src/train/progress.ts';

const status: ProgressStatus = {
  step: 40,
  steps: 400,
  losses: { loss: 1.23456, l2: 0.04567, lpips: 0.3 },
  activeStages: 2,
  stages: 3,
  imagesPerSecond: 31.44,
  secondsLeft: 92,
};

describe('formats', () => {
  it('durations', () => {
    const durations = [0, 59.4, 59.6, 187, 3600, 3729, 90000, NaN, Infinity, -1];
    const expected = ['0 s', '59 s', '1:00', '3:07', '1:00:00', '1:02:09', '25:00:00', '–', '–', '–'];
    expect(durations.map(formatDuration)).toEqual(expected);
  });

  it('losses', () => {
    expect([0, 0.5, -0.25, 12.3456, 12345, 0.00012, NaN, Infinity].map(formatLoss)).toEqual([
      ...['0.0000', '0.5000', '-0.2500', '12.35', '1.23e+4', '1.20e-4', 'NaN', 'Infinity'],
    ]);
  });

  it('rates', () => {
    const rates = [2.345, 31.44, 314.2, Number.NaN];
    expect(rates.map(formatRate)).toEqual(['2.35 img/s', '31.4 img/s', '314 img/s', '– img/s']);
  });

  it('bars of a constant width', () => {
    expect(formatBar(0, 4)).toBe('░░░░');
    expect(formatBar(0.5, 4)).toBe('██░░');
    expect(formatBar(17 / 32, 4)).toBe('██▏░');
    expect(formatBar(1, 4)).toBe('████');
    expect(formatBar(7, 4)).toBe('████');
    for (let i = 0; i <= 100; i++) expect(formatBar(i / 100, 10)).toHaveLength(10);
  });

  it('a plain line', () => {
    expect(formatLine(status)).toBe(
      'step 40/400  loss 1.2346  l2 0.0457  lpips 0.3000  stages 2/3  31.4 img/s  1:32 left',
    );
  });

  it('what was spent waiting for data, where it is read from a disk', () => {
    expect(formatLine({ ...status, waited: 0.0123 })).toContain('  31.4 img/s  data 1.2 %  1:32 left');
    expect(formatBarLine({ ...status, waited: 0 }, 120)).toContain(' · 31.4 img/s · data 0.0 % · l2');
  });

  it('a terminal line keeps within the columns and leaves out the end', () => {
    expect(formatBarLine(status, 120)).toBe(
      `${formatBar(0.1, 24)}  40/400 · 1:32 left · loss 1.2346 · stages 2/3 · 31.4 img/s · l2 0.0457 · lpips 0.3000`,
    );
    expect(formatBarLine(status, 60)).toBe(`${formatBar(0.1, 12)}  40/400 · 1:32 left · loss 1.2346 · stages 2/3`);
    for (let columns = 1; columns < 130; columns++) {
      expect(formatBarLine(status, columns).length).toBeLessThanOrEqual(columns);
    }
  });
});

/** A stream that remembers what a reader would see: one string a line, with the erasing done. */
function screen(isTTY: boolean, columns = 200) {
  let text = '';
  return {
    isTTY,
    columns,
    write(part: string) {
      part.split('\r\x1b[K').forEach((piece, i) => {
        text = (i > 0 ? text.slice(0, text.lastIndexOf('\n') + 1) : text) + piece;
      });
    },
    lines: () => text.split('\n'),
  };
}

describe('Progress', () => {
  const at = (step: number): ProgressStatus => ({ ...status, step });

  it('draws one line over itself on a terminal, messages above it', () => {
    const stream = screen(true);
    let time = 0;
    const progress = new Progress(stream, { now: () => time });
    progress.update(at(1));
    time += 1000;
    progress.update(at(2));
    expect(stream.lines()).toEqual([formatBarLine(at(2), 199)]);
    progress.message('ABORT: 3 to 2 stages');
    expect(stream.lines()).toEqual(['ABORT: 3 to 2 stages', formatBarLine(at(2), 199)]);
    time += 1;
    progress.update(at(3));
    expect(stream.lines()[1]).toBe(formatBarLine(at(2), 199));
    progress.end();
    expect(stream.lines()).toEqual(['ABORT: 3 to 2 stages', formatBarLine(at(3), 199), '']);
  });

  it('writes plain lines at intervals elsewhere, the last one always, none twice', () => {
    const stream = screen(false);
    let time = 0;
    const progress = new Progress(stream, { interval: 10, now: () => time });
    for (let step = 1; step <= 25; step++, time += 1000) progress.update(at(step));
    progress.message('saved');
    progress.end();
    const expected = [1, 11, 21].map(step => formatLine(at(step)));
    expect(stream.lines()).toEqual([...expected, 'saved', formatLine(at(25)), '']);
    progress.end();
    expect(stream.lines()).toHaveLength(6);
  });

  it('does not repeat a line that has been shown', () => {
    const stream = screen(false);
    const progress = new Progress(stream, { now: () => 0 });
    progress.update(at(400));
    progress.end();
    expect(stream.lines()).toEqual([formatLine(at(400)), '']);
  });

  it('follows the width of the terminal', () => {
    const stream = screen(true, 40);
    const progress = new Progress(stream, { interval: 0 });
    progress.update(at(1));
    stream.columns = 30;
    progress.update(at(2));
    expect(stream.lines()).toEqual([formatBarLine(at(2), 29)]);
  });

  it('ends without having begun', () => {
    const stream = screen(true);
    new Progress(stream).end();
    expect(stream.lines()).toEqual(['']);
  });
});
