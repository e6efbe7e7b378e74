/** The page: it draws what its Worker tells, and passes on what the user wants. */
import { BUDGET } from '../train/tune/budget.ts';
import { confirmed } from './confirm.ts';
import { element } from './dom.ts';
import { adapterText, measuredText } from './footer.ts';
import type { FromWorker, Phase, StoredRun, ToWorker, TuningStatus } from './messages.ts';
import { showProfile } from './profileView.ts';
import { RunView } from './runView.ts';
import { SettingsForm } from './settings.ts';
import { showTuning } from './tuningView.ts';

const button = (id: string) => element(id, HTMLButtonElement);
const buttons = {
  start: button('start'),
  resume: button('resume'),
  pause: button('pause'),
  stop: button('stop'),
  download: button('download'),
  discard: button('discard'),
  loadZip: button('load-zip'),
  loadFolder: button('load-folder'),
  measure: button('measure'),
  profile: button('profile'),
  tune: button('tune'),
  trace: button('profile-trace'),
};
const zipFile = element('zip-file', HTMLInputElement);
const tuneSeconds = element('tune-seconds', HTMLInputElement);
tuneSeconds.value = String(BUDGET);
const folderFiles = element('folder-files', HTMLInputElement);
const view = new RunView();

let form: SettingsForm | undefined;
let phase: Phase = 'idle';
/** The Worker was asked to pause or stop, and has not done so yet. */
let ending = false;
let run: StoredRun | undefined;
let hasDevice = false;
/** Of the profile that is shown. */
let trace: Blob | undefined;
/** As it was told last. */
let tuning: TuningStatus | undefined;

const worker = new Worker(new URL('worker.js', document.baseURI), { type: 'module' });
const tell = (message: ToWorker) => worker.postMessage(message);
worker.onmessage = ({ data }: MessageEvent<FromWorker>) => receive(data);
worker.onerror = ({ message }) => notice(`the page’s Worker could not run: ${message || 'it was not loaded'}`);

function receive(message: FromWorker): void {
  switch (message.type) {
    case 'ready':
      form = new SettingsForm(message.recipes, message.presets);
      break;
    case 'adapter':
      hasDevice = true;
      element('adapter', HTMLElement).textContent = adapterText(message.adapter);
      break;
    case 'unsupported':
      element('adapter', HTMLElement).textContent = 'No WebGPU adapter.';
      notice(`This page cannot train: ${message.text}.`);
      break;
    case 'measured':
      element('measured', HTMLElement).textContent = measuredText(message.measurements);
      buttons.measure.textContent = 'Measure';
      break;
    case 'profiled':
      trace = message.trace;
      showProfile(message);
      break;
    case 'tuned':
      tuning = message;
      showTuning(message);
      break;
    case 'phase':
      phase = message.phase;
      if (phase === 'idle' || phase === 'paused') ending = false;
      break;
    case 'run':
      run = message.run;
      if (run) form?.show(run.recipe, run.options);
      view.showRun(run);
      break;
    case 'progress':
      view.addProgress(message);
      break;
    case 'samples':
      view.showSamples(message);
      break;
    case 'message':
      view.addMessage(message.text);
      break;
    case 'error':
      view.addMessage(message.text);
      buttons.measure.textContent = 'Measure';
      notice(message.text);
      break;
    case 'exported':
      save(message.zip, message.name);
      break;
  }
  showControls();
}

/** What can be pressed now, and what the state is called. */
function showControls(): void {
  const busy = phase !== 'idle' && phase !== 'paused';
  const idle = phase === 'idle';
  const unfinished = run !== undefined && !run.finished;
  element('settings', HTMLFieldSetElement).disabled = !idle || !hasDevice;
  buttons.start.hidden = !idle;
  buttons.start.disabled = !hasDevice;
  buttons.start.textContent = unfinished ? 'Start a new run' : 'Start';
  buttons.start.classList.toggle('primary', !unfinished);
  buttons.resume.hidden = busy || !unfinished;
  buttons.resume.disabled = !hasDevice;
  buttons.pause.hidden = !busy;
  buttons.stop.hidden = idle;
  buttons.pause.disabled = phase !== 'training' || ending;
  buttons.stop.disabled = !['training', 'paused', 'tuning'].includes(phase) || ending;
  buttons.profile.disabled = busy || !hasDevice;
  buttons.tune.disabled = busy || !hasDevice;
  tuneSeconds.disabled = busy || !hasDevice;
  buttons.download.disabled = busy || !run;
  buttons.discard.disabled = busy || !run;
  buttons.loadZip.disabled = busy;
  buttons.loadFolder.disabled = busy;
  buttons.measure.disabled = !idle || !hasDevice || buttons.measure.textContent !== 'Measure';
  element('storage-text', HTMLElement).textContent = storageText(busy);
  view.showState(stateText(), busy);
}

function stateText(): string {
  if (phase === 'tuning') return tuningText();
  if (ending) return 'Saving …';
  if (phase === 'starting') return 'Building the networks and compiling their kernels …';
  if (phase === 'training' && view.atEnd) return 'All steps done: saving and measuring …';
  if (phase === 'training') return view.hasProgress ? 'Training' : 'Training: the first losses come after 16 steps';
  if (phase === 'recovering') return 'The GPU device was lost: going on from the last checkpoint …';
  if (phase === 'profiling') return 'Profiling some steps …';
  if (phase === 'paused') return 'Paused';
  if (run?.finished) return 'Finished';
  if (run) return `An unfinished run is in this page’s storage, at step ${run.step} of ${run.options.steps}`;
  return hasDevice ? 'Ready' : 'Looking for a GPU …';
}

function tuningText(): string {
  if (ending) return 'Tuning ends with the kernel that is being measured …';
  const { classes, count } = tuning ?? {};
  if (count === undefined) return 'Tuning kernels: looking at what a step computes …';
  return `Tuning kernels: ${classes!.length} of ${count} …`;
}

function storageText(busy: boolean): string {
  if (!run) return 'None yet.';
  if (busy) return `${run.recipe}: to download it, pause it first.`;
  const how = run.finished ? 'finished' : `at step ${run.step} of ${run.options.steps}`;
  const weights = run.weights.length > 0 ? ` Its zip holds ${run.weights.join(' and ')}.` : '';
  return `${run.recipe}, ${how}.${weights}`;
}

function notice(text: string): void {
  element('notice-text', HTMLElement).textContent = text[0].toUpperCase() + text.slice(1);
  element('notice', HTMLElement).hidden = false;
}

const clearNotice = () => {
  element('notice', HTMLElement).hidden = true;
};

function save(blob: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Asks before the run in storage is lost. */
async function mayReplace(verb: string): Promise<boolean> {
  if (!run) return true;
  const what = `the ${run.recipe} run at step ${run.step} of ${run.options.steps}`;
  return confirmed(`This page keeps one run. ${verb} ${what}? Download its zip first to keep it.`, verb);
}

element('form', HTMLFormElement).addEventListener('submit', async event => {
  event.preventDefault();
  if (!form || phase !== 'idle' || !(await mayReplace('Replace'))) return;
  clearNotice();
  navigator.storage?.persist?.();
  tell({ type: 'start', ...form.read() });
});
buttons.resume.addEventListener('click', () => {
  clearNotice();
  tell({ type: 'resume' });
});
for (const type of ['pause', 'stop'] as const) {
  buttons[type].addEventListener('click', () => {
    ending = true;
    tell({ type });
    showControls();
  });
}
buttons.download.addEventListener('click', () => tell({ type: 'export' }));
buttons.discard.addEventListener('click', async () => {
  if (await mayReplace('Discard')) tell({ type: 'discard' });
});
buttons.loadZip.addEventListener('click', () => zipFile.click());
buttons.loadFolder.addEventListener('click', () => folderFiles.click());
for (const input of [zipFile, folderFiles]) {
  input.addEventListener('change', async () => {
    const files = [...input.files!].map(file => ({ path: file.webkitRelativePath || file.name, file }));
    input.value = '';
    if (files.length === 0 || !(await mayReplace('Replace'))) return;
    clearNotice();
    tell({ type: 'import', files });
  });
}
buttons.measure.addEventListener('click', () => {
  buttons.measure.textContent = 'Measuring …';
  tell({ type: 'measure' });
  showControls();
});
buttons.profile.addEventListener('click', () => {
  if (!form) return;
  clearNotice();
  tell({ type: 'profile', ...form.read() });
});
buttons.tune.addEventListener('click', () => {
  if (!form) return;
  clearNotice();
  tuning = undefined;
  tell({ type: 'tune', ...form.read(), seconds: tuneSeconds.value });
});
buttons.trace.addEventListener('click', () => trace && save(trace, 'wgrad-trace.json'));
element('notice-close', HTMLButtonElement).addEventListener('click', clearNotice);
