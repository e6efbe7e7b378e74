import fillSource from '../../shaders/fill.wgsl';
import copySource from '../../shaders/measure_copy.wgsl';
import fmaSource from '../../shaders/measure_fma.wgsl';
import { type Device, floatBits, grid } from './device.ts';
import { conv2d } from './kernels/conv.ts';
import { matmul } from './kernels/matmul.ts';
import { median } from './race.ts';
import { settle } from './wait.ts';

const FMA = { name: 'measure_fma', source: fmaSource };
const COPY = { name: 'measure_copy', source: copySource };
const FILL = { name: 'fill', source: fillSource };

/** What no kernel on this adapter exceeds. */
export interface Ceilings {
  /** GFLOP/s of multiply-adds in registers, f32. */
  readonly arithmetic: number;
  /** GB/s of a copy much larger than any cache, bytes read and bytes written counted. */
  readonly bandwidth: number;
  /** Microseconds a dispatch, of 1000 in one pass with bind groups made before: the host's part and the device's. */
  readonly dispatchHost: number;
  readonly dispatchDevice: number;
}

/** What an adapter does on this machine, each the median of several runs. */
export interface Measurements extends Ceilings {
  /** GFLOP/s of the runtime's own kernels, with the shapes of CONV_SHAPE and MATMUL_SIZE. */
  readonly conv2d: number;
  readonly matmul: number;
  /** Microseconds from a dispatch of one workgroup until the host has its result. */
  readonly readback: number;
}

/** A 3×3 convolution as the networks of the small presets have it: images, channels in and out, height and width. */
export const CONV_SHAPE = { images: 8, channels: 64, size: 32 };
/** Rows, columns and length of the sums of the matrix product that is measured. */
export const MATMUL_SIZE = 512;

const DISPATCHES = 1000;
const COPY_BYTES = 128 * 2 ** 20;
const FMA_INVOCATIONS = 2 ** 18;
const FMA_FLOP = 128;

/** The adapter's ceilings. Takes about a second. */
export async function measureCeilings(device: Device): Promise<Ceilings> {
  return {
    arithmetic: await measureArithmetic(device),
    bandwidth: await measureCopy(device),
    ...(await measureDispatch(device)),
  };
}

/** Everything that `wgrad doctor` prints: 2 to 4 seconds on a GPU or on lavapipe, some 6 on SwiftShader. */
export async function measure(device: Device): Promise<Measurements> {
  return {
    ...(await measureCeilings(device)),
    conv2d: await measureConv2d(device),
    matmul: await measureMatmul(device),
    readback: await measureReadback(device),
  };
}

async function measureArithmetic(device: Device): Promise<number> {
  const y = device.keep(device.empty([FMA_INVOCATIONS]));
  const kernel = device.kernel(FMA);
  // The chains stay near 1: neither overflow nor denormals, which some processors are slow with.
  const [a, b] = [floatBits(0.5), floatBits(0.5)];
  const seconds = await secondsPerUnit(device, rounds => {
    device.dispatch(kernel, [y], [rounds, a, b], [FMA_INVOCATIONS / 64]);
  });
  device.discard(y);
  return (FMA_INVOCATIONS * FMA_FLOP) / seconds / 1e9;
}

async function measureCopy(device: Device): Promise<number> {
  const size = Math.min(COPY_BYTES, device.bindingLimit) / 4;
  const [x, y] = [device.keep(device.empty([size])), device.keep(device.empty([size]))];
  const kernel = device.kernel(COPY);
  const seconds = await secondsPerUnit(device, times => {
    for (let i = 0; i < times; i++) device.dispatch(kernel, [x, y], [], grid(size / 4, 64));
  });
  device.discard(x);
  device.discard(y);
  return (2 * size * 4) / seconds / 1e9;
}

async function measureConv2d(device: Device): Promise<number> {
  const { images, channels, size } = CONV_SHAPE;
  const x = device.keep(device.empty([images, channels, size, size]));
  const w = device.keep(device.empty([channels, channels, 3, 3]));
  const geometry = { stride: [1, 1], padding: [1, 1], groups: 1 } as const;
  const seconds = await secondsPerUnit(device, times => {
    for (let i = 0; i < times; i++) device.scope('measure conv2d', () => void conv2d(x, w, geometry));
  });
  device.discard(x);
  device.discard(w);
  return (2 * images * size ** 2 * channels ** 2 * 9) / seconds / 1e9;
}

async function measureMatmul(device: Device): Promise<number> {
  const n = MATMUL_SIZE;
  const [a, b] = [device.keep(device.empty([n, n])), device.keep(device.empty([n, n]))];
  const seconds = await secondsPerUnit(device, times => {
    for (let i = 0; i < times; i++) device.scope('measure matmul', () => void matmul(a, b));
  });
  device.discard(a);
  device.discard(b);
  return (2 * n ** 3) / seconds / 1e9;
}

/** Encodes by hand: one pass, and no work of the device overlaps the host's. */
async function measureDispatch(device: Device): Promise<Pick<Ceilings, 'dispatchHost' | 'dispatchDevice'>> {
  const { gpu } = device;
  const { pipeline, layout } = device.kernel(FILL);
  const y = gpu.createBuffer({ size: 256, usage: GPUBufferUsage.STORAGE });
  const params = gpu.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM });
  const bindGroup = gpu.createBindGroup({
    layout,
    entries: [y, params].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const host: number[] = [];
  const onDevice: number[] = [];
  for (let run = 0; run < 6; run++) {
    const start = performance.now();
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < DISPATCHES; i++) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(1);
    }
    pass.end();
    gpu.queue.submit([encoder.finish()]);
    const submitted = performance.now();
    await settle(gpu.queue.onSubmittedWorkDone());
    if (run === 0) continue; // compiles the kernel
    host.push(((submitted - start) * 1e3) / DISPATCHES);
    onDevice.push(((performance.now() - submitted) * 1e3) / DISPATCHES);
  }
  y.destroy();
  params.destroy();
  return { dispatchHost: median(host), dispatchDevice: median(onDevice) };
}

async function measureReadback(device: Device): Promise<number> {
  const y = device.keep(device.empty([1]));
  const kernel = device.kernel(FILL);
  const times: number[] = [];
  for (let run = 0; run < 21; run++) {
    const start = performance.now();
    device.dispatch(kernel, [y], [1, 0], [1]);
    await y.read();
    times.push((performance.now() - start) * 1e3);
  }
  device.discard(y);
  return median(times);
}

/**
 * Seconds that a unit of work takes, the median of up to five runs of many units each. The number of units grows until
 * a run takes 80 ms, beside which submitting and waiting are small; where a run takes far longer, three have to do.
 */
export async function secondsPerUnit(device: Device, work: (units: number) => void): Promise<number> {
  const time = async (units: number) => {
    const start = performance.now();
    work(units);
    await device.finish();
    return (performance.now() - start) / 1e3;
  };
  const enough = 0.08;
  await time(1); // compiles the kernel
  let units = 1;
  let last = await time(units);
  while (last < enough) {
    units = Math.ceil(units * Math.min(16, Math.max(1.5, (1.2 * enough) / last)));
    last = await time(units);
  }
  const times = [last];
  while (times.length < (last < 3 * enough ? 5 : 3)) times.push(await time(units));
  return median(times) / units;
}
