import { openAdapter } from '../../src/runtime/adapter.node.ts';
import { settle } from '../../src/runtime/wait.ts';

export interface Page {
  /** The adapter's name. */
  readonly adapter: string;
  /** Waits until the library's device has done everything, as our own device waits. Throws what WebGPU reported. */
  finish(): Promise<void>;
}

/**
 * Makes Node enough of a page for a library that is written for one: `navigator.gpu` is the Dawn that we use ourselves,
 * with the same adapter. The library asks it for a device; validation errors of that device are kept for `finish`.
 */
export async function becomePage(adapter: string | undefined): Promise<Page> {
  const opened = await openAdapter({ adapter });
  let device: GPUDevice | undefined;
  let failure: Error | undefined;
  const requestDevice = opened.adapter.requestDevice.bind(opened.adapter);
  Object.defineProperty(opened.adapter, 'requestDevice', {
    value: async (descriptor: GPUDeviceDescriptor = {}) => {
      // tfjs puts a list into the list of features, which browsers flatten when they make strings of its entries.
      const requiredFeatures = [...(descriptor.requiredFeatures ?? [])].flat() as GPUFeatureName[];
      const opening = await settle(requestDevice({ ...descriptor, requiredFeatures }));
      opening.addEventListener('uncapturederror', event => {
        failure ??= new Error(`WebGPU: ${(event as GPUUncapturedErrorEvent).error.message}`);
      });
      device = opening;
      return device;
    },
  });
  const gpu = {
    requestAdapter: async () => opened.adapter,
    getPreferredCanvasFormat: () => 'bgra8unorm',
    wgslLanguageFeatures: opened.gpu.wgslLanguageFeatures,
  };
  // Node has no navigator before version 21, and one that cannot be assigned to from then on.
  Object.defineProperty(globalThis, 'navigator', {
    value: { gpu, userAgent: `Node/${process.versions.node}` },
    configurable: true,
  });
  return {
    adapter: opened.name,
    finish: async () => {
      await settle(device!.queue.onSubmittedWorkDone());
      if (failure) {
        const thrown = failure;
        failure = undefined;
        throw thrown;
      }
    },
  };
}
