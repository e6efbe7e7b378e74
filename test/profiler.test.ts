/** The profiler: every dispatch is counted and timed, nothing that it does changes a result, and the figures add up. */
import { existsSync, linkSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { defer, pendingEffects } from '../src/autograd/effects.ts';
import * as ops from '../src/autograd/index.ts';
import { Conv2d, Sequential } from '../src/models/layers.ts';
import { initialize, Module, release } from '../src/models/module.ts';
import type { Device } from '../src/runtime/device.ts';
import { full } from '../src/runtime/kernels/copy.ts';
import { timesOf } from '../src/runtime/profiler.ts';
import { Programs } from '../src/runtime/program.ts';
import type { Dispatch } from '../src/runtime/stream.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import type { ModuleTotal } from '../src/train/profile/modules.ts';
import { buildReport } from '../src/train/profile/report.ts';
import type { Trace } from '../src/train/profile/trace.ts';
import { profileTraining } from '../src/train/profile/training.ts';
import { type ProfileOptions, profile } from '../src/train/profile.ts';
import { wgrad } from './command.ts';
import { useDevice } from './device.ts';

const ceilings = { arithmetic: 100, bandwidth: 10, dispatchHost: 1, dispatchDevice: 1 };
const values = (n: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 1.3));

/** Two convolutions under their names, 3 → 4 → 2 channels. */
class Net extends Module {
  private readonly body = this.child(
    'body',
    new Sequential([new Conv2d(3, 4, { kernel: 3, padding: 1 }), new Conv2d(4, 2, { kernel: 3, padding: 1 })]),
  );

  forward(x: Tensor): Tensor {
    return this.body.forward(x);
  }
}

/** Its loss and gradients for x [2, 3, 8, 8], on the host. */
function gradients(device: Device, net: Net, x: Tensor) {
  return device.scope('step', () => {
    const loss = ops.sum(ops.square(net.forward(x)));
    const all = [
      loss,
      ...ops.grad(
        loss,
        [...net.parameters().values()].map(({ value }) => value),
      ),
    ];
    return Promise.all(all.map(tensor => tensor.read()));
  });
}

const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
const ownOf = ({ ownMs, children }: ModuleTotal): number => ownMs + sum(children.map(ownOf));
const find = (root: ModuleTotal, path: string): ModuleTotal =>
  path.split('.').reduce((node, name) => node.children.find(child => child.name === name)!, root);

/** Profiles and counts what the device was given meanwhile. */
async function counted<T>(device: Device, body: (step: number) => T | Promise<T>, options: ProfileOptions = {}) {
  await device.finish();
  const before = device.dispatches;
  const found = await profile(device, body, { ceilings, ...options });
  return { ...found, dispatched: device.dispatches - before };
}

describe('a profile', () => {
  const gpu = useDevice();

  test('counts every dispatch, adds up, and leaves the results as they are, bit for bit', async () => {
    const { device } = gpu;
    const net = new Net();
    initialize(net, device);
    const x = device.keep(device.tensor(values(2 * 3 * 64), [2, 3, 8, 8]));
    const plain = await gradients(device, net, x);
    const { result, report, dispatched } = await counted(device, () => gradients(device, net, x), { parts: { net } });
    expect(result).toEqual(plain);
    expect(report.dispatches).toBe(dispatched);
    expect(sum(report.kernels.map(({ count }) => count))).toBe(dispatched);
    expect(report.modules.count).toBe(dispatched);
    expect(report.kernelMs).toBeGreaterThan(0);
    expect(sum(report.kernels.map(({ ms }) => ms))).toBeCloseTo(report.kernelMs, 9);
    expect(sum(report.kernels.map(({ share }) => share))).toBeCloseTo(1, 9);
    expect(report.modules.ms).toBeCloseTo(report.kernelMs, 9);
    expect(ownOf(report.modules)).toBeCloseTo(report.kernelMs, 9);
    expect(report.modules.forwardMs + report.modules.backwardMs).toBeCloseTo(report.kernelMs, 9);
    expect(report.warnings).toEqual([]);

    // The loss is made in no module; its gradient runs through both layers.
    for (const path of ['net.body.0', 'net.body.1']) {
      expect(find(report.modules, path).forwardMs).toBeGreaterThan(0);
      expect(find(report.modules, path).backwardMs).toBeGreaterThan(0);
    }
    expect(report.modules.ownMs).toBeGreaterThan(0);

    // Afterwards nothing of it is left.
    expect(Object.keys(net)).not.toContain('forward');
    expect(await gradients(device, net, x)).toEqual(plain);
    device.discard(x);
    release(net);
  });

  test('knows shapes, operations and bytes', async () => {
    const { device } = gpu;
    const { report } = await counted(device, () => {
      const x = full(device, [2, 3, 8, 8], 1);
      const w = full(device, [4, 3, 3, 3], 1);
      ops.conv2d(x, w, undefined, { padding: 1 });
      ops.matmul(full(device, [10, 20], 1), full(device, [20, 30], 1));
      ops.sum(full(device, [1000], 1));
    });
    // A variant's name has something before that of the family.
    const kernel = (name: string) => report.kernels.find(one => one.kernel.endsWith(name))!;
    expect(kernel('conv2d')).toMatchObject({
      shape: '2×3×8×8, 4×3×3×3 → 2×4×8×8',
      count: 1,
      flop: 2 * (2 * 4 * 64) * 27,
      bytes: 4 * (2 * 3 * 64 + 4 * 27 + 2 * 4 * 64),
    });
    const product = kernel('matmul');
    expect(product).toMatchObject({ shape: expect.stringMatching(/^10×20, 20×30 → /), flop: 2 * 10 * 20 * 30 });
    expect(product.gflops).toBeCloseTo(product.flop / product.ms / 1e6, 9);
    expect(product.ofArithmetic).toBeCloseTo(product.gflops / ceilings.arithmetic, 9);
    expect(product.ofBandwidth).toBeCloseTo(product.gbs / ceilings.bandwidth, 9);
    expect(product.ofRoofline).toBe(Math.max(product.ofArithmetic, product.ofBandwidth));
    expect(kernel('reduce').flop).toBe(1000);
    expect(kernel('fill')).toMatchObject({ flop: 0, gflops: 0 });
  });

  test('of a program’s steps: the modules that it was recorded in, the host, and the cost of profiling', async () => {
    const { device } = gpu;
    const net = new Net();
    initialize(net, device);
    const x = device.keep(device.tensor(values(2 * 3 * 64), [2, 3, 8, 8]));
    const plain = await gradients(device, net, x);
    const programs = new Programs(device);
    const step = () =>
      programs.run('step', () => {
        const loss = ops.sum(ops.square(net.forward(x)));
        return [
          loss,
          ...ops.grad(
            loss,
            [...net.parameters().values()].map(({ value }) => value),
          ),
        ];
      });
    const { result, report, dispatched } = await counted(device, step, { parts: { net }, steps: 3 });
    expect(await Promise.all(result.map(tensor => tensor.read()))).toEqual(plain);
    expect(report.steps).toBe(3);
    // Three times three steps: to warm up, as they are, and profiled.
    expect(report.dispatches).toBe(dispatched / 9);
    expect(find(report.modules, 'net.body.0').backwardMs).toBeGreaterThan(0);
    const { stepMs, hostMs, overhead, covered, profiledMs, kernelMs } = report;
    expect(hostMs).toBeGreaterThan(0);
    expect(stepMs).toBeGreaterThan(hostMs!);
    expect(overhead).toBeCloseTo(profiledMs / stepMs! - 1, 9);
    expect(covered).toBeCloseTo(Math.max(0, kernelMs - Math.max(0, profiledMs - stepMs!)) / stepMs!, 9);
    programs.release();
    device.discard(x);
    release(net);
  });

  test('its trace is what Perfetto reads: kernels one after the other, modules nested', async () => {
    const { device } = gpu;
    const net = new Net();
    initialize(net, device);
    const x = device.keep(device.tensor(values(2 * 3 * 64), [2, 3, 8, 8]));
    const { trace, dispatched } = await counted(device, () => gradients(device, net, x), { parts: { net } });
    const { traceEvents } = JSON.parse(JSON.stringify(trace())) as Trace;
    const named = (name: string) => traceEvents.find(({ ph, args }) => ph === 'M' && args?.name === name)!;
    expect(traceEvents[0]).toMatchObject({ ph: 'M', name: 'process_name' });
    const track = (name: string) =>
      traceEvents
        .filter(({ ph, tid }) => ph === 'X' && tid === named(name).tid)
        .map(({ name, ts, dur }) => ({ name, begin: Math.round(ts! * 1e3), end: Math.round(ts! * 1e3 + dur! * 1e3) }));
    const kernels = track('kernels');
    expect(kernels.length).toBe(dispatched);
    for (const [i, { begin, end }] of kernels.entries()) {
      expect(end).toBeGreaterThanOrEqual(begin);
      if (i > 0) expect(begin).toBeGreaterThanOrEqual(kernels[i - 1].end);
    }
    const open: { name: string; end: number }[] = [];
    for (const { name, begin, end } of track('modules')) {
      while (open.length > 0 && open.at(-1)!.end <= begin) open.pop();
      if (open.length > 0) expect(end).toBeLessThanOrEqual(open.at(-1)!.end);
      open.push({ name, end });
    }
    const names = new Set(track('modules').map(({ name }) => name));
    expect([...names].sort()).toEqual(['0', '1', 'backward', 'body', 'forward', 'net']);
    const [encode, wait] = track('host');
    expect(encode.end).toBe(wait.begin);
    expect(kernels.at(-1)!.end).toBeLessThanOrEqual(wait.end);
    device.discard(x);
    release(net);
  });

  test('of more dispatches than a query set holds has the time of each', async () => {
    const { device } = gpu;
    const x = device.keep(full(device, [1 << 16], 0));
    const count = 4500;
    const { result, report, trace } = await counted(device, () => {
      device.scope('many', () => {
        let y = x;
        for (let i = 0; i < count; i++) y = device.scope('one', () => ops.add(y, 1));
        device.copy(y, x);
      });
      return x.read();
    });
    expect(result[7]).toBe(count);
    expect(report.dispatches).toBe(count);
    expect(report.copies).toBe(2); // back into x, and for the host to read
    expect(report.warnings).toEqual([]);
    const kernels = trace().traceEvents.filter(({ ph, name }) => ph === 'X' && name === 'unary');
    expect(kernels.length).toBe(count);
    expect(kernels.every(({ dur }) => dur! > 0)).toBe(true);
    device.discard(x);
  });

  test('that fails leaves the device as it was', async () => {
    const { device } = gpu;
    const failing = profile(device, () => Promise.reject(new Error('the body')), { ceilings });
    await expect(failing).rejects.toThrow('the body');
    expect(device.stream.isNoted).toBe(false);
    expect(await ops.add(full(device, [2], 1), 1).read()).toEqual(Float32Array.of(2, 2));
  });

  test('of a training that fails leaves no effects to the next training', async () => {
    const step = () => {
      defer([], () => {});
      throw new Error('the step');
    };
    const rest = { modules: {}, optimizers: {}, lossNames: [], mainLoss: '', imagesPerStep: 1 };
    await expect(profileTraining(gpu.device, { ...rest, step }, 1)).rejects.toThrow('the step');
    expect(pendingEffects()).toEqual([]);
  });
});

test('coarse and lost timestamps are told of', () => {
  const kernel = { name: 'k', access: ['read_write'] } as unknown as Dispatch['kernel'];
  const dispatch = { kernel, slices: [], words: [], groups: [1] } as Dispatch;
  const stamps = [1, 3, 3, 4, 0, 0].map(n => BigInt(n) << 16n);
  const timed = timesOf([dispatch, dispatch, dispatch], stamps);
  const spans = [{ began: 0, submitted: 1, ended: 2, first: 0, last: 3, copies: 0 }];
  const report = buildReport({ adapter: '', clock: 'timestamps', ceilings, timed, spans, plain: [] });
  expect(report.kernelMs).toBeCloseTo((3 * 65536) / 1e6, 9);
  expect(report.kernels).toMatchObject([{ kernel: 'k', count: 3, share: 1 }]);
  expect(report.warnings).toEqual([
    expect.stringMatching(/^1 of 3 dispatches got no usable timestamps/),
    expect.stringMatching(/^timestamps are rounded to 65\.536 µs/),
  ]);
});

test('a step that profiling slows down by more than its kernels take is covered by nothing, not by less', () => {
  const span = (ms: number) => ({ began: 0, submitted: 1, ended: ms, first: 0, last: 1, copies: 0 });
  const dispatch = { kernel: { name: 'k', access: [] }, slices: [], words: [], groups: [1] } as unknown as Dispatch;
  const coveredBy = (kernelMs: number, profiled: number) => {
    const timed = [{ dispatch, begin: 0, end: 1e6 * kernelMs, timed: true }];
    const measured = { adapter: '', clock: 'timestamps', ceilings, timed, spans: [span(profiled)] } as const;
    return buildReport({ ...measured, plain: [span(10)] }).covered;
  };
  expect(coveredBy(8, 9)).toBeCloseTo(0.8, 9);
  expect(coveredBy(8, 12)).toBeCloseTo(0.6, 9);
  expect(coveredBy(8, 30)).toBe(0);
});

test('lost, backward and overlapping timestamps give no nonsense', () => {
  const dispatches = Array.from({ length: 5 }, () => ({}) as Dispatch);
  // In order; begun before the first has ended; lost; backward; in order again.
  const stamps = [1000n, 1500n, 1200n, 1800n, 0n, 0n, 2500n, 2400n, 2600n, 2700n];
  const times = timesOf(dispatches, stamps).map(({ begin, end, timed }) => ({ begin, end, timed }));
  expect(times).toEqual([
    { begin: 0, end: 500, timed: true },
    { begin: 500, end: 800, timed: true },
    { begin: 800, end: 800, timed: false },
    { begin: 800, end: 800, timed: false },
    { begin: 1600, end: 1700, timed: true },
  ]);
});

describe('without timestamps', () => {
  const gpu = useDevice({ limits: 'default' });

  test('each dispatch is timed alone, in order with what the host writes, and the report warns of it', async () => {
    const { device } = gpu;
    const x = device.keep(device.tensor([1, 2], [2]));
    const { result, report, dispatched } = await counted(device, async () => {
      const first = ops.mul(x, 3).read();
      const typed = Float32Array.of(10, 20);
      device.write(x, typed);
      typed.fill(0); // what is written is what it was at the time
      const second = ops.mul(x, 3);
      device.trim();
      return [await first, await second.read()];
    });
    expect(result).toEqual([Float32Array.of(3, 6), Float32Array.of(30, 60)]);
    expect(report.clock).toBe('wall');
    expect(report.dispatches).toBe(dispatched);
    expect(report.kernels.every(({ ms }) => ms > 0)).toBe(true);
    expect(report.warnings).toEqual([expect.stringContaining('no timestamp-query')]);
    device.discard(x);
  });

  test('a copy counts for no kernel: it has a submission of its own', async () => {
    const { device } = gpu;
    const [x, y] = [1, 2].map(value => device.keep(full(device, [2], value)));
    const { result, report, dispatched } = await counted(device, () => {
      const { submits } = device.stream;
      device.copy(ops.mul(x, 3), y);
      ops.mul(y, 3);
      device.flush();
      return device.stream.submits - submits;
    });
    expect([result, dispatched, report.copies]).toEqual([3, 2, 1]);
    for (const tensor of [x, y]) device.discard(tensor);
  });
});

describe('wgrad profile', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'wgrad-profile-'));
  const at = (name: string) => join(scratch, name);
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));
  const small = ['profile', 'perceptual', '--size', '16', '--width', '4', '--batch', '4', '--steps', '2'];

  test('prints tables, and writes the trace and the picture', { timeout: 300_000 }, async () => {
    // Whoever has the old file open keeps it whole: the new one takes its place by its name.
    writeFileSync(at('trace.json'), 'old');
    linkSync(at('trace.json'), at('opened.json'));
    const args = [...small, '--trace', at('trace.json'), '--memory', at('plan.svg')];
    const { code, stdout, stderr } = await wgrad(args);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^perceptual on .+, 2 steps\n/);
    expect(stdout).toMatch(
      /^kernels +[\d.]+ m?s in \d+ dispatches: [\d.]+ % of the step without what profiling adds$/m,
    );
    expect(stdout).toMatch(/^profiler +a profiled step takes [\d.]+ m?s: [+−][\d.]+ %, [+−][\d.]+ µs a dispatch$/m);
    expect(stdout).toMatch(/^copies +\d+ between buffers, which are not timed$/m);
    expect(stdout).toMatch(/^memory .+ times the .+ needed/m);
    expect(stdout).toMatch(/^kernel +count +ms +share +GFLOP\/s +GB\/s/m);
    expect(stdout).toMatch(/^conv2d +\d+ +[\d.]+ +[\d.]+ % +[\d.]+/m);
    expect(stdout).toMatch(/^network +\d+ +[\d.]+ +[\d.]+ % +[\d.]+ +[\d.]+$/m);
    expect(readFileSync(at('opened.json'), 'utf8').slice(0, 8)).toBe('old');
    const { traceEvents } = JSON.parse(readFileSync(at('trace.json'), 'utf8')) as Trace;
    expect(traceEvents.some(({ ph, name }) => ph === 'X' && name === 'conv2d')).toBe(true);
    expect(readFileSync(at('plan.svg'), 'utf8')).toMatch(/^<svg [\s\S]*<title>[\s\S]*of network\.[\s\S]*<\/svg>$/);
  });

  test('--json prints one object', { timeout: 300_000 }, async () => {
    const { code, stdout } = await wgrad([...small, '--json']);
    expect(code).toBe(0);
    const found = JSON.parse(stdout);
    expect(found).toMatchObject({ recipe: 'perceptual', clock: 'timestamps', steps: 2, options: { batch: 4 } });
    expect(found.memory.planned).toBeGreaterThanOrEqual(found.memory.needed);
    expect(sum(found.kernels.map(({ ms }: { ms: number }) => ms))).toBeCloseTo(found.kernelMs, 6);
    expect(found.modules.children.map(({ name }: ModuleTotal) => name)).toContain('optimizer');
  });

  test.each([
    [['profile'], /^wgrad: profile: say first what to profile: e2style, /],
    [['profile', 'nothing'], /^wgrad: profile: there is no recipe 'nothing'; there are e2style/],
    [['profile', 'e2style', '--steps', '0'], /^wgrad: --steps 0 is not possible; give a whole number from 1 on/],
    [['profile', 'e2style', '--batch', 'many'], /^wgrad: --batch: 'many' is not a number/],
    [['profile', 'e2style', '--colour', 'red'], /^wgrad: Unknown option '--colour'/],
    [['profile', 'e2style', '--trace', at('none/trace.json')], /^wgrad: --trace .*none\/trace\.json cannot be written/],
    [['profile', 'e2style', '--trace', at('trace.txt')], /^wgrad: --trace .*: name a file that ends in \.json/],
    [['profile', 'e2style', '--memory', scratch], /^wgrad: --memory .*: name a file that ends in \.svg/],
  ])('%j is refused in one line', async (args, message) => {
    const { code, stdout, stderr } = await wgrad(args);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n').length).toBe(1);
    expect(stdout).toBe('');
    expect(code).toBe(2);
    expect(existsSync(at('none'))).toBe(false);
  });
});
