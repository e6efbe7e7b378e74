import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { openCacheFolder, openFolder } from '../src/io/files.ts';
import { families } from '../src/runtime/kernels/families.ts';
import { MATMUL, matmul, type Product } from '../src/runtime/kernels/matmul.ts';
import { type RaceOptions, race } from '../src/runtime/race.ts';
import { tuneProblem } from '../src/runtime/tuner.ts';
import { type Family, sameVariant, type Variant, variantText } from '../src/runtime/variants.ts';
import { applyVariants, parseConfig, writeConfig } from '../src/train/runConfig.ts';
import type { Recipe, Training } from '../src/train/training.ts';
import { TuningCache, tellNotOffered } from '../src/train/tune/cache.ts';
import { tuneRecipe } from '../src/train/tune/tune.ts';
import { useDevice } from './device.ts';
import { temporaryFolder } from './runs.ts';

const on = useDevice();
const root = temporaryFolder();

const product: Product = {
  ...{ batch: 1, batchA: 1, batchB: 1, m: 20, n: 24, k: 12 },
  ...{ transposeA: false, transposeB: false, half: false },
};
const key = `matmul ${MATMUL.shapeClass(product)}`;
const quick = { rounds: 1, turn: 1 };

describe('tuneProblem', () => {
  test('measures every variant, and takes one of them', async () => {
    const { device } = on;
    const { measured, best } = await tuneProblem(device, MATMUL, product, quick);
    const offered = MATMUL.variants(product, device).map(variantText);
    expect(measured.map(({ variant }) => variantText(variant))).toEqual(offered);
    for (const { ms, failure } of measured) {
      expect(failure).toBeUndefined();
      expect(ms).toBeGreaterThan(0);
    }
    expect(offered).toContain(variantText(best!));
  });

  test('drops what is wrong, in any element, and what does not compile', async () => {
    const { device } = on;
    const [right] = MATMUL.variants(product, device);
    const broken = (kernel: string): Variant => ({ kernel, tile: {} });
    const family: Family<Product> = {
      ...MATMUL,
      variants: () => [right, broken('one'), broken('nan'), broken('uncompiled')],
      run(operands, problem, variant) {
        if (variant === right) return MATMUL.run(operands, problem, right);
        const y = MATMUL.run(operands, problem, right);
        const store = {
          one: 'y[101] = 7.5;',
          nan: 'y[0] = bitcast<f32>(0x7fc00000u + u32(abs(y[1]) > 1e9));',
          uncompiled: 'y[0] = nothing;',
        };
        const source =
          '@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n' +
          `@compute @workgroup_size(1) fn main() { ${store[variant.kernel as 'one']} }`;
        device.dispatch(device.kernel({ name: `broken ${variant.kernel}`, source }), [y], [], [1]);
        return y;
      },
    };
    const { measured, best } = await tuneProblem(device, family, product, quick);
    expect(best).toBe(right);
    const failures = measured.map(({ failure }) => failure);
    expect(failures[0]).toBeUndefined();
    expect(failures[1]).toMatch(/^element \[0, 4, 5\] is 7\.5, and not /);
    expect(failures[2]).toMatch(/^element \[0, 0, 0\] is NaN, and not /);
    expect(failures[3]).toContain('broken uncompiled');
    expect(measured.slice(1).every(({ ms }) => ms === undefined)).toBe(true);
  });
});

describe('tuneRecipe', () => {
  /** Steps of two products, the larger one last. */
  const training: Training = {
    ...{ modules: {}, optimizers: {}, lossNames: [], mainLoss: '', imagesPerStep: 1 },
    step({ phase }) {
      phase('step', () => {
        for (const m of [product.m / 4, product.m]) {
          matmul(on.device.empty([m, product.k]), on.device.empty([product.k, product.n]));
        }
      });
      return {};
    },
  };
  const recipe: Recipe = { name: 'products', about: '', defaults: {}, create: async () => training };

  test('measures what is heaviest first, remembers it at once, and does not measure it again', async () => {
    const { device } = on;
    device.choices.prefer(undefined);
    const folder = await openFolder(join(root, 'recipe'), { create: true });
    const ended = tuneRecipe(device, {
      ...{ recipe, options: {}, budget: 60, cache: await TuningCache.open(device, folder) },
      progress() {
        throw new Error('ended early');
      },
    });
    await expect(ended).rejects.toThrow('ended early');
    const cache = await TuningCache.open(device, folder);
    const { classes, known, left } = await tuneRecipe(device, {
      recipe,
      options: {},
      budget: -1,
      onlyNew: true,
      cache,
    });
    expect({ classes, known }).toEqual({ classes: [], known: 1 });
    expect(left).toEqual([`matmul ${MATMUL.shapeClass({ ...product, m: product.m / 4 })}`]);
  });
});

describe('a race', () => {
  /** Races work of so many milliseconds by a clock of its own; of each, its time and how often it ran. */
  async function raced(costs: readonly number[], options: RaceOptions) {
    let clock = 0;
    const turns = costs.map(() => 0);
    vi.spyOn(performance, 'now').mockImplementation(() => clock);
    try {
      const runners = costs.map((ms, i) => () => {
        turns[i]++;
        clock += ms;
      });
      return { times: await race({ finish: async () => {} }, runners, options), turns };
    } finally {
      vi.restoreAllMocks();
    }
  }

  test('gives no second turn to what is hopeless', async () => {
    // Alone once, then a turn a round: of work that is hopeless none but the first.
    expect(await raced([1, 60, 2], { rounds: 3, turn: 1, hopeless: 10 })).toEqual({
      times: [1, 60, 2],
      turns: [4, 2, 4],
    });
  });

  test('repeats short work until it fills its turn, and ends when one is left', async () => {
    expect(await raced([1, 2], { rounds: 5, turn: 20, hopeless: 1.5 })).toEqual({
      times: [1, 2],
      turns: [1 + 20 + 20, 1 + 10 + 10],
    });
    expect(await raced([4], { rounds: 2, turn: 20 })).toEqual({ times: [4], turns: [1 + 5 + 5] });
  });
});

/** What a product of these sizes is computed with. */
const chosen = (): Variant => {
  on.device.scope('product', () => matmul(on.device.empty([20, 12]), on.device.empty([12, 24])));
  return on.device.choices.met.get(key)!.variant;
};

describe('the cache', () => {
  const path = join(root, 'cache');
  const file = join(path, 'tuning.json');
  beforeEach(() => {
    mkdirSync(path, { recursive: true });
    on.device.choices.prefer(undefined);
  });
  const open = async () => TuningCache.open(on.device, await openFolder(path));
  const last = () => MATMUL.variants(product, on.device).at(-1)!;
  const family = MATMUL as Family<unknown>;

  test('remembers what is fastest, and the device takes it', async () => {
    const cache = await open();
    expect(cache.has(family, product, on.device)).toBe(false);
    expect(sameVariant(chosen(), last())).toBe(false);
    cache.remember(family, product, last());
    await cache.save();
    const again = await open();
    expect(again.has(family, product, on.device)).toBe(true);
    again.apply(on.device);
    expect(sameVariant(chosen(), last())).toBe(true);
  });

  test('keeps what it says of other adapters', async () => {
    const content = JSON.parse(readFileSync(file, 'utf8'));
    content.adapters['Some GPU, 1.2'] = { matmul: { shaders: 'abc', classes: { x: 'gemm' } } };
    writeFileSync(file, JSON.stringify(content));
    await (await open()).save();
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(content);
  });

  test('forgets what was measured of other shaders', async () => {
    const content = JSON.parse(readFileSync(file, 'utf8'));
    const [adapter] = Object.keys(content.adapters);
    content.adapters[adapter].matmul.shaders = '0'.repeat(64);
    writeFileSync(file, JSON.stringify(content));
    expect((await open()).has(family, product, on.device)).toBe(false);
  });

  test.each(['', '{', 'null', '[]', '{"version":1}', '{"version":1,"adapters":null}', '{"version":99,"adapters":{}}'])(
    'that holds %j is ignored, and written anew',
    async text => {
      writeFileSync(file, text);
      const cache = await open();
      expect(cache.has(family, product, on.device)).toBe(false);
      cache.remember(family, product, last());
      await cache.save();
      expect((await open()).has(family, product, on.device)).toBe(true);
    },
  );

  test('keeps what another process has measured meanwhile', async () => {
    const [one, other] = [await open(), await open()];
    const larger = { ...product, m: 80 };
    one.remember(family, product, last());
    await one.save();
    other.remember(family, larger, last());
    await other.save();
    const both = await open();
    for (const problem of [product, larger]) expect(both.has(family, problem, on.device)).toBe(true);
  });

  test('of variants that are none, or that no family offers, changes nothing, which is said once', async () => {
    const cache = await open();
    const [usual] = MATMUL.variants(product, on.device);
    const unknown = { kernel: 'gemm', tile: { TILE_M: 4096 } };
    cache.remember(family, product, unknown);
    cache.remember(family, { ...product, m: 80 }, unknown);
    await cache.save();
    // It is to be measured again.
    expect(cache.has(family, product, on.device)).toBe(false);
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace(
        /("matmul": \{\s*"shaders": "\w+",\s*"classes": \{)/,
        '$1 "y": 5, "z": "../x",',
      ),
    );
    const again = await open();
    const told: string[] = [];
    again.apply(on.device);
    tellNotOffered(on.device, again.path, 'advice', text => told.push(text));
    expect(sameVariant(chosen(), usual)).toBe(true);
    on.device.scope('product', () => matmul(on.device.empty([80, 12]), on.device.empty([12, 24])));
    expect(told).toEqual([`${key}: gemm TILE_M=4096 of ${file} is not offered here, the default is taken; advice`]);
  });

  test('lies where the system keeps caches; that of the tests is not the one of the user', async () => {
    const before = process.env.XDG_CACHE_HOME;
    expect((await openCacheFolder()).path).toContain(join('node_modules', '.cache', 'tests'));
    process.env.XDG_CACHE_HOME = join(root, 'xdg');
    try {
      expect((await openCacheFolder()).path).toBe(join(root, 'xdg', 'wgrad'));
    } finally {
      if (before === undefined) delete process.env.XDG_CACHE_HOME;
      else process.env.XDG_CACHE_HOME = before;
    }
  });

  test('every family has shaders whose change would show', () => {
    for (const { shaders } of families) expect(shaders.every(({ source }) => source.includes('@compute'))).toBe(true);
  });
});

describe('config.json', () => {
  const config = { recipe: 'parsing', options: {}, adapter: { name: 'A', driver: 'B' } };

  test('has the variants of its run', () => {
    const variants = { [key]: 'gemm TILE_M=64' };
    expect(parseConfig(JSON.stringify({ ...config, variants }), 'x')).toMatchObject({ adapter: 'A', variants });
    expect(parseConfig(JSON.stringify({ recipe: 'parsing', options: {} }), 'x').variants).toEqual({});
  });

  test('lets the run go on with them on its adapter, whatever else was measured, and on no other', async () => {
    const { device } = on;
    const variants = MATMUL.variants(product, device);
    const folder = await openFolder(join(root, 'run'), { create: true });
    const run = { recipe: 'parsing', options: {}, adapter: device.adapter.name };
    await writeConfig(folder, { ...run, variants: { [key]: variantText(variants[2]), other: 'gemm' } }, device);
    const read = parseConfig(await folder.readText('config.json'), 'x');
    // Those that this part of the run has not met yet stay.
    expect(read.variants).toMatchObject({ [key]: variantText(variants[2]), other: 'gemm' });
    device.choices.set(key, variants[1]);
    await applyVariants({ ...read, variants: { [key]: variantText(variants[2]) } }, device);
    expect(sameVariant(chosen(), variants[2])).toBe(true);
    device.choices.set(key, variants[1]);
    await applyVariants({ ...read, adapter: 'another', variants: { [key]: variantText(variants[2]) } }, device);
    expect(sameVariant(chosen(), variants[1])).toBe(true);
  });

  test('that names a variant which is not offered any more takes the default, and says so once', async () => {
    const { device } = on;
    const told: string[] = [];
    const run = {
      recipe: 'parsing',
      options: {},
      adapter: device.adapter.name,
      variants: { [key]: 'gemm TILE_M=4096' },
    };
    await applyVariants(run, device, text => told.push(text));
    expect(sameVariant(chosen(), MATMUL.variants(product, device)[0])).toBe(true);
    chosen();
    expect(told).toEqual([
      expect.stringMatching(/^matmul .*: gemm TILE_M=4096 of config\.json is not offered here, .*/),
    ]);
  });

  test.each([[5], ['x'], [{ a: 5 }], [{ a: '../x' }], [null]])('with %j for them is refused', variants => {
    expect(() => parseConfig(JSON.stringify({ ...config, variants }), 'x')).toThrow(
      'x: its variants are not those of a run',
    );
  });
});
