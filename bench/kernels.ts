/**
 * Times the kernels one by one, on shapes of the networks, beside what the adapter reaches at best.
 *
 *     npm run bench -- [FILTER] [--json] [--adapter NAME]
 *
 * A kernel's ceiling is the arithmetic rate or the bandwidth, whichever its operations and bytes meet first; bytes
 * count each operand once. --json prints an object instead of the table. FILTER takes the cases whose names contain it.
 */
import { parseArgs } from 'node:util';
import { UserError } from '../src/io/errors.ts';
import { Device } from '../src/runtime/device.ts';
import * as conv from '../src/runtime/kernels/conv.ts';
import { binary, unary } from '../src/runtime/kernels/elementwise.ts';
import { matmul } from '../src/runtime/kernels/matmul.ts';
import { random } from '../src/runtime/kernels/random.ts';
import { reduce } from '../src/runtime/kernels/reduce.ts';
import { upfirdn2d } from '../src/runtime/kernels/resample.ts';
import { measureCeilings, secondsPerUnit } from '../src/runtime/measure.ts';
import type { Shape } from '../src/runtime/shape.ts';
import type { Tensor } from '../src/runtime/tensor.ts';

interface Case {
  readonly name: string;
  readonly flop: number;
  readonly operands: readonly Shape[];
  readonly run: (operands: readonly Tensor[]) => Tensor;
}

/** 3×3 convolutions as [images, channels in, channels out, size, stride]. */
const CONVOLUTIONS = [
  [4, 64, 64, 64, 1],
  [4, 32, 32, 32, 1],
  [8, 16, 16, 32, 1],
  [8, 64, 64, 8, 1],
  [8, 64, 128, 16, 2],
  [8, 128, 128, 4, 1],
] as const;

function convolutions(): Case[] {
  return CONVOLUTIONS.flatMap(([n, c, o, size, stride]) => {
    const geometry = { stride: [stride, stride], padding: [1, 1], groups: 1 } as const;
    const out = size / stride;
    const [x, w, y] = [
      [n, c, size, size],
      [o, c, 3, 3],
      [n, o, out, out],
    ];
    const flop = 2 * n * o * c * 9 * out * out;
    const shape = `N${n} ${c}→${o} ${size}² k3 s${stride}`;
    return [
      { name: `conv2d ${shape}`, flop, operands: [x, w], run: ([a, b]) => conv.conv2d(a, b, geometry) },
      {
        name: `conv2d input gradient ${shape}`,
        flop,
        operands: [y, w],
        run: ([a, b]) => conv.convTranspose2d(a, b, geometry, [size, size]),
      },
      {
        name: `conv2d weight gradient ${shape}`,
        flop,
        operands: [x, y],
        run: ([a, b]) => conv.conv2dWeightGradient(a, b, geometry, [3, 3]),
      },
    ] satisfies Case[];
  });
}

function products(): Case[] {
  return [
    [1024, 1024, 1024],
    [8, 2048, 512],
    [64, 128, 128],
  ].map(([m, k, n]) => ({
    name: `matmul ${m}×${k} · ${k}×${n}`,
    flop: 2 * m * k * n,
    operands: [
      [m, k],
      [k, n],
    ],
    run: ([a, b]) => matmul(a, b),
  }));
}

function memoryBound(): Case[] {
  const map = [8, 64, 64, 64];
  const size = 8 * 64 * 64 * 64;
  const resize = { up: [1, 1], down: [1, 1], pad: [2, 1, 2, 1], flip: false, gain: 1 } as const;
  return [
    { name: 'unary x²', flop: size, operands: [map], run: ([x]) => unary(x, 'x * x') },
    { name: 'binary x + y', flop: size, operands: [map, map], run: ([x, y]) => binary(x, y, 'x + y') },
    { name: 'binary x · s', flop: size, operands: [map, [8, 64, 1, 1]], run: ([x, y]) => binary(x, y, 'x * y') },
    { name: 'reduce over pixels', flop: size, operands: [map], run: ([x]) => reduce(x, [2, 3]) },
    { name: 'reduce 512 rows of 64', flop: 32768, operands: [[512, 64]], run: ([x]) => reduce(x, [1]) },
    { name: 'reduce over images and pixels', flop: size, operands: [map], run: ([x]) => reduce(x, [0, 2, 3]) },
    {
      name: 'upfirdn2d 4×4 blur',
      flop: 2 * 16 * size,
      operands: [map, [4, 4]],
      run: ([x, f]) => upfirdn2d(x, f, resize),
    },
  ];
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, adapter: { type: 'string' } },
});
const [filter = ''] = positionals;
const cases = [...convolutions(), ...products(), ...memoryBound()].filter(({ name }) => name.includes(filter));
if (cases.length === 0) throw new UserError(`bench: no case has '${filter}' in its name`);

const device = await Device.open({ adapter: values.adapter });
try {
  const ceilings = await measureCeilings(device);
  if (!values.json) {
    const [arithmetic, bandwidth] = [ceilings.arithmetic.toFixed(1), ceilings.bandwidth.toFixed(1)];
    console.log(`${device.adapter.name}: at most ${arithmetic} GFLOP/s and ${bandwidth} GB/s\n`);
    console.log(`${'kernel'.padEnd(50)}       ms   GFLOP/s      GB/s   of its ceiling`);
  }
  const rows = [];
  for (const one of cases) {
    const row = await time(one);
    const gflops = one.flop / row.ms / 1e6;
    const gbps = row.bytes / row.ms / 1e6;
    const share = Math.max(gflops / ceilings.arithmetic, gbps / ceilings.bandwidth);
    rows.push({ name: one.name, ms: row.ms, gflops, gbps, share });
    if (values.json) continue;
    const numbers = [row.ms.toFixed(3), gflops.toFixed(2), gbps.toFixed(2)].map(text => text.padStart(9));
    console.log(`${one.name.padEnd(50)}${numbers.join(' ')}   ${(100 * share).toFixed(0).padStart(3)} %`);
  }
  if (values.json) console.log(JSON.stringify({ adapter: device.adapter.name, ...ceilings, rows }, null, 2));
} finally {
  device.destroy();
}

/** Milliseconds of one run of a case, and the bytes of its operands and its result. */
async function time({ operands, run }: Case): Promise<{ ms: number; bytes: number }> {
  const step = device.tensor([1], [1], 'u32');
  const tensors = operands.map((shape, i) =>
    device.keep(random(device, shape, 'normal', { seed: 1, stream: `operand ${i}`, step })),
  );
  let bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const program = device.record('case', () => {
    const result = run(tensors);
    bytes += result.bytes;
    return result;
  });
  const seconds = await secondsPerUnit(device, units => {
    for (let i = 0; i < units; i++) program.run();
  });
  program.release();
  for (const tensor of tensors) device.discard(tensor);
  return { ms: seconds * 1e3, bytes };
}
