import { describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { type Lifetime, planMemory } from '../src/runtime/memoryPlan.ts';
import { philox4x32 } from '../src/runtime/philox.ts';
import { Programs } from '../src/runtime/program.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { useDevice } from './device.ts';

const values = (n: number, seed = 1) => Float32Array.from({ length: n }, (_, i) => Math.sin(seed * 7 + i * 1.3));

/** Two convolutions with a gradient in every form: of the loss, and of the norm of the gradient. */
function step(x: Tensor, weights: readonly Tensor[]) {
  const image = ops.variable(x);
  const hidden = ops.leakyRelu(ops.conv2d(image, weights[0], undefined, { padding: 1 }), { slope: 0.2 });
  const y = ops.sum(ops.square(ops.conv2d(hidden, weights[1], undefined, { padding: 1 })));
  const [slope] = ops.grad(y, [image], { createGraph: true });
  const loss = ops.add(ops.mul(y, 0.1), ops.sum(ops.square(slope)));
  return { loss, gradients: ops.grad(loss, weights) };
}

describe('a program', () => {
  const gpu = useDevice();
  test('computes what its function does, bit for bit, in every run and with new content of kept tensors', async () => {
    const { device } = gpu;
    const x = device.keep(device.tensor(values(2 * 3 * 8 * 8), [2, 3, 8, 8]));
    const weights = [
      device.tensor(values(4 * 3 * 9, 2), [4, 3, 3, 3]),
      device.tensor(values(2 * 4 * 9, 3), [2, 4, 3, 3]),
    ];
    for (const weight of weights) device.keep(weight);
    const program = device.record('step', () => step(x, weights));
    for (const seed of [1, 5, 9]) {
      device.write(x, values(x.size, seed));
      const eager = device.scope('eager', () => {
        const { loss, gradients } = step(x, weights);
        return Promise.all([loss, ...gradients].map(tensor => tensor.read()));
      });
      const { loss, gradients } = program.run();
      const recorded = await Promise.all([loss, ...gradients].map(tensor => tensor.read()));
      expect(recorded).toEqual(await eager);
    }
    program.release();
    for (const tensor of [x, ...weights]) device.discard(tensor);
  });

  test('shares memory with other programs, and is bound anew when a larger one has moved it', async () => {
    const { device } = gpu;
    const x = device.keep(device.tensor(values(64), [64]));
    const programs = new Programs(device);
    const small = () => programs.run('small', () => ops.sum(ops.square(ops.mul(x, 2))));
    const large = () =>
      programs.run('large', () => ops.sum(ops.square(ops.expand(ops.reshape(ops.mul(x, 2), [1, 64]), [500, 64]))));
    const expected = values(64).reduce((sum, v) => sum + 4 * v * v, 0);
    for (let i = 0; i < 3; i++) {
      expect(await small().item()).toBeCloseTo(expected, 3);
      expect((await large().item()) / 500).toBeCloseTo(expected, 3);
    }
    const reserved = device.memory.reservedBytes;
    for (let i = 0; i < 20; i++) {
      small();
      large();
    }
    await device.finish();
    expect(device.memory.reservedBytes).toBe(reserved);
    device.trim();
    expect(await small().item()).toBeCloseTo(expected, 3);
    programs.release();
    device.discard(x);
  });

  test('compiles what is new to it while the host goes on, and tells of it', async () => {
    const { device } = gpu;
    const told: string[] = [];
    const programs = new Programs(device, (done, count) => told.push(`${done}/${count}`));
    const x = device.keep(device.tensor([1, 2], [2]));
    const body = () => ops.clamp(ops.mul(x, 3), { min: 1.25, max: 1.75 });
    const submits = device.stream.submits;
    const y = programs.run('new', body);
    expect([told, device.stream.submits]).toEqual([[], submits]);
    await programs.compiled();
    expect(told.at(-1)).toBe(`${told.length}/${told.length}`);
    expect(device.stream.submits).toBe(submits + 1);
    expect(await y.read()).toEqual(Float32Array.of(1.75, 1.75));
    const known = told.length;
    programs.run('new', body);
    programs.run('of the same kernels', body);
    await programs.compiled();
    expect(told.length).toBe(known);
    programs.release();
    device.discard(x);
  });

  test.each(['waited for', 'not waited for'])('while kernels are compiled all keeps its order: %s', async how => {
    const { device } = gpu;
    const programs = new Programs(device);
    const x = device.keep(device.tensor([1, 2], [2]));
    const sum = device.keep(device.tensor([0, 0], [2]));
    const bound = how === 'waited for' ? 0.125 : 0.0625;
    const results = device.scope('step', () => {
      device.copy(ops.mul(x, 10), sum); // made at once
      const first = programs.run('first', () => ops.expand(ops.clamp(x, { min: bound, max: 3 }), [300, 2]));
      const eager = ops.add(ops.narrow(first, 0, 7, 8), sum); // waits, as does the copy
      device.copy(ops.reshape(eager, [2]), sum);
      // Larger than the first: the memory that both share moves.
      const second = programs.run('second', () =>
        ops.sum(ops.square(ops.expand(ops.add(sum, x), [900, 2])), { axes: [0] }),
      );
      return { second, eager };
    });
    if (how === 'waited for') await programs.compiled();
    else device.write(x, [5, 5]); // comes after all of it
    expect(await results.eager.read()).toEqual(Float32Array.of(11, 22));
    expect(await results.second.read()).toEqual(Float32Array.of(144 * 900, 576 * 900));
    expect(await sum.read()).toEqual(Float32Array.of(11, 22));
    programs.release();
    for (const tensor of [x, sum]) device.discard(tensor);
  });

  test('a kernel that does not compile is named, with the line, and nothing of it runs', async () => {
    const { device } = gpu;
    const source =
      '@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n@compute @workgroup_size(1) fn main() { y[0] = oops; }';
    const programs = new Programs(device);
    const x = device.keep(device.tensor([1], [1]));
    programs.run('broken', () => device.dispatch(device.kernel({ name: 'broken', source }), [x], [], [1]));
    await expect(programs.compiled()).rejects.toThrow(
      /^kernel broken does not compile:\n(.*\n)*2 \| .*\n.*error: unresolved value 'oops'/,
    );
    expect(await x.read()).toEqual(Float32Array.of(1));
    programs.release();
    device.discard(x);
  });

  test('refuses what would be frozen or gone when it runs, by name', async () => {
    const { device } = gpu;
    const kept = device.keep(device.tensor([1, 2], [2], 'f32', 'kept'));
    const outside = device.tensor([1, 2], [2], 'f32', 'outside');
    const record = (body: () => unknown) => () => device.record('strict', body as () => void);
    expect(record(() => device.write(kept, [3, 4]))).toThrow(/writing tensor "kept" \[2\].*program "strict"/);
    expect(record(() => void kept.read())).toThrow(/reading tensor "kept"/);
    expect(record(() => ops.mul(outside, 2))).toThrow(/program "strict" uses tensor "outside".*keep\(\)/);
    expect(record(() => ops.mul(device.tensor([1], [1], 'f32', 'batch'), 2))).toThrow(/tensor "batch".*keep\(\)/);
    expect(record(() => device.record('inner', () => {}))).toThrow(/recording "inner"/);
    // Nothing of it stays behind: the device works as before.
    expect(await ops.mul(kept, 2).read()).toEqual(Float32Array.of(2, 4));
    const program = device.record('stale', () => ops.mul(kept, 2));
    device.discard(kept);
    expect(() => program.run()).toThrow(/program "stale" uses a tensor that was discarded/);
    program.release();
  });
});

describe('planMemory', () => {
  /** Random lifetimes, and conflicts as dispatches make them: between temporaries that live at the same time. */
  function problem(seed: number) {
    const count = 200;
    const draw = (i: number, k: number, most: number) => philox4x32([i, k, 0, 0], [seed, 7])[0] % most;
    const lifetimes: Lifetime[] = Array.from({ length: count }, (_, i) => {
      const first = i;
      return { bytes: 4 + draw(i, 0, 100_000), first, last: first + 1 + draw(i, 1, draw(i, 2, 5) === 0 ? 150 : 6) };
    });
    const conflicts = lifetimes.map(() => new Set<number>());
    for (let i = 1; i < count; i++) {
      for (const k of [1, 2]) {
        const other = Math.max(0, i - 1 - draw(i, 10 + k, 8));
        if (lifetimes[other].last < i || other === i) continue;
        conflicts[i].add(other);
        conflicts[other].add(i);
      }
    }
    return { lifetimes, conflicts };
  }

  test.each(Array.from({ length: 20 }, (_, i) => i))('plan %i: what lives together lies apart', seed => {
    const { lifetimes, conflicts } = problem(seed);
    const limit = 2 ** 20;
    const { places, buffers, needed } = planMemory(lifetimes, conflicts, limit);
    for (const [i, a] of lifetimes.entries()) {
      expect(places[i].offset % 256).toBe(0);
      expect(places[i].offset + a.bytes).toBeLessThanOrEqual(buffers[places[i].buffer]);
      for (let j = 0; j < i; j++) {
        const b = lifetimes[j];
        if (conflicts[i].has(j)) expect(places[i].buffer).not.toBe(places[j].buffer);
        if (places[i].buffer !== places[j].buffer || a.last < b.first || b.last < a.first) continue;
        const apart = places[i].offset >= places[j].offset + b.bytes || places[j].offset >= places[i].offset + a.bytes;
        expect(apart, `${i} and ${j}`).toBe(true);
      }
    }
    expect(Math.max(...buffers)).toBeLessThanOrEqual(limit);
    const planned = buffers.reduce((sum, bytes) => sum + bytes);
    expect(planned).toBeGreaterThanOrEqual(needed);
    // Within 1.2 times for the recipes' programs; these have conflicts everywhere.
    expect(planned).toBeLessThan(1.3 * needed);
  });
});
