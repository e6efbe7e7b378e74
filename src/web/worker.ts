/** The page's Worker: it trains, one run at a time, and tells the page what there is to draw. */
import { isOutOfMemory, UserError } from '../io/errors.ts';
import { Device } from '../runtime/device.ts';
import { measure } from '../runtime/measure.ts';
import { presetNames } from '../train/abortionPresets.ts';
import { assignOptions } from '../train/options.ts';
import { profileTraining } from '../train/profile/training.ts';
import { recipes } from '../train/recipes/index.ts';
import { createTraining } from '../train/run.ts';
import type { RunConfig } from '../train/runConfig.ts';
import type { Watcher } from '../train/trainer.ts';
import type { Options } from '../train/training.ts';
import { parseBudget } from '../train/tune/budget.ts';
import { applyTuning, TuningCache } from '../train/tune/cache.ts';
import { summary } from '../train/tune/text.ts';
import { type TunedClass, tuneRecipe } from '../train/tune/tune.ts';
import type { FromWorker, Phase, RecipeChoice, ToWorker } from './messages.ts';
import { Session } from './session.ts';
import { createRun, describeRun, discardRun, exportRun, importRun, openRun, readConfig } from './storage.ts';

const scope = globalThis as unknown as DedicatedWorkerGlobalScope;
const post = (message: FromWorker) => scope.postMessage(message);

/**
 * A page is looked at while it trains, and may be closed at any moment: it draws and saves more often than the command.
 */
const PAGE_DEFAULTS: Options = { sampleEvery: 25, saveEvery: 50 };
/** Settings with which something is to be seen within minutes. The monitor's window is a sixtieth of the steps. */
const SHORT_RUNS: Record<string, Options> = { e2style: { steps: 1000, batch: 8, window: 16 } };

/** Steps of a profile. */
const PROFILED_STEPS = 4;

/** Opened when the page loads, to see that there is one, and left to the first run. */
let spare: Device | undefined;
/** The run that is being trained or paused. */
let session: Session | undefined;
let current: Phase = 'idle';
/** The run was asked to end, not only to pause. */
let ends = false;
/** The tuning was asked to end. */
let tuningEnds = false;

scope.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  handle(data).catch(fail);
};

async function handle(message: ToWorker): Promise<void> {
  switch (message.type) {
    case 'start':
      return alone(() => start(message.recipe, message.settings));
    case 'resume':
      return alone(resume);
    case 'pause':
      session?.stop();
      return;
    case 'stop':
      return stop();
    case 'measure':
      return alone(measureDevice);
    case 'profile':
      return alone(() => profileSteps(message.recipe, message.settings));
    case 'tune':
      return alone(() => tune(message.recipe, message.settings, message.seconds));
    case 'export':
      return post({ type: 'exported', ...(await exportRun()) });
    case 'import':
      leave();
      return alone(() => importRun(message.files)).finally(tellRun);
    case 'discard':
      leave();
      return alone(discardRun).finally(tellRun);
  }
}

/** One thing at a time in this tab and all others: they share the storage, and most often the device. */
async function alone(work: () => Promise<void>): Promise<void> {
  await navigator.locks.request('wgrad', { ifAvailable: true }, lock => {
    if (!lock) throw new UserError('another tab with this page is at work: stop its run, or close it');
    return work();
  });
}

async function start(recipe: string, settings: Readonly<Record<string, string>>): Promise<void> {
  await work({ recipe, options: optionsOf(recipe, settings) }, true);
}

/** The settings of a new run; those that the form left as they were may follow from others. */
function optionsOf(name: string, settings: Readonly<Record<string, string>>): Options {
  const page = pageDefaults(name);
  const initial = assignOptions(name, { defaults: page }, []);
  const assignments = Object.entries(settings)
    .filter(([key, value]) => value !== String(initial[key]))
    .map(([key, value]) => ({ key, value, where: key }));
  return assignOptions(name, { ...recipes[name], defaults: page }, assignments);
}

function pageDefaults(name: string): Options {
  return { ...recipes[name].defaults, ...PAGE_DEFAULTS, ...SHORT_RUNS[name] };
}

async function resume(): Promise<void> {
  const folder = await openRun();
  if (!folder) throw new UserError('there is no run in this page’s storage');
  await work(await readConfig(folder), false);
}

async function work(config: RunConfig, isNew: boolean): Promise<void> {
  phase('starting');
  if (isNew) end();
  session ??= new Session({ config, resumed: !isNew, watcher, device: spare, onLost });
  spare = undefined;
  ends = false;
  try {
    await session.build();
    const folder = isNew ? await createRun() : await openRun();
    const finished = await session.run(folder!);
    if (finished || ends) end();
  } catch (error) {
    end();
    throw error;
  } finally {
    await tellRun();
    phase(session ? 'paused' : 'idle');
  }
}

function stop(): void {
  if (current === 'tuning') {
    tuningEnds = true;
    return;
  }
  ends = true;
  session?.stop();
  if (current === 'paused') leave();
}

/** Gives the device of a paused run back; the run stays in storage. */
function leave(): void {
  end();
  phase('idle');
}

function end(): void {
  session?.close();
  session = undefined;
}

const watcher: Watcher = {
  begins: async () => {
    await tellRun();
    phase('training');
  },
  progress: ({ lines, steps, stages, imagesPerSecond, secondsLeft }) => {
    post({ type: 'progress', lines, steps, stages, imagesPerSecond, secondsLeft });
  },
  samples: (step, grid) => post({ type: 'samples', step, grid }),
  message: text => post({ type: 'message', text }),
};

function onLost(reason: string): void {
  phase('recovering');
  post({ type: 'message', text: `${reason}; going on from the last checkpoint` });
}

function phase(phase: Phase): void {
  current = phase;
  post({ type: 'phase', phase });
}

async function tellRun(): Promise<void> {
  post({ type: 'run', run: await describeRun() });
}

function fail(error: unknown): void {
  if (!(error instanceof UserError)) console.warn(error);
  post({ type: 'error', text: textOf(error as Error) });
}

function textOf(error: Error): string {
  const { name, message } = error;
  if (error instanceof UserError) return message;
  const [line] = message.split('\n');
  if (name === 'QuotaExceededError') {
    return `this page’s storage is full: discard its run, or free space on the disk (${line})`;
  }
  return isOutOfMemory(error) ? `the device is out of memory: lower the batch (${line})` : message;
}

async function profileSteps(recipe: string, settings: Readonly<Record<string, string>>): Promise<void> {
  const options = optionsOf(recipe, settings);
  await aside('profiling', async device => {
    await applyTuning(device, watcher.message);
    const training = await createTraining(recipes[recipe], { device, options, message: watcher.message });
    const { report, memory, picture, trace } = await profileTraining(device, training, PROFILED_STEPS);
    const blob = new Blob([JSON.stringify(trace())], { type: 'application/json' });
    post({ type: 'profiled', recipe, report, memory, picture, trace: blob });
  });
}

/** Measures what these settings meet and has not been measured here, and puts the fastest in the page's storage. */
async function tune(recipe: string, settings: Readonly<Record<string, string>>, seconds: string): Promise<void> {
  const options = optionsOf(recipe, settings);
  const budget = parseBudget(seconds, 'tuning for');
  tuningEnds = false;
  await aside('tuning', async device => {
    const classes: TunedClass[] = [];
    let count: number | undefined;
    const tell = (summary?: readonly string[]) => post({ type: 'tuned', recipe, classes, count, summary });
    tell();
    const tuning = await tuneRecipe(device, {
      recipe: recipes[recipe],
      options,
      budget,
      onlyNew: true,
      cache: await TuningCache.open(device),
      message: watcher.message,
      shouldStop: () => tuningEnds,
      progress(tuned, _, all) {
        classes.push(tuned);
        count = all;
        tell();
      },
    });
    const kept = 'kept in this page’s storage: every run that begins from now on takes them';
    tell(summary(tuning, { adapter: device.adapter.name, kept, more: 'tune again to go on' }));
  });
}

/** Work on a device of its own that touches no run. */
async function aside(during: Phase, work: (device: Device) => Promise<void>): Promise<void> {
  const before = current;
  phase(during);
  try {
    const device = await Device.open();
    try {
      await work(device);
    } finally {
      device.destroy();
    }
  } finally {
    phase(before);
  }
}

async function measureDevice(): Promise<void> {
  const device = await Device.open();
  try {
    post({ type: 'measured', measurements: await measure(device) });
  } finally {
    device.destroy();
  }
}

async function open(): Promise<void> {
  const choices: RecipeChoice[] = Object.values(recipes).map(({ name, about }) => ({
    name,
    about,
    defaults: assignOptions(name, { defaults: pageDefaults(name) }, []),
  }));
  post({ type: 'ready', recipes: choices, presets: presetNames });
  await tellRun().catch(fail);
  try {
    spare = await Device.open();
  } catch (error) {
    post({ type: 'unsupported', text: (error as Error).message });
    return;
  }
  spare.gpu.lost.then(() => {
    spare = undefined;
  });
  const { limits, features, adapter } = spare;
  post({
    type: 'adapter',
    adapter: {
      name: adapter.name,
      features: [...features].sort(),
      maxBufferSize: limits.maxBufferSize,
      maxBindingSize: limits.maxStorageBufferBindingSize,
      workgroupMemory: limits.maxComputeWorkgroupStorageSize,
    },
  });
}

open().catch(fail);
