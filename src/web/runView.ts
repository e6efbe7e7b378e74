import { formatDuration, formatLoss, formatRate } from '../train/progress.ts';
import type { LogLine } from '../train/runLog.ts';
import { lossFigure, stageFigure, termsOf } from './charts.ts';
import { element, make } from './dom.ts';
import { drawGrid } from './grid.ts';
import type { Progress, Samples, StoredRun } from './messages.ts';

/** Charts of a long run take a while to draw: at most so often, in milliseconds. */
const DRAW_EVERY = 250;

const part = (id: string) => element(id, HTMLElement);

/** Everything that a run shows: numbers, charts, samples, report and messages. */
export class RunView {
  private lines: LogLine[] = [];
  private steps = 0;
  private progress: Progress | undefined;
  /** Of the grid that is shown. */
  private samplesStep = 0;
  private drawing = false;
  private reportUrl: string | undefined;
  private readonly term = element('term', HTMLSelectElement);

  constructor() {
    this.term.addEventListener('change', () => this.draw());
    new ResizeObserver(() => this.drawSoon()).observe(part('run'));
  }

  /** Whether losses have come since the run began or went on. */
  get hasProgress(): boolean {
    return this.progress !== undefined;
  }

  /** Whether the last step's losses have come. */
  get atEnd(): boolean {
    return this.hasProgress && this.lines.at(-1)?.step === this.steps;
  }

  /** With which the run began; 0 where there are none. */
  private get stages(): number {
    return this.lines[0]?.active ?? 0;
  }

  /** Shows the run in storage from its beginning, or that there is none. */
  showRun(run: StoredRun | undefined): void {
    this.lines = [...(run?.lines ?? [])];
    this.steps = Number(run?.options.steps ?? 0);
    this.progress = undefined;
    part('empty').hidden = run !== undefined;
    part('samples-box').hidden = true;
    if (!run) part('log').replaceChildren();
    part('log-box').hidden = part('log').childElementCount === 0;
    if (run?.samples) this.showSamples(run.samples);
    this.showReport(run?.report);
    this.showTerms();
    this.draw();
  }

  /** New lines. Those of a run that went on from an earlier step take the place of the ones behind it. */
  addProgress(progress: Progress): void {
    this.progress = progress;
    this.steps = progress.steps;
    const from = this.lines.findIndex(({ step }) => step >= progress.lines[0].step);
    if (from >= 0) this.lines.length = from;
    this.lines.push(...progress.lines);
    if (this.term.options.length === 0) this.showTerms();
    this.drawSoon();
  }

  showSamples({ step, grid }: Samples): void {
    part('samples-box').hidden = false;
    this.samplesStep = step;
    this.describeSamples();
    drawGrid(element('samples', HTMLCanvasElement), grid);
  }

  /** The first grid may come before the first losses, which tell whether there are stages. */
  private describeSamples(): void {
    const rows = this.stages > 0 ? ': the inputs, then the output of each stage' : '';
    part('samples-text').textContent = `step ${this.samplesStep}${rows}`;
  }

  addMessage(text: string): void {
    const time = new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
    part('log').append(make('li', {}, make('time', {}, time), text));
    part('log-box').hidden = false;
  }

  showState(text: string, busy: boolean): void {
    const state = part('state');
    if (state.textContent !== text) state.textContent = text;
    document.body.classList.toggle('busy', busy);
    const step = this.lines.at(-1)?.step;
    document.title = busy && step !== undefined ? `${step} / ${this.steps} · wgrad` : 'wgrad';
    const bar = element('progress', HTMLProgressElement);
    const waits = busy && this.lines.length === 0;
    if (waits) bar.removeAttribute('value');
    else bar.value = this.steps > 0 ? (step ?? 0) / this.steps : 0;
  }

  private showTerms(): void {
    const terms = termsOf(this.lines);
    const options = ['', ...terms].map(value => make('option', { value }, value === '' ? 'all, weighted' : value));
    this.term.replaceChildren(...(terms.length > 0 ? options : []));
    part('term-box').hidden = terms.length === 0;
  }

  private showReport(report: string | undefined): void {
    part('report-box').hidden = report === undefined;
    if (this.reportUrl) URL.revokeObjectURL(this.reportUrl);
    this.reportUrl = undefined;
    if (report === undefined) return;
    this.reportUrl = URL.createObjectURL(new Blob([report], { type: 'text/html' }));
    element('report', HTMLIFrameElement).srcdoc = report;
    for (const id of ['report-open', 'report-download']) element(id, HTMLAnchorElement).href = this.reportUrl;
  }

  private drawSoon(): void {
    if (this.drawing) return;
    this.drawing = true;
    setTimeout(() => {
      this.drawing = false;
      this.draw();
    }, DRAW_EVERY);
  }

  private draw(): void {
    const { lines } = this;
    this.drawTiles();
    this.describeSamples();
    part('loss-box').hidden = lines.length < 2;
    if (lines.length < 2) {
      part('stages-box').hidden = true;
      return;
    }
    const width = part('loss').clientWidth || part('run').clientWidth;
    const { svg, legend } = lossFigure(lines, this.term.value, width);
    part('loss').innerHTML = svg;
    part('legend').innerHTML = legend;
    const stages = stageFigure(lines, width);
    part('stages-box').hidden = stages === '';
    part('stages').innerHTML = stages;
  }

  private drawTiles(): void {
    const last = this.lines.at(-1);
    const { progress, steps } = this;
    const { stages } = this;
    const loss = stages > 0 ? `stage${last?.active}` : Object.keys(last?.losses ?? {})[0];
    part('tile-step').replaceChildren(last ? `${last.step}` : '–', make('small', {}, steps > 0 ? ` / ${steps}` : ''));
    part('tile-loss-name').textContent = stages > 0 ? `Loss of stage ${last?.active}` : 'Loss';
    part('tile-loss').textContent = last ? formatLoss(last.losses[loss]) : '–';
    part('tile-stages-box').hidden = stages === 0;
    part('tile-stages').replaceChildren(`${last?.active ?? '–'}`, make('small', {}, ` of ${stages}`));
    const rate = formatRate(progress?.imagesPerSecond ?? Number.NaN).split(' ');
    part('tile-speed').replaceChildren(rate[0], make('small', {}, ` ${rate[1]}`));
    part('tile-left').textContent = progress ? formatDuration(progress.secondsLeft) : '–';
  }
}
