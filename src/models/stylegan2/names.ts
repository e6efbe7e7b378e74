import type { Module, StateDict } from '../module.ts';

/**
 * Names of NVlabs/stylegan2-ada-pytorch. Its networks hold the same tensors as rosinality's, up to axes of length 1 and
 * the gain of the generator's filters, so that conversion is a renaming.
 */
export interface Naming {
  /**
   * The module's key for a key of the other naming; undefined for a tensor that the module computes or does not use.
   */
  key(name: string): string | undefined;
  /** Values under the other names as values under the module's keys. */
  convert(values: StateDict): StateDict;
}

const LAYER: Readonly<Record<string, string>> = {
  weight: 'conv.weight',
  'affine.weight': 'conv.modulation.weight',
  'affine.bias': 'conv.modulation.bias',
  noise_strength: 'noise.weight',
  bias: 'activate.bias',
};

const TO_RGB: Readonly<Record<string, string>> = { ...LAYER, bias: 'bias' };

/** The generator's key for an NVlabs name; `mapping.w_avg` is `latent_avg`, which lies beside the state dict. */
export function generatorKey(name: string): string | undefined {
  if (name === 'mapping.w_avg') return 'latent_avg';
  if (name === 'synthesis.b4.const') return 'input.input';
  const dense = /^mapping\.fc(\d+)\.(weight|bias)$/.exec(name);
  if (dense) return `style.${Number(dense[1]) + 1}.${dense[2]}`;
  const [, resolution, layer, rest] = /^synthesis\.b(\d+)\.(?:(conv0|conv1|torgb)\.)?(.+)$/.exec(name) ?? [];
  const log2 = Math.log2(Number(resolution));
  const block = log2 - 3;
  const index = 2 * block + (layer === 'conv1' ? 1 : 0);
  if (rest === 'resample_filter') {
    if (layer === 'conv0') return `convs.${index}.conv.blur.kernel`;
    return layer || block < 0 ? undefined : `to_rgbs.${block}.upsample.kernel`;
  }
  if (layer === 'torgb') return TO_RGB[rest] && `${block < 0 ? 'to_rgb1' : `to_rgbs.${block}`}.${TO_RGB[rest]}`;
  if (rest === 'noise_const') return `noises.noise_${index + 1}`;
  return LAYER[rest] && `${block < 0 ? 'conv1' : `convs.${index}`}.${LAYER[rest]}`;
}

/** The discriminator's key for an NVlabs name, for images of `size`; empty or undefined where it has none. */
export function discriminatorKey(name: string, size: number): string | undefined {
  const [, resolution, layer, rest] = /^b(\d+)\.(\w+)\.(weight|bias|resample_filter)$/.exec(name) ?? [];
  const level = Math.log2(size / Number(resolution));
  const block = `convs.${level + 1}`;
  const fromRgb = level === 0 ? 'convs.0' : `from_rgbs.${level - 1}`;
  const last: Readonly<Record<string, string>> = { fc: 'final_linear.0', out: 'final_linear.1' };
  if (last[layer]) return `${last[layer]}.${rest}`;
  const parts: Readonly<Record<string, readonly [filter: string, weight: string, bias: string]>> = {
    fromrgb: ['', `${fromRgb}.0`, `${fromRgb}.1`],
    conv0: ['', `${block}.conv1.0`, `${block}.conv1.1`],
    conv1: [`${block}.conv2.0`, `${block}.conv2.1`, `${block}.conv2.2`],
    skip: [`${block}.skip.0`, `${block}.skip.1`, ''],
    conv: ['', 'final_conv.0', 'final_conv.1'],
  };
  const [filter, weight, bias] = parts[layer] ?? ['', '', ''];
  if (rest === 'resample_filter') return filter && `${filter}.kernel`;
  return rest === 'weight' ? weight && `${weight}.weight` : bias && `${bias}.bias`;
}

/** Renames and reshapes to the module's shapes; the filters' gain is the module's own. */
function converter(module: Module, key: Naming['key'], filterGain: number): Naming {
  const convert = (values: StateDict): StateDict => {
    const state = module.state();
    const result = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>();
    for (const [name, { shape, data }] of values) {
      const target = key(name);
      if (!target) continue;
      const isFilter = target.endsWith('.kernel');
      result.set(target, {
        shape: state.get(target)?.size === data.length ? state.get(target)!.shape : shape,
        data: isFilter ? Array.from(data, tap => tap * filterGain) : data,
      });
    }
    return result;
  };
  return { key, convert };
}

/** The NVlabs names of a generator's tensors. */
export function nvlabsGenerator(generator: Module): Naming {
  return converter(generator, generatorKey, 4);
}

/** The NVlabs names of a discriminator's tensors. */
export function nvlabsDiscriminator(discriminator: Module & { readonly config: { readonly size: number } }): Naming {
  const { size } = discriminator.config;
  return converter(discriminator, name => discriminatorKey(name, size) || undefined, 1);
}
