/**
 * The comparison with other libraries, but for running them: test/long/bench-peers.test.ts does, and needs a network.
 */
import { describe, expect, test } from 'vitest';
import { cases, classifier, convOperands, numbers, samplesOf, transposed } from '../bench/peers/cases.ts';
import { compare, median, quantile } from '../bench/peers/figures.ts';
import { parseOptions } from '../bench/peers/options.ts';
import { errorOf, reference } from '../bench/peers/reference.ts';
import { UserError } from '../src/io/errors.ts';

describe('options', () => {
  test('by default every case, seven rounds, a table', () => {
    expect(parseOptions([])).toEqual({ cases, json: false, adapter: undefined, rounds: 7 });
  });

  test('a filter, the adapter and the rounds', () => {
    const options = parseOptions(['matmul', '--json', '--adapter', 'lavapipe', '--rounds', '3']);
    expect(options).toMatchObject({ json: true, adapter: 'lavapipe', rounds: 3 });
    expect(options.cases.map(({ name }) => name)).toEqual(['matmul 1024³']);
  });

  test.each([
    [['nonsense'], /no case has 'nonsense' in its name; there are .*'matmul 1024³'/],
    [['--rounds', '0'], /--rounds 0 is not possible; give a whole number from 1 on/],
    [['--rounds', '2.5'], /--rounds 2.5/],
    [['--rounds', 'many'], /--rounds many/],
    [['conv2d', 'matmul'], /one filter, not 2/],
  ])('%j is refused with one line', (args, message) => {
    const refused = () => parseOptions(args);
    expect(refused).toThrow(UserError);
    expect(refused).toThrow(message);
    expect(refused).not.toThrow(/\n/);
  });
});

describe('figures', () => {
  test('quantiles are interpolated between the two nearest values', () => {
    expect(quantile([4, 1, 3, 2], 0.25)).toBeCloseTo(1.75, 12);
    expect(quantile([5], 0.75)).toBe(5);
    expect(median([9, 1, 5])).toBe(5);
    expect(median([1, 2, 3, 10])).toBe(2.5);
  });

  test('the ratio is that of the rounds, to the peer with the smallest median', () => {
    // In a round in which the machine is slow for all, the ratio stays what it is.
    const ours = [10, 20, 10, 10, 10];
    const peers = { a: [30, 60, 30, 40, 20], b: [100, 100, 100, 1, 100], c: null };
    expect(compare(ours, peers, 3)).toEqual({
      ours: 10,
      peers: { a: 30, b: 100, c: null },
      fastest: 'a',
      ratio: 3,
      spread: [3, 3],
      target: 3,
      met: true,
    });
  });

  test('a target that only the median reaches is not met', () => {
    const { ratio, spread, met } = compare([10, 10, 10, 10, 10], { a: [20, 22, 26, 28, 30] }, 2.5);
    expect(ratio).toBeCloseTo(2.6, 12);
    expect(spread).toEqual([2.2, 2.8]);
    expect(met).toBe(false);
  });

  test('without ours or without a peer there is no ratio', () => {
    const none = { ratio: null, spread: null, met: false };
    expect(compare(null, { a: [1] }, 1)).toMatchObject({ ours: null, fastest: 'a', ...none });
    expect(compare([1], { a: null }, 1)).toMatchObject({ ours: 1, fastest: null, ...none });
  });

  test('an error is told beside the largest value of its output', () => {
    expect(errorOf([[1, 200]], [[1, 100]])).toBe(1);
    expect(errorOf([[1.1, 100], [5]], [[1, 100], [5]])).toBeCloseTo(1e-3, 12);
    for (const wrong of [[[1]], [[1, Number.NaN]], [[1, 100], [1]]]) {
      expect(errorOf(wrong, [[1, 100]])).toBe(Number.POSITIVE_INFINITY);
    }
  });
});

describe('cases', () => {
  test('numbers are the same for the same seed, spread over ±scale', () => {
    const values = numbers(10_000, 7, 2);
    expect(numbers(10_000, 7, 2)).toEqual(values);
    expect(numbers(10_000, 8, 2)).not.toEqual(values);
    expect(Math.max(...values)).toBeGreaterThan(1.99);
    expect(Math.min(...values)).toBeLessThan(-1.99);
    expect(Math.abs(values.reduce((a, b) => a + b) / values.length)).toBeLessThan(0.05);
  });

  test('transposed exchanges axes as NumPy does', () => {
    const x = { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) };
    expect(transposed(x, [1, 0])).toEqual({ shape: [3, 2], data: Float32Array.of(1, 4, 2, 5, 3, 6) });
    const map = { shape: [1, 2, 2, 3], data: numbers(12, 1) };
    expect(transposed(transposed(map, [0, 2, 3, 1]), [0, 3, 1, 2])).toEqual(map);
  });

  test("the reference's gradients are the adjoints of its convolution", () => {
    // ⟨conv(x, w), g⟩ = ⟨x, gradient in x⟩ = ⟨w, gradient in w⟩; small enough that every element is a sample.
    const sizes = { name: '', target: 1, images: 1, channels: 2, size: 4 };
    const { x, w, g } = convOperands(sizes);
    const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a).reduce((sum, v, i) => sum + v * b[i], 0);
    const [y] = reference({ ...sizes, kind: 'conv2d' });
    const [dx, dw] = reference({ ...sizes, kind: 'conv2d gradients' });
    expect(samplesOf(x.data.length)).toHaveLength(x.data.length);
    expect(dot(x.data, dx)).toBeCloseTo(dot(y, g.data), 9);
    expect(dot(w.data, dw)).toBeCloseTo(dot(y, g.data), 9);
  });

  test("the reference's training learns, by more between steps than the comparison lets pass", () => {
    const [losses] = reference(cases.find(({ kind }) => kind === 'training')!);
    expect(losses).toHaveLength(classifier.checkedSteps);
    for (let i = 1; i < losses.length; i++)
      expect(Math.abs(losses[i] - losses[i - 1])).toBeGreaterThan(0.02 * losses[0]);
  });
});
