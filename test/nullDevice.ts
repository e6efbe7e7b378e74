import { create } from 'webgpu';
import { Device } from '../src/runtime/device.ts';

const toggles = ['enable-dawn-features=allow_unsafe_apis'];
/** Held for as long as the process lives, as Dawn needs it. */
const kept: GPU[] = [];

/** What an adapter with tensor cores says of its subgroups and of the matrices that they multiply. */
const tensorCores = {
  subgroupMinSize: 32,
  subgroupMaxSize: 32,
  subgroupMatrixConfigs: [{ componentType: 'f16', resultComponentType: 'f32', M: 16, N: 16, K: 16 }],
};

/**
 * A device of Dawn's Null backend, which computes nothing and has every feature: what is compiled there is looked at by
 * the compiler of WGSL as on any other, so that variants for features that no adapter here has are as well.
 */
export async function openNullDevice(): Promise<Device> {
  const gpu = create(['backend=null', ...toggles]);
  kept.push(gpu);
  const adapter = (await gpu.requestAdapter())!;
  const withCores = {
    info: tensorCores,
    limits: adapter.limits,
    features: adapter.features,
    requestDevice: (descriptor: GPUDeviceDescriptor) => adapter.requestDevice(descriptor),
  } as unknown as GPUAdapter;
  const device = await Device.on({
    gpu,
    adapter: withCores,
    name: 'Null',
    driver: '',
    kind: 'gpu',
    passedOver: [],
    others: [],
  });
  device.read = async tensor => new Float32Array(tensor.size);
  device.readU32 = async tensor => new Uint32Array(tensor.size);
  return device;
}
