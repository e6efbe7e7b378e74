import { describe, expect, test } from 'vitest';
import { applyEffects, discardEffects } from '../src/autograd/effects.ts';
import { BatchNorm, Sequential } from '../src/models/layers.ts';
import { initialize, loadStateDict, readStateDict, release } from '../src/models/module.ts';
import { useDevice } from './device.ts';

const gpu = useDevice();

/** A module's state as plain lists. */
async function stateOf(module: Sequential): Promise<Record<string, number[]>> {
  return Object.fromEntries([...(await readStateDict(module))].map(([key, { data }]) => [key, [...data]]));
}

describe('batch normalisation', () => {
  const make = () => {
    const module = new Sequential([new BatchNorm(2)]);
    initialize(module, gpu.device);
    return module;
  };
  /** A step in training mode; a gate that is not 0 says that it was not finite. */
  const step = (module: Sequential, gate: number) =>
    gpu.device.scope('step', () => {
      discardEffects();
      module.forward(gpu.device.tensor([1, 3, 10, 30], [2, 2, 1]));
      applyEffects(gpu.device.tensor([gate], [1], 'u32'));
    });
  const start = { '0.running_mean': [0, 0], '0.running_var': [1, 1], '0.num_batches_tracked': [0] };

  test('a step that is not finite moves no average and is not counted', async () => {
    const module = make();
    step(module, 1);
    expect(await stateOf(module)).toMatchObject(start);
    step(module, 0);
    step(module, 1);
    const state = await stateOf(module);
    expect(state['0.num_batches_tracked']).toEqual([1]);
    // Means 5.5 and 16.5; unbiased variances 40.5 and 364.5.
    [0.55, 1.65].forEach((mean, c) => {
      expect(state['0.running_mean'][c]).toBeCloseTo(mean, 5);
    });
    [4.95, 37.35].forEach((variance, c) => {
      expect(state['0.running_var'][c]).toBeCloseTo(variance, 4);
    });
    release(module);
  });

  test('files may lack the counter, or have it as int64', async () => {
    const module = make();
    step(module, 0);
    const values = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>(await readStateDict(module));
    values.delete('0.num_batches_tracked');
    loadStateDict(module, values);
    expect((await stateOf(module))['0.num_batches_tracked']).toEqual([0]);
    const data = BigInt64Array.of(7n) as unknown as ArrayLike<number>;
    loadStateDict(module, values.set('0.num_batches_tracked', { shape: [], data }));
    expect((await stateOf(module))['0.num_batches_tracked']).toEqual([7]);
    release(module);
  });
});

test('a state dict of another model is refused and nothing is written', async () => {
  const module = new Sequential([new BatchNorm(2)]);
  initialize(module, gpu.device);
  const before = await stateOf(module);
  const values = await readStateDict(module);
  values.set('0.bias', { shape: [2], data: Float32Array.of(5, 5) });
  const without = new Map(values);
  without.delete('0.running_var');
  const options = { source: 'x.safetensors' };
  expect(() => loadStateDict(module, without, options)).toThrow(
    'x.safetensors: no tensor "0.running_var"; the file is',
  );
  const wider = new Map(values).set('0.running_var', { shape: [3], data: Float32Array.of(1, 1, 1) });
  expect(() => loadStateDict(module, wider, options)).toThrow('"0.running_var" is [3], the model wants [2]');
  const more = new Map(values).set('1.weight', { shape: [1], data: Float32Array.of(1) });
  expect(() => loadStateDict(module, more, options)).toThrow('"1.weight" is unknown to the model');
  expect(await stateOf(module)).toEqual(before);
  loadStateDict(module, more, { ignoreUnknown: true });
  expect((await stateOf(module))['0.bias']).toEqual([5, 5]);
  release(module);
});

test('a part of a module cannot be released without the rest, and the rest not twice', () => {
  const part = new BatchNorm(2);
  const module = new Sequential([part, new BatchNorm(2)]);
  const before = gpu.device.memory.lentBytes;
  initialize(module, gpu.device);
  expect(() => release(part)).toThrow('the module is not on a device');
  release(module);
  expect(gpu.device.memory.lentBytes).toBe(before);
  expect(() => release(module)).toThrow('the module is not on a device');
});
