import type { Measurements } from '../runtime/measure.ts';
import type { AdapterInfo } from './messages.ts';

/** The adapter in one line: name, limits, features. */
export function adapterText({ name, features, maxBufferSize, maxBindingSize, workgroupMemory }: AdapterInfo): string {
  const used = features.filter(feature => feature !== 'core-features-and-limits');
  return [
    name,
    `buffers to ${bytes(maxBufferSize)}`,
    `bindings to ${bytes(maxBindingSize)}`,
    `${bytes(workgroupMemory)} of workgroup memory`,
    used.length > 0 ? used.join(', ') : 'no optional features',
  ].join(' · ');
}

/** What `wgrad doctor` measures too, in one line. */
export function measuredText({ arithmetic, conv2d, matmul, bandwidth, dispatchHost }: Measurements): string {
  return [
    `arithmetic ${digits(arithmetic)} GFLOP/s`,
    `conv2d ${digits(conv2d)}`,
    `matmul ${digits(matmul)}`,
    `copy ${digits(bandwidth)} GB/s`,
    `a dispatch ${digits(dispatchHost)} µs`,
  ].join(' · ');
}

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
  return `${Number((count / 1024 ** power).toPrecision(3))} ${units[power]}`;
}
