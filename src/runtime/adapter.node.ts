import { basename } from 'node:path';
import { create, globals } from 'webgpu';
import { UserError } from '../io/errors.ts';
import { type AdapterKind, isCpuDriver, type OpenAdapterOptions, type OpenedAdapter, testAdapter } from './adapter.ts';
import { unpackSwiftshader } from './swiftshader.node.ts';
import { catchingWarnings, driverManifests, prepareVulkan, withDriver } from './vulkan.node.ts';
import { settle } from './wait.ts';

export type { OpenAdapterOptions, OpenedAdapter } from './adapter.ts';

// WebGPU's classes and constants, global as in a page.
Object.assign(globalThis, globals);

const backend = { darwin: 'metal', win32: 'd3d12' }[process.platform as string] ?? 'vulkan';

/** Experimental features such as subgroup matrices, and timestamps that are not rounded to 0.1 ms. */
const toggles = ['enable-dawn-features=allow_unsafe_apis', 'disable-dawn-features=timestamp_quantization'];

/** What create() returned, for every adapter ever opened: were one collected, the process would crash. */
const kept: GPU[] = [];

interface Candidate {
  name: string;
  kind: AdapterKind;
}

const embedded: Candidate = { name: 'SwiftShader', kind: 'embedded' };

/**
 * Opens the best adapter that works: a GPU, else a CPU driver of the system, else the embedded one.
 *
 * @throws UserError where the adapter asked for is not there or does not work, or where none does.
 */
export async function openAdapter(options: OpenAdapterOptions = {}): Promise<OpenedAdapter> {
  const wanted = (options.adapter || process.env.WGRAD_ADAPTER || '').trim();
  const passedOver: string[] = [];
  const noLoader = prepareVulkan();
  if (noLoader) passedOver.push(`Vulkan: there is no libvulkan.so.1, and the embedded one failed: ${noLoader}`);

  const { names, warnings } = await listAdapters();
  if (names.length === 0 && warnings.length > 0) passedOver.push(...(await explainManifests()));
  const found: Candidate[] = names.map(name => ({ name, kind: isCpuDriver(name) ? 'cpu' : 'gpu' }));
  const candidates = [...found.filter(c => c.kind === 'gpu'), ...found.filter(c => c.kind === 'cpu')];
  if (process.platform === 'linux' && process.arch === 'x64') candidates.push(embedded);

  const matching = candidates.filter(candidate => matches(candidate, wanted));
  if (wanted && matching.length === 0) {
    const there = [candidates.map(candidate => candidate.name).join(', ') || 'none', ...passedOver].join(
      '; not usable: ',
    );
    throw new UserError(
      `no adapter matches "${wanted}" (adapters here: ${there}): give gpu, lavapipe, swiftshader or a part of a name`,
    );
  }
  for (const candidate of matching) {
    const opened = await open(candidate);
    if (typeof opened === 'string') passedOver.push(`${candidate.name}: ${opened}`);
    else {
      const tried = matching.slice(0, matching.indexOf(candidate) + 1);
      const others = candidates.filter(other => !tried.includes(other)).map(other => other.name);
      return { ...opened, kind: candidate.kind, passedOver, others };
    }
  }
  throw new UserError(
    `no ${wanted ? `adapter that matches "${wanted}"` : 'WebGPU adapter'} works (${passedOver.join('; ') || 'no driver found'}): install a Vulkan driver, such as Mesa's lavapipe (package mesa-vulkan-drivers)`,
  );
}

/** Opens one adapter and tests it; returns why it does not work where it does not. */
async function open(
  candidate: Candidate,
): Promise<Pick<OpenedAdapter, 'gpu' | 'adapter' | 'name' | 'driver'> | string> {
  try {
    const manifest = candidate === embedded ? unpackSwiftshader().manifest : undefined;
    const flags = candidate === embedded ? [] : [`adapter=${candidate.name}`];
    const gpu = create([`backend=${backend}`, ...toggles, ...flags]);
    kept.push(gpu);
    const tested = await request(gpu, manifest);
    if (!tested.adapter) return tested.warnings[0] ?? 'its driver offers no adapter';
    const failure = await testAdapter(tested.adapter, settle);
    if (failure) return failure;
    const { adapter } = await request(gpu, manifest); // an adapter can open one device only
    if (!adapter) return 'its adapter was there once only';
    return { gpu, adapter, name: candidate.name, driver: adapter.info.description };
  } catch (error) {
    return (error as Error).message.split('\n')[0];
  }
}

/** Asks Dawn for an adapter; Dawn loads the drivers and looks for their devices before this call returns. */
async function request(gpu: GPU, manifest?: string): Promise<{ adapter: GPUAdapter | null; warnings: string[] }> {
  const { result, warnings } = catchingWarnings(() =>
    withDriver(manifest, () => gpu.requestAdapter({ powerPreference: 'high-performance' })),
  );
  return { adapter: await settle(result), warnings };
}

/** The names of the adapters that Dawn can use, which it tells when it is asked for one that does not exist. */
async function listAdapters(manifest?: string): Promise<{ names: string[]; warnings: string[] }> {
  const gpu = create([`backend=${backend}`, 'adapter=(none)']);
  const { result, warnings } = catchingWarnings(() =>
    withDriver(manifest, () => gpu.requestAdapter({ powerPreference: 'high-performance' })),
  );
  const text = await settle(result).then(
    () => '',
    (error: Error) => error.message,
  );
  const names = [...text.matchAll(/backend: '(\w+)', name: '(.*)'$/gm)].filter(([, b]) => b === backend).map(m => m[2]);
  return { names, warnings };
}

/** For each driver of the system that Dawn refuses: its manifest and why. */
async function explainManifests(): Promise<string[]> {
  const explained: string[] = [];
  for (const manifest of driverManifests()) {
    const { names, warnings } = await listAdapters(manifest);
    // A bare function's name means that the driver found no device of its own: nothing is wrong with it.
    const reason = warnings.find(warning => !/^vk\w+$/.test(warning));
    if (names.length === 0 && reason) explained.push(`${basename(manifest)}: too old or broken for Dawn (${reason})`);
  }
  return explained;
}

function matches({ name, kind }: Candidate, wanted: string): boolean {
  const asked = wanted.toLowerCase();
  if (asked === 'gpu') return kind === 'gpu';
  // Mesa's CPU driver calls its device llvmpipe and itself lavapipe.
  const names = /llvmpipe/i.test(name) ? [name, 'lavapipe'] : [name];
  return names.some(other => other.toLowerCase().includes(asked));
}
