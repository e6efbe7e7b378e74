/**
 * What sort of adapter was opened: a GPU, a CPU driver of the system, the embedded CPU driver, or the browser's own.
 */
export type AdapterKind = 'gpu' | 'cpu' | 'embedded' | 'browser';

/** An adapter that passed a test dispatch, and what else there was to choose from. */
export interface OpenedAdapter {
  /** Where the adapter comes from. In Node the process crashes if this is collected while a device of it lives. */
  gpu: GPU;
  adapter: GPUAdapter;
  /** The adapter's name, such as `NVIDIA H100`. */
  name: string;
  /** The driver and its version, as the driver states them. */
  driver: string;
  kind: AdapterKind;
  /** Adapters that were tried before and do not work, each as `NAME: why`. */
  passedOver: string[];
  /** Names of further adapters on this machine, in the order in which they would be chosen. */
  others: string[];
}

export interface OpenAdapterOptions {
  /**
   * `gpu`, `lavapipe`, `swiftshader`, or a part of an adapter's name, upper or lower case. Without it the environment
   * variable WGRAD_ADAPTER counts, and without that the best adapter that works is taken.
   */
  adapter?: string;
}

/** Whether an adapter of this name computes on the CPU. */
export function isCpuDriver(name: string): boolean {
  return /llvmpipe|swiftshader|basic render driver/i.test(name);
}

/** One workgroup of 64 invocations sums 64 integers' squares through workgroup memory; the sum is 85344. */
const testShader = /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> result: array<u32, 1>;
var<workgroup> squares: array<u32, 64>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
  squares[i] = i * i;
  for (var stride = 32u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (i < stride) { squares[i] += squares[i + stride]; }
  }
  if (i == 0u) { result[0] = squares[0]; }
}`;
const testResult = 85344;

/**
 * Runs a small kernel on a device of its own and compares the result.
 *
 * @param settle how to wait for a promise of the device
 * @returns why the adapter does not work, in a few words, or undefined if it does. The adapter is used up.
 */
export async function testAdapter(
  adapter: GPUAdapter,
  settle: <T>(promise: Promise<T>) => Promise<T>,
): Promise<string | undefined> {
  let device: GPUDevice | undefined;
  try {
    device = await settle(adapter.requestDevice());
    device.pushErrorScope('validation');
    const size = 4;
    const result = device.createBuffer({ size, usage: 0x80 | 0x04 }); // STORAGE | COPY_SRC
    const readback = device.createBuffer({ size, usage: 0x01 | 0x08 }); // MAP_READ | COPY_DST
    const module = device.createShaderModule({ code: testShader });
    const pipeline = await settle(device.createComputePipelineAsync({ layout: 'auto', compute: { module } }));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [{ binding: 0, resource: { buffer: result } }];
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(result, 0, readback, 0, size);
    device.queue.submit([encoder.finish()]);
    await settle(readback.mapAsync(0x01)); // READ
    const value = new Uint32Array(readback.getMappedRange())[0];
    const error = await settle(device.popErrorScope());
    if (error) return `a test dispatch failed: ${firstLine(error.message)}`;
    if (value !== testResult) return `a test dispatch gave ${value} instead of ${testResult}`;
    return undefined;
  } catch (error) {
    return `a test dispatch failed: ${firstLine(error instanceof Error ? error.message : String(error))}`;
  } finally {
    device?.destroy();
  }
}

function firstLine(message: string): string {
  return message.trim().split('\n')[0];
}
