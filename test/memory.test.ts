import { describe, expect, test } from 'vitest';
import * as ops from '../src/autograd/index.ts';
import { full } from '../src/runtime/kernels/copy.ts';
import type { Tensor } from '../src/runtime/tensor.ts';
import { useDevice } from './device.ts';

describe('scopes', () => {
  const gpu = useDevice();
  const one = (name = '') => full(gpu.device, [1000], 1, 'f32', name);

  test('temporaries go back to the pool at the end and are lent again', () => {
    const { memory } = gpu.device;
    const before = memory.lentBytes;
    gpu.device.scope('first', () => void ops.add(one(), one()));
    expect(memory.lentBytes).toBe(before);
    const reserved = memory.reservedBytes;
    gpu.device.scope('second', () => void ops.add(one(), one()));
    expect(memory.reservedBytes).toBe(reserved);
  });

  test('a tensor that is used after its scope is named in the error, and so is the scope', async () => {
    const { device } = gpu;
    let leaked!: Tensor;
    device.scope('the forward pass', () => {
      leaked = one('features');
    });
    const message =
      'tensor "features" [1000] went back to the pool when the forward pass ended; return it from the scope or keep() it';
    expect(() => ops.add(leaked, 1)).toThrow(message);
    await expect(leaked.read()).rejects.toThrow(message);
    expect(() => device.copy(leaked, full(device, [5000], 0))).toThrow(message);
    expect(() => device.write(leaked, new Float32Array(1000))).toThrow(message);
    // The memory serves another tensor by now: no handle derived from the old one may see it.
    expect(leaked.blocks[0].lent).not.toBe(0);
    expect(() => leaked.view([10, 100])).toThrow(message);
    expect(() => ops.variable(leaked)).toThrow(message);
    await expect(leaked.read()).rejects.toThrow(message);
  });

  test('what is returned survives: alone, in arrays, maps and objects; views too', async () => {
    const { device } = gpu;
    const results = device.scope('results', () => ({
      alone: one(),
      list: [one(), { deep: one() }],
      map: new Map([['key', one().view([10, 100])]]),
      other: 5,
    }));
    const list = results.list as [Tensor, { deep: Tensor }];
    for (const tensor of [results.alone, list[0], list[1].deep, results.map.get('key')!]) {
      expect((await tensor.read())[999]).toBe(1);
    }
  });

  test('what is returned from an inner scope belongs to the one around it', () => {
    const { device } = gpu;
    const before = device.memory.lentBytes;
    let inner!: Tensor;
    device.scope('outer', () => {
      inner = device.scope('inner', () => ops.add(one(), one('sum')));
      expect(() => inner.slice).not.toThrow();
    });
    expect(() => inner.slice).toThrow('when outer ended');
    expect(device.memory.lentBytes).toBe(before);
  });

  test('what is kept survives all scopes until it is discarded', async () => {
    const { device } = gpu;
    const before = device.memory.lentBytes;
    let kept!: Tensor;
    device.scope('outer', () =>
      device.scope('inner', () => {
        kept = device.keep(one('statistics'));
      }),
    );
    expect((await kept.read())[0]).toBe(1);
    device.discard(kept);
    expect(() => kept.slice).toThrow('when discard() ended');
    device.discard(kept);
    expect(device.memory.lentBytes).toBe(before);
  });

  test('an error inside gives all memory back, and the scope around goes on', async () => {
    const { device } = gpu;
    const before = device.memory.lentBytes;
    const outer = device.scope('outer', () => {
      const mine = one();
      expect(() =>
        device.scope('failing', () => {
          one();
          throw new Error('on purpose');
        }),
      ).toThrow('on purpose');
      return mine;
    });
    expect((await outer.read())[0]).toBe(1);
    expect(device.memory.lentBytes).toBe(before + outer.blocks[0].bytes);
    expect(() => device.scope('asynchronous', async () => one())).toThrow('must not be asynchronous');
    expect(device.memory.lentBytes).toBe(before + outer.blocks[0].bytes);
  });

  test('a read may outlive its scope: it shows the values at the time of the call', async () => {
    const { device } = gpu;
    const [early, late] = device.scope('reads', () => {
      const x = device.tensor([1, 2], [2]);
      const first = x.read();
      device.write(x, [3, 4]);
      return [first, x.read()];
    }) as Promise<Float32Array>[];
    device.scope('others', () => full(device, [2], 9));
    expect([...(await early)]).toEqual([1, 2]);
    expect([...(await late)]).toEqual([3, 4]);
  });
});

describe('steady state', () => {
  const gpu = useDevice();

  test('identical steps allocate nothing and make no bind groups after the second', async () => {
    const { device } = gpu;
    const weight = device.keep(full(device, [8, 3, 3, 3], 0.1));
    const image = device.keep(full(device, [4, 3, 16, 16], 0.5));
    const step = () =>
      device.scope('step', () => {
        const w = ops.variable(weight);
        const y = ops.leakyRelu(ops.conv2d(image, w, undefined, { padding: 1 }), { slope: 0.2 });
        const [gradient] = ops.grad(ops.mean(ops.square(y)), [w]);
        device.copy(ops.sub(weight, ops.mul(gradient, 0.1)), weight);
      });
    const original = device.gpu.createBindGroup.bind(device.gpu);
    let bindGroups = 0;
    device.gpu.createBindGroup = descriptor => {
      bindGroups++;
      return original(descriptor);
    };
    const counts: { reserved: number; lent: number; bindGroups: number }[] = [];
    for (let i = 0; i < 50; i++) {
      step();
      const { reservedBytes: reserved, lentBytes: lent } = device.memory;
      counts.push({ reserved, lent, bindGroups });
    }
    await device.finish();
    expect(counts[1].bindGroups).toBeGreaterThan(0);
    expect(counts.slice(2)).toEqual(counts.slice(2).map(() => counts[1]));
    expect((await weight.read())[0]).toBeLessThan(0.1);
  });

  test('nested scopes whose results live on come back to the same buffers', async () => {
    const { device } = gpu;
    const buffers: string[] = [];
    const original = device.gpu.createBindGroup.bind(device.gpu);
    device.gpu.createBindGroup = descriptor => {
      buffers.push(descriptor.label ?? '');
      return original(descriptor);
    };
    const stage = (x: Tensor, k: number) =>
      device.scope(`stage ${k}`, () => {
        const wide = ops.add(x, k);
        const kept = ops.mul(wide, 0.5);
        ops.exp(kept);
        return { kept, mean: ops.mean(wide) };
      });
    const made: number[] = [];
    for (let i = 0; i < 12; i++) {
      device.scope('step', () => {
        let x = full(device, [64, 64], 1);
        for (let k = 1; k <= 3; k++) x = ops.add(stage(x, k).kept, stage(x, k).mean);
      });
      made.push(buffers.length);
    }
    await device.finish();
    device.gpu.createBindGroup = original;
    expect(made[0]).toBeGreaterThan(0);
    expect(made.slice(1)).toEqual(made.slice(1).map(() => made[1]));
  });

  test('the peak counts what is lent at once, and trim gives back what nobody uses', async () => {
    const { device } = gpu;
    const { memory } = device;
    device.trim();
    memory.resetPeak();
    const before = memory.lentBytes;
    const bytes = 4 * 2 ** 20;
    for (let i = 0; i < 3; i++) device.scope('large', () => full(device, [2 ** 20], i) && undefined);
    expect(memory.peakBytes).toBe(before + bytes);
    const reserved = memory.reservedBytes;
    device.trim();
    expect(memory.reservedBytes).toBe(reserved - bytes);
    expect((await full(device, [2], 4).read())[1]).toBe(4);
  });
});

describe('errors that WebGPU reports late', () => {
  test('surface at the next wait, once, and the device goes on', async () => {
    const { Device } = await import('../src/runtime/device.ts');
    const device = await Device.open();
    try {
      const x = full(device, [4], 2);
      const kernel = device.kernel({
        name: 'needs_more',
        source: `
          @group(0) @binding(0) var<storage, read_write> output: array<f32, 100000>;
          @compute @workgroup_size(1) fn main() { output[0] = 1; }`,
      });
      // The shader binds more memory than there is.
      device.dispatch(kernel, [x], [], [1]);
      await expect(device.finish()).rejects.toThrow('WebGPU: ');
      expect(await full(device, [4], 3).read()).toEqual(new Float32Array(4).fill(3));
      // A shader that does not compile.
      expect(() => device.kernel({ name: 'broken', source: 'fn main(' }).pipeline).not.toThrow();
      await expect(x.read()).rejects.toThrow('kernel broken does not compile');
      await device.finish();
    } finally {
      device.destroy();
    }
  });
});
