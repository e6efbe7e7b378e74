import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { MemoryFile } from '../src/io/ranges.ts';
import { streamSafetensors } from '../src/io/safetensorsFile.ts';
import { readValues, type StoredTensor, tensorOf } from '../src/io/storedTensor.ts';
import { readTorch } from '../src/io/torch/read.ts';
import { streamTorch, type TorchValue } from '../src/io/torch/write.ts';
import { E2StyleEncoder } from '../src/models/e2style.ts';
import { flatten } from '../src/models/foreign/flat.ts';
import type { Foreign } from '../src/models/foreign/kinds.ts';
import { fromNvlabs, toNvlabs } from '../src/models/foreign/nvlabs.ts';
import { foreignState, readForeign, readStateFile } from '../src/models/foreign/read.ts';
import { foreignToSafetensors, foreignToTorch } from '../src/models/foreign/write.ts';
import { Inception } from '../src/models/inception.ts';
import { Lpips } from '../src/models/lpips.ts';
import type { Module } from '../src/models/module.ts';
import { presets } from '../src/models/stylegan2/config.ts';
import { Discriminator } from '../src/models/stylegan2/discriminator.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';

const fixtures = join(import.meta.dirname, 'fixtures', 'foreign');
const folder = mkdtempSync(join(tmpdir(), 'wgrad-foreign-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function write(name: string, pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat(all));
  return path;
}

const writeTorch = (name: string, value: TorchValue) => write(name, streamTorch(value));

/** The tensors of a .pt or .pkl fixture under their own names. */
async function raw(name: string): Promise<ReadonlyMap<string, StoredTensor>> {
  const bytes = new Uint8Array(readFileSync(join(fixtures, name)));
  return flatten(await readTorch(new MemoryFile(bytes), name), name).tensors;
}

async function expectSame(found: StoredTensor | undefined, wanted: StoredTensor | undefined, key: string) {
  expect(found?.shape, key).toEqual(wanted?.shape);
  expect(await readValues(found!), key).toEqual(await readValues(wanted!));
}

/** Random values for a module's state: no network is run. */
function randomState(module: Module): Map<string, StoredTensor> {
  return new Map(
    [...module.state()].map(([key, { shape, size }]) => [
      key,
      tensorOf(
        Float32Array.from({ length: size }, () => Math.random()),
        shape,
      ),
    ]),
  );
}

const FILES: [file: string, kind: string, about: RegExp, tensors: number, leftOut: Record<string, number>][] = [
  [
    'rosinality.pt',
    'stylegan2',
    /^g_ema of 8 pixels, g of 8 pixels, d of 8 pixels, from rosinality$/,
    81,
    { g_optim: 1 },
  ],
  ['rosinality-legacy.pt', 'stylegan2', /^g_ema of 8 pixels, from rosinality$/, 34, {}],
  ['nvlabs-4.pkl', 'stylegan2', /^g_ema .*g .*d of 8 pixels, from NVlabs$/, 83, { training_set_kwargs: 1 }],
  ['nvlabs-3.pkl', 'stylegan2', /^d of 8 pixels, from NVlabs$/, 15, {}],
  ['pti.pt', 'stylegan2', /^g_ema of 8 pixels, from NVlabs$/, 34, {}],
  ['psp.pt', 'psp', /feature pyramid, decoder of 8 pixels/, 0, {}],
  ['e4e.pt', 'e4e', /feature pyramid, without decoder/, 0, { optimizer: 1 }],
  ['restyle.pt', 'restyle', /heads on its last map/, 0, {}],
  ['e2style.pt', 'e2style', /^2 stages/, 0, {}],
  ['hyperstyle.pt', 'hyperstyle', /^hypernetwork/, 16, {}],
  ['recognition.pth', 'recognition', /^IR-SE with 4 units, embedding of 6$/, 0, {}],
  ['curricular.pth', 'recognition', /^IR with 4 units, embedding of 6$/, 0, {}],
  ['parsing.pth', 'parsing', /^1 filters, without decoder$/, 60, {}],
  ['lpips-alex.pth', 'lpips-linear', /^for alex$/, 5, {}],
  ['age.pt', 'direction', /^5 numbers$/, 1, {}],
  ['boundary.npy', 'direction', /^2 rows of 5 numbers$/, 1, {}],
  ['ganspace.npz', 'ganspace', /^4 components of 5$/, 3, { act_comp: 1, act_mean: 1, act_stdev: 1 }],
  ['ganspace.pkl', 'ganspace', /^4 components of 5$/, 3, {}],
  ['ganspace.pt', 'ganspace', /^4 components of 5$/, 3, {}],
  ['tensors.pt', 'unknown', /own names/, 19, {}],
];

describe('files are recognised by their keys', () => {
  test.each(FILES)('%s is of kind %s', async (file, kind, about, tensors, leftOut) => {
    const foreign = await readForeign(join(fixtures, file));
    expect(foreign.kind).toBe(kind);
    expect(foreign.about).toMatch(about);
    if (tensors > 0) expect(foreign.tensors.size).toBe(tensors);
    expect(Object.fromEntries(foreign.leftOut)).toEqual(leftOut);
    for (const tensor of foreign.tensors.values()) await readValues(tensor);
  });

  test.each(FILES.map(([file]) => file))('%s comes back from safetensors and from .pt as it was', async file => {
    const foreign = await readForeign(join(fixtures, file));
    const safetensors = await readForeign(await write('a.safetensors', foreignToSafetensors(foreign)));
    const torch = await readForeign(await write('a.pt', foreignToTorch(safetensors)));
    for (const again of [safetensors, torch]) {
      expect(again.kind).toBe(foreign.kind);
      const lost = again === torch && file === 'nvlabs-4.pkl' ? ['g_latent_avg'] : [];
      expect([...again.tensors.keys()].sort()).toEqual(
        [...foreign.tensors.keys()].filter(key => !lost.includes(key)).sort(),
      );
      for (const [key, tensor] of again.tensors) await expectSame(tensor, foreign.tensors.get(key), key);
    }
    expect(safetensors.metadata).toEqual(foreign.metadata);
    if (foreign.metadata.opts) expect(torch.metadata.opts).toBe(foreign.metadata.opts);
  });

  test('options, prefixes and tied tensors', async () => {
    expect(JSON.parse((await readForeign(join(fixtures, 'psp.pt'))).metadata.opts)).toMatchObject({
      output_size: 8,
      start_from_latent_avg: true,
    });
    expect(JSON.parse((await readForeign(join(fixtures, 'e2style.pt'))).metadata.opts)).toEqual({ training_stage: 2 });
    const e4e = await readForeign(join(fixtures, 'e4e.pt'));
    expect(e4e.tensors.has('discriminator.mlp.0.weight')).toBe(true);
    // CurricularFace's file has the keys of DataParallel.
    expect((await readForeign(join(fixtures, 'curricular.pth'))).tensors.has('body.0.res_layer.0.weight')).toBe(true);
    const hyperstyle = await readForeign(join(fixtures, 'hyperstyle.pt'));
    const path = await write('h.safetensors', foreignToSafetensors(hyperstyle));
    const header = readFileSync(path).toString('latin1');
    expect(header.match(/hypernet\.w2":\{/g)).toHaveLength(1); // nine copies of half a gigabyte in the official file
  });
});

describe('StyleGAN2 of NVlabs', () => {
  test('is renamed by the table, values as they are but for the filters', async () => {
    const theirs = await raw('nvlabs-4.pkl');
    const { tensors, metadata } = await readForeign(join(fixtures, 'nvlabs-4.pkl'));
    const same = async (ours: string, name: string, shape?: number[]) => {
      expect(tensors.get(ours)!.shape, ours).toEqual(shape ?? theirs.get(name)!.shape);
      expect(await readValues(tensors.get(ours)!), ours).toEqual(await readValues(theirs.get(name)!));
    };
    await same('latent_avg', 'G_ema.mapping.w_avg');
    await same('g_latent_avg', 'G.mapping.w_avg');
    await same('g_ema.style.2.weight', 'G_ema.mapping.fc1.weight');
    await same('g_ema.input.input', 'G_ema.synthesis.b4.const', [1, 4, 4, 4]);
    await same('g_ema.conv1.conv.weight', 'G_ema.synthesis.b4.conv1.weight', [1, 4, 4, 3, 3]);
    await same('g_ema.conv1.noise.weight', 'G_ema.synthesis.b4.conv1.noise_strength', [1]);
    await same('g_ema.noises.noise_0', 'G_ema.synthesis.b4.conv1.noise_const', [1, 1, 4, 4]);
    await same('g_ema.noises.noise_2', 'G_ema.synthesis.b8.conv1.noise_const', [1, 1, 8, 8]);
    await same('g_ema.convs.0.conv.weight', 'G_ema.synthesis.b8.conv0.weight', [1, 3, 4, 3, 3]);
    await same('g_ema.convs.1.conv.modulation.bias', 'G_ema.synthesis.b8.conv1.affine.bias');
    await same('g_ema.to_rgb1.bias', 'G_ema.synthesis.b4.torgb.bias', [1, 3, 1, 1]);
    await same('g_ema.to_rgbs.0.conv.weight', 'G_ema.synthesis.b8.torgb.weight', [1, 3, 3, 1, 1]);
    await same('d.convs.0.0.weight', 'D.b8.fromrgb.weight');
    await same('d.convs.1.conv2.1.weight', 'D.b8.conv1.weight');
    await same('d.convs.1.skip.0.kernel', 'D.b8.skip.resample_filter');
    await same('d.final_linear.1.bias', 'D.b4.out.bias');
    const filter = await readValues(theirs.get('G_ema.synthesis.b8.resample_filter')!);
    expect(await readValues(tensors.get('g_ema.to_rgbs.0.upsample.kernel')!)).toEqual(filter.map(tap => 4 * tap));
    expect(metadata['g_ema.conv_clamp']).toBe('256');
    expect(JSON.parse(metadata['g_ema.init_kwargs'])).toMatchObject({ mapping_kwargs: { num_layers: 2 } });
    expect((await readForeign(join(fixtures, 'pti.pt'))).metadata['g_ema.conv_clamp']).toBeUndefined();
  });

  test('and back: every tensor under its name, in its shape', async () => {
    const path = await write(
      'n.pt',
      foreignToTorch(await readForeign(join(fixtures, 'nvlabs-4.pkl')), { layout: 'nvlabs' }),
    );
    const bytes = new Uint8Array(readFileSync(path));
    const written = flatten(await readTorch(new MemoryFile(bytes), path), path).tensors;
    const theirs = new Map([...(await raw('nvlabs-4.pkl'))].filter(([key]) => /^(G|D|G_ema)\./.test(key)));
    expect([...written.keys()].sort()).toEqual([...theirs.keys()].sort());
    for (const [key, tensor] of written) await expectSame(tensor, theirs.get(key), key);
  });

  test.each([
    ['f1024', new Generator(presets.f1024), 17],
    ['small32', new Generator(presets.small32), 7],
    ['discriminator of small64', new Discriminator(presets.small64), 0],
    ['discriminator without skips', new Discriminator({ ...presets.small64, architecture: 'orig' }), 0],
    ['discriminator with images', new Discriminator({ ...presets.small64, architecture: 'skip' }), 0],
  ])('%s: the table is a bijection', (_, module, noises) => {
    const state = new Map<string, StoredTensor>(
      [...module.state()].map(([key, { shape }]) => [key, { dtype: 'F32', shape, identity: key, async *chunks() {} }]),
    );
    const theirs = toNvlabs(state);
    expect([...theirs.keys()].filter(name => name.endsWith('noise_const'))).toHaveLength(noises);
    const ours = fromNvlabs(theirs, 'test');
    expect([...ours.keys()].sort()).toEqual([...state.keys()].sort());
    for (const [key, { shape }] of ours) expect(shape, key).toEqual(state.get(key)!.shape);
  });

  test('what StyleGAN2 does not have is named', () => {
    const tensor = tensorOf(Float32Array.of(1), [1]);
    const of = (name: string) => () =>
      fromNvlabs(
        new Map([
          ['synthesis.b4.const', tensor],
          [name, tensor],
        ]),
        'a.pkl (G)',
      );
    expect(of('mapping.embed.weight')).toThrow(
      'a.pkl (G): "mapping.embed.weight" is of no StyleGAN2 that wgrad has: networks with class labels',
    );
    expect(of(`synthesis.b${'9'.repeat(400)}.const`)).toThrow('is of no StyleGAN2 that wgrad has');
    expect(of('synthesis.L0_36_512.weight')).toThrow('it is a StyleGAN3');
    expect(of('synthesis.b4.skip.weight')).toThrow("of G's architectures only 'skip' is supported");
  });
});

describe('what does not fit is said by key, found and wanted', () => {
  test('a tensor of a wrong shape, and a missing one', async () => {
    const state = randomState(new Generator(presets.micro16));
    state.set('convs.1.activate.bias', tensorOf(new Float32Array(5), [5]));
    const wrong = await writeTorch('wrong.pt', new Map([['g_ema', state]]));
    await expect(readForeign(wrong)).rejects.toThrow(
      `${wrong} (g_ema.): "convs.1.activate.bias" is [5], the model wants [16]`,
    );
    state.delete('convs.1.activate.bias');
    const missing = await writeTorch('missing.pt', new Map([['g_ema', state]]));
    await expect(readForeign(missing)).rejects.toThrow(
      'no tensor "convs.1.activate.bias"; the file is of another model',
    );
  });

  test("a stage of E2Style's, and a head of it that is of another size", async () => {
    const state = new Map(await raw('e2style.pt'));
    state.set('state_dict.encoder_refinestage_list.0.output_layer_4.3.bias', tensorOf(new Float32Array(7), [7]));
    await expect(readForeign(await writeTorch('stage.pt', state))).rejects.toThrow(
      /stage\.pt \(encoder_refinestage_list\.0\): "output_layer_4\.3\.bias" is \[7\], the model wants \[5\]/,
    );
  });

  test('a file without tensors, an empty one, none', async () => {
    await expect(readForeign(await writeTorch('none.pt', new Map([['a', 1]])))).rejects.toThrow(
      'none.pt has no tensors in it',
    );
    writeFileSync(join(folder, 'empty.pt'), '');
    await expect(readForeign(join(folder, 'empty.pt'))).rejects.toThrow('empty.pt is empty');
    await expect(readForeign(join(folder, 'nowhere.pt'))).rejects.toThrow('There is no file');
  });
});

describe('what a file says of itself is not believed', () => {
  const forged = async (metadata: Record<string, string>) =>
    readForeign(
      await write(
        'forged.safetensors',
        streamSafetensors(new Map([['x', tensorOf(Float32Array.of(1), [1])]]), metadata),
      ),
    );

  test.each([
    ...['stylegan2', 'psp', 'e4e', 'restyle', 'e2style', 'hyperstyle', 'recognition', 'parsing'],
    ...['lpips', 'lpips-linear', 'lpips-like', 'inception', 'direction', 'ganspace'],
  ])('a kind that its tensors are not: %s', async kind => {
    await expect(forged({ 'wgrad.kind': kind })).rejects.toThrow('but its tensors are of something else');
  });

  test('options and aliases that are no JSON, an alias of what is not there, a kind that there is not', async () => {
    const deep = await forged({ 'wgrad.kind': 'alexnet', opts: `${'['.repeat(50_000)}${']'.repeat(50_000)}` });
    expect(() => foreignToTorch({ ...deep, kind: 'psp' })).toThrow('opts are nested deeper than 32 levels');
    await expect(forged({ 'wgrad.kind': 'alexnet', opts: '{not json' })).rejects.toThrow('its opts are no JSON');
    await expect(forged({ 'wgrad.kind': 'psp', 'wgrad.aliases': '{' })).rejects.toThrow('its wgrad.aliases is no JSON');
    const aliases = JSON.stringify({ y: 'z' });
    await expect(forged({ 'wgrad.kind': 'psp', 'wgrad.aliases': aliases })).rejects.toThrow("'y' stands for 'z'");
    expect((await forged({ 'wgrad.kind': 'constructor' })).kind).toBe('unknown');
  });
});

describe('tensors that are one', () => {
  test('both names are there when the file is read, as a file of weights too', async () => {
    const state = randomState(new Generator(presets.micro16));
    const tied = await readForeign(
      await writeTorch(
        'tied.pt',
        new Map([
          ['g_ema', state],
          ['g', state],
        ]),
      ),
    );
    const path = await write('tied.safetensors', foreignToSafetensors(tied));
    const { tensors } = await readStateFile(path);
    expect([...tensors.keys()].sort()).toEqual([...tied.tensors.keys()].sort());
    expect(tensors.get('g.input.input')).toEqual(tensors.get('g_ema.input.input'));
  });

  test('empty tensors of two shapes are two', async () => {
    const empty = new Map(
      [
        [2, 'a'],
        [3, 'b'],
      ].map(([size, key]) => [`${key}`, tensorOf(new Float32Array(), [0, +size])]),
    );
    const foreign = await readForeign(await write('empty.safetensors', streamSafetensors(empty)));
    const again = await readForeign(await write('again.safetensors', foreignToSafetensors(foreign)));
    expect([...again.tensors].map(([key, { shape }]) => [key, shape])).toEqual([
      ['a', [0, 2]],
      ['b', [0, 3]],
    ]);
  });
});

describe('networks of torchvision and MoCo', () => {
  const torchvision = (module: Module, name: (key: string) => string | undefined) => {
    const state = new Map<string, StoredTensor>([['classifier.1.weight', tensorOf(new Float32Array(2), [2])]]);
    for (const [key, tensor] of randomState(module)) {
      const found = name(key);
      if (found) state.set(found, tensor);
    }
    return state;
  };

  test.each([
    ['alex', 'alexnet'],
    ['squeeze', 'squeezenet'],
  ] as const)('%s: the trunk has the keys of LPIPS, and goes back', async (net, kind) => {
    const lpips = new Lpips({ net });
    const state = torchvision(lpips, key =>
      key.startsWith('net.') ? key.replace(/^net\.slice\d+/, 'features') : undefined,
    );
    const foreign = await readForeign(await writeTorch('t.pth', state));
    expect(foreign.kind).toBe(kind);
    expect(foreign.leftOut).toEqual(new Map([['classifier', 1]]));
    const wanted = [...lpips.state()].filter(([key]) => key.startsWith('net.'));
    expect([...foreign.tensors].map(([key, { shape }]) => [key, shape]).sort()).toEqual(
      wanted.map(([key, { shape }]) => [key, shape]).sort(),
    );
    const back = await readForeign(await write('b.pth', foreignToTorch(foreign)));
    expect(back.kind).toBe(kind);
  });

  test.each([
    ['pytorch-fid', 1008],
    ['torchvision', 1000],
  ])('Inception-v3 of %s', async (_, classes) => {
    const state = new Map<string, StoredTensor>(
      [...new Inception().state()].map(([key, { shape, size }]) => [key, tensorOf(new Float32Array(size), shape)]),
    );
    state.set('fc.weight', tensorOf(new Float32Array(classes * 2048), [classes, 2048]));
    state.set('AuxLogits.fc.weight', tensorOf(new Float32Array(3), [3]));
    const foreign = await readForeign(await writeTorch('i.pth', state));
    expect([foreign.kind, foreign.about]).toEqual(['inception', `${classes} classes`]);
    expect(foreign.leftOut).toEqual(new Map([['AuxLogits', 1]]));
    expect(foreign.tensors.get('fc.weight')!.shape).toEqual([classes, 2048]);
    state.set('Mixed_7a.branch3x3_2.bn.bias', tensorOf(new Float32Array(3), [3]));
    await expect(readForeign(await writeTorch('i.pth', state))).rejects.toThrow(
      '"Mixed_7a.branch3x3_2.bn.bias" is [3], the model wants [320]',
    );
  });

  const tiny = () => tensorOf(Float32Array.of(1), [1]);
  const resnet = (blocks: number[], convs: number, prefix = '') => {
    const names = ['conv1.weight', 'bn1.weight', 'fc.weight'];
    blocks.forEach((count, i) => {
      for (let b = 0; b < count; b++) {
        for (let k = 1; k <= convs; k++) names.push(`layer${i + 1}.${b}.conv${k}.weight`);
      }
    });
    return new Map(names.map(name => [prefix + name, tiny()]));
  };

  test("ResNet-34's blocks are numbered through", async () => {
    const foreign = await readForeign(await writeTorch('r.pth', resnet([3, 4, 6, 3], 2)));
    expect(foreign.kind).toBe('resnet34');
    for (const key of [
      'body.0.conv1.weight',
      'body.3.conv1.weight',
      'body.7.conv2.weight',
      'body.15.conv2.weight',
      'bn1.weight',
    ]) {
      expect(foreign.tensors.has(key), key).toBe(true);
    }
    expect(foreign.leftOut).toEqual(new Map([['fc', 1]]));
    const back = flatten(
      await readTorch(new MemoryFile(readFileSync(await write('b.pth', foreignToTorch(foreign)))), 'b'),
      'b',
    );
    expect(back.tensors.has('layer2.0.conv1.weight') && back.tensors.has('layer4.2.conv2.weight')).toBe(true);
  });

  test('MoCo v2: the query encoder of ResNet-50 alone', async () => {
    const query = resnet([3, 4, 6, 3], 3, 'module.encoder_q.');
    const state = new Map([...query, ['module.encoder_k.conv1.weight', tiny()], ['module.queue', tiny()]]);
    const foreign = await readForeign(
      await writeTorch(
        'm.pth',
        new Map<string, TorchValue>([
          ['epoch', 800],
          ['state_dict', state],
        ]),
      ),
    );
    expect(foreign.kind).toBe('resnet50');
    expect(foreign.tensors.has('layer1.0.conv3.weight')).toBe(true);
    expect(foreign.tensors.has('fc.weight')).toBe(false);
    expect(foreign.leftOut).toEqual(new Map([['state_dict', 3]]));
  });
});

describe("wgrad's own files", () => {
  test('a checkpoint of StyleGAN2 becomes { g, d, g_ema, latent_avg }', async () => {
    const config = presets.micro16;
    const parts = {
      average: new Generator(config),
      generator: new Generator(config),
      discriminator: new Discriminator(config),
    };
    const tensors = new Map<string, StoredTensor>([['latentAverage/latent_avg', tensorOf(new Float32Array(32), [32])]]);
    for (const [name, module] of Object.entries(parts)) {
      for (const [key, tensor] of randomState(module)) tensors.set(`${name}/${key}`, tensor);
    }
    const own: Foreign = { kind: 'unknown', about: '', tensors, metadata: {}, leftOut: new Map() };
    const foreign = await readForeign(await write('model.safetensors', streamSafetensors(own.tensors)));
    expect([foreign.kind, foreign.about]).toEqual([
      'stylegan2',
      'g_ema of 16 pixels, g of 16 pixels, d of 16 pixels, from wgrad',
    ]);
    const path = await write('w.pt', foreignToTorch(foreign));
    const names = [...flatten(await readTorch(new MemoryFile(readFileSync(path)), path), path).tensors.keys()];
    expect(new Set(names.map(name => name.split('.')[0]))).toEqual(new Set(['g_ema', 'g', 'd', 'latent_avg']));
  });

  test("a run of E2Style's has its stages under E2Style's names, the unused ones of the trunk too", async () => {
    const sizes = { channels: [4, 4, 8], units: [2, 1, 2], split: [3, 2, 1], styleDim: 6, poolSize: 2 } as const;
    const tensors = new Map<string, StoredTensor>();
    for (const [stage, materializeUnused] of [
      ['stage1', true],
      ['stage2', false],
    ] as const) {
      const encoder = new E2StyleEncoder({ ...sizes, inputChannels: stage === 'stage1' ? 3 : 6, materializeUnused });
      for (const [key, tensor] of randomState(encoder)) tensors.set(`${stage}/${key}`, tensor);
    }
    const foreign = await readForeign(await write('run.safetensors', streamSafetensors(tensors)));
    expect([foreign.kind, foreign.about]).toEqual(['e2style', '2 stages, without decoder']);
    expect(foreign.tensors.has('encoder_refinestage_list.0.output_layer_5.3.bias')).toBe(true);
    expect(foreign.leftOut.size).toBe(0);
  });

  test('the weights that come with it are recognised, and their values are read', async () => {
    const weights = join(import.meta.dirname, '..', 'weights');
    const generator = await readForeign(join(weights, 'generator-32.safetensors'));
    expect([generator.kind, generator.about]).toEqual(['stylegan2', 'g_ema of 32 pixels, from rosinality']);
    expect((await readForeign(join(weights, 'recognition-24.safetensors'))).kind).toBe('recognition');
    expect((await readForeign(join(weights, 'parsing-32.safetensors'))).kind).toBe('parsing');
    const trunk = await readForeign(join(weights, 'perceptual-32.safetensors'));
    expect([trunk.kind, trunk.about]).toEqual(['lpips-like', '8 to 64 channels']);
    const state = await foreignState(generator, 'g_ema.');
    expect(state.get('input.input')!.data).toHaveLength(64 * 16);
  });
});
