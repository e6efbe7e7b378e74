import type { Device } from './device.ts';
import { piecesOf } from './parts.ts';
import type { Tensor } from './tensor.ts';
import { settle } from './wait.ts';

/** The bytes of a tensor as they are at the time of the call. Throws what WebGPU reported meanwhile. */
export async function readBytes(device: Device, tensor: Tensor): Promise<ArrayBuffer> {
  const parts = tensor.parts ?? [tensor];
  const staging = parts.map(({ slice }) => {
    const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
    const buffer = device.gpu.createBuffer({ size: slice.bytes, usage });
    device.stream.copy(slice, buffer);
    return buffer;
  });
  await device.stream.drain();
  const result = new Uint8Array(tensor.bytes);
  let at = 0;
  try {
    for (const [i, buffer] of staging.entries()) {
      const { bytes } = parts[i];
      await settle(buffer.mapAsync(GPUMapMode.READ));
      result.set(new Uint8Array(buffer.getMappedRange(0, Math.max(bytes, 4)), 0, bytes), at);
      at += bytes;
    }
  } catch (error) {
    await device.kernels.settled();
    device.throwFailure();
    throw error;
  } finally {
    for (const buffer of staging) buffer.destroy();
  }
  await device.kernels.settled();
  device.throwFailure();
  return result.buffer;
}

/** Copies `count` elements between tensors of which one or both are in parts, piece by piece. */
export function copyParts(
  device: Device,
  source: Tensor,
  target: Tensor,
  from: number,
  to: number,
  count: number,
): void {
  let done = 0;
  for (const b of piecesOf(target, to, count)) {
    let at = b.from;
    for (const a of piecesOf(source, from + done, b.count)) {
      device.copy(a.part, b.part, { from: a.from, to: at, count: a.count });
      at += a.count;
    }
    done += b.count;
  }
}
