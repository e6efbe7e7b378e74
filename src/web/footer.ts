import type { Measurements } from '../runtime/measure.ts';
import { formatBytes, formatDigits } from '../train/report/html.ts';
import type { AdapterInfo } from './messages.ts';

/** The adapter in one line: name, limits, features. */
export function adapterText({ name, features, maxBufferSize, maxBindingSize, workgroupMemory }: AdapterInfo): string {
  const used = features.filter(feature => feature !== 'core-features-and-limits');
  return [
    name,
    `buffers to ${formatBytes(maxBufferSize)}`,
    `bindings to ${formatBytes(maxBindingSize)}`,
    `${formatBytes(workgroupMemory)} of workgroup memory`,
    used.length > 0 ? used.join(', ') : 'no optional features',
  ].join(' · ');
}

/** What `wgrad doctor` measures too, in one line. */
export function measuredText({ arithmetic, conv2d, matmul, bandwidth, dispatchHost }: Measurements): string {
  return [
    `arithmetic ${formatDigits(arithmetic)} GFLOP/s`,
    `conv2d ${formatDigits(conv2d)}`,
    `matmul ${formatDigits(matmul)}`,
    `copy ${formatDigits(bandwidth)} GB/s`,
    `a dispatch ${formatDigits(dispatchHost)} µs`,
  ].join(' · ');
}
