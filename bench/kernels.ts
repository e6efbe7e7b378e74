/**
 * Times the kernels one by one, on shapes of the networks, beside what the adapter reaches at best.
 *
 *     npm run bench -- [FILTER] [--json] [--adapter NAME]
 *
 * Each line: the milliseconds of one run, the arithmetic and the bytes of it by second, and its share of its ceiling: the
 * arithmetic rate or the bandwidth, whichever its operations and bytes meet first; bytes count each operand and each
 * output once. A kernel above 100 % found its operands in a cache, which the copy that measures the bandwidth is too
 * large for. --json prints an object instead of the table. FILTER takes the cases whose names contain it; the cases are
 * in bench/kernelCases.ts and bench/fusedCases.ts.
 */
import { parseArgs } from 'node:util';
import { UserError } from '../src/io/errors.ts';
import { Device } from '../src/runtime/device.ts';
import { random } from '../src/runtime/kernels/random.ts';
import { measureCeilings, secondsPerUnit } from '../src/runtime/measure.ts';
import { tensorsIn } from '../src/runtime/tensorsIn.ts';
import type { Case } from './case.ts';
import { cases } from './kernelCases.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, adapter: { type: 'string' } },
});
const [filter = ''] = positionals;
const chosen = cases.filter(({ name }) => name.includes(filter));
if (chosen.length === 0) throw new UserError(`bench: no case has '${filter}' in its name`);

const device = await Device.open({ adapter: values.adapter });
try {
  const ceilings = await measureCeilings(device);
  if (!values.json) {
    const [arithmetic, bandwidth] = [ceilings.arithmetic.toFixed(1), ceilings.bandwidth.toFixed(1)];
    console.log(`${device.adapter.name}: at most ${arithmetic} GFLOP/s and ${bandwidth} GB/s\n`);
    console.log(`${'kernel'.padEnd(54)}       ms   GFLOP/s      GB/s   of its ceiling`);
  }
  const rows = [];
  for (const one of chosen) {
    const row = await time(one);
    const gflops = one.flop / row.ms / 1e6;
    const gbps = row.bytes / row.ms / 1e6;
    const share = Math.max(gflops / ceilings.arithmetic, gbps / ceilings.bandwidth);
    rows.push({ name: one.name, ms: row.ms, gflops, gbps, share });
    if (values.json) continue;
    const numbers = [row.ms.toFixed(3), gflops.toFixed(2), gbps.toFixed(2)].map(text => text.padStart(9));
    console.log(`${one.name.padEnd(54)}${numbers.join(' ')}   ${(100 * share).toFixed(0).padStart(3)} %`);
  }
  if (values.json) console.log(JSON.stringify({ adapter: device.adapter.name, ...ceilings, rows }, null, 2));
} finally {
  device.destroy();
}

/** Milliseconds of one run of a case, and the bytes that it reads and writes. */
async function time({ operands, prepare, run, bytes: known }: Case): Promise<{ ms: number; bytes: number }> {
  const step = device.keep(device.tensor([1], [1], 'u32'));
  const tensors = operands.map((shape, i) =>
    device.keep(random(device, shape, 'normal', { seed: 1, stream: `operand ${i}`, step })),
  );
  const prepared = device.scope('prepare', () => prepare?.(tensors) ?? []);
  const inputs = [...tensors, ...prepared.map(tensor => device.keep(tensor))];
  let bytes = inputs.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const program = device.record('case', () => {
    const outputs = run(inputs);
    bytes += tensorsIn(outputs).reduce((sum, tensor) => sum + tensor.bytes, 0);
    return outputs;
  });
  const seconds = await secondsPerUnit(device, units => {
    for (let i = 0; i < units; i++) program.run();
  });
  program.release();
  for (const tensor of [...inputs, step]) device.discard(tensor);
  return { ms: seconds * 1e3, bytes: known ?? bytes };
}
