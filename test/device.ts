import { afterAll, beforeAll } from 'vitest';
import { Device, type DeviceOptions } from '../src/runtime/device.ts';

/** A device for the tests of a file, opened once and checked for WebGPU errors at the end. */
export function useDevice(options: DeviceOptions = {}): { readonly device: Device } {
  let device: Device;
  beforeAll(async () => {
    device = await Device.open(options);
  });
  afterAll(async () => {
    await device?.finish();
    device?.destroy();
  });
  return {
    get device() {
      return device;
    },
  };
}
