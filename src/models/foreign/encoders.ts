import type { StoredTensor } from '../../io/storedTensor.ts';
import { E2StyleEncoder, type E2StyleEncoderOptions } from '../e2style.ts';
import { checkStateDict } from '../module.ts';
import { GradualStyleEncoder, type GradualStyleEncoderOptions } from '../psp.ts';
import { type Flat, part, type Setting, under } from './flat.ts';
import type { Kind, Recognised } from './kinds.ts';
import { checkGenerator } from './stylegan2.ts';

type Tensors = ReadonlyMap<string, StoredTensor>;

/** The parts of the state dicts of this family of projects. */
const PARTS = ['encoder.', 'encoder_firststage.', 'encoder_refinestage_list.', 'hypernet.', 'decoder.'];

/**
 * Checkpoints of pSp, e4e, ReStyle, E2Style and HyperStyle: a state dict of encoder and decoder, the options that it
 * was trained with, and the average latent. Keys stay as they are: `encoder.*`, `decoder.*`, `latent_avg`; e4e's latent
 * discriminator becomes `discriminator.*`. wgrad's own runs of E2Style have their stages under E2Style's names.
 */
export function recogniseEncoder(flat: Flat): Recognised | undefined {
  const tensors = new Map<string, StoredTensor>();
  const used = new Set<string>();
  const take = (from: string, to: string) => {
    const found = part(flat.tensors, from);
    for (const [key, tensor] of under(to, found)) tensors.set(key, tensor);
    for (const key of found.keys()) used.add(from + key);
  };
  for (const prefix of PARTS) {
    take(`state_dict.${prefix}`, prefix);
    if (part(tensors, prefix).size === 0) take(prefix, prefix);
  }
  for (const key of flat.tensors.keys()) {
    const [, prefix, stage] = /^(stage(\d+)\/)body\./.exec(key) ?? [];
    if (prefix === undefined || used.has(key)) continue;
    take(prefix, stage === '1' ? 'encoder_firststage.' : `encoder_refinestage_list.${Number(stage) - 2}.`);
  }
  const kind = kindOf(flat, tensors);
  if (!kind) return undefined;
  take('discriminator_state_dict.', 'discriminator.');
  const average = flat.tensors.get('latent_avg');
  if (average) {
    tensors.set('latent_avg', average);
    used.add('latent_avg');
  }
  const decoder = part(tensors, 'decoder.');
  const size = decoder.size > 0 ? checkGenerator(decoder, `${flat.name} (decoder)`).size : undefined;
  const encoder = part(tensors, 'encoder.');
  const network = networkOf(encoder, kind);
  if (network === FPN && kind !== 'restyle') {
    checkStateDict(new GradualStyleEncoder(pspOptions(encoder)), encoder, { source: `${flat.name} (encoder)` });
  }
  const stages = [...new Set([...tensors.keys()].flatMap(key => STAGE.exec(key)?.[0] ?? []))];
  for (const stage of stages) checkStage(part(tensors, stage), `${flat.name} (${stage.slice(0, -1)})`);
  const about = [
    kind === 'e2style' ? `${stages.length} stage${stages.length === 1 ? '' : 's'}` : network,
    size === undefined ? 'without decoder' : `decoder of ${size} pixels`,
  ].join(', ');
  const options = optionsOf(flat.settings);
  const metadata = options ? { opts: JSON.stringify(options) } : undefined;
  return { kind, about, tensors, used, metadata };
}

const FPN = 'IR-SE with feature pyramid';
/** What the keys of a stage's encoder in E2Style begin with. */
const STAGE = /^(encoder_firststage|encoder_refinestage_list\.\d+)\./;

/** Checks every tensor of a stage's encoder by its own sizes, but for the trunk's fourth stage, which is never run. */
function checkStage(encoder: Tensors, source: string): void {
  const options = e2styleOptions(encoder);
  const used = options.units.reduce((a, b) => a + b, 0);
  const own = new Map([...encoder].filter(([key]) => !(Number(/^body\.(\d+)\./.exec(key)?.[1]) >= used)));
  checkStateDict(new E2StyleEncoder(options), own, { source });
}

/** The sizes of a stage's encoder, from its tensors: those of W+ as the rows of its heads. */
function e2styleOptions(encoder: Tensors): E2StyleEncoderOptions & { readonly units: readonly number[] } {
  const sizes = (key: string) => encoder.get(key)?.shape ?? [];
  const channels = [5, 4, 3].map(level => sizes(`output_layer_${level}.0.weight`)[0]);
  const rows = (level: number) => sizes(`output_layer_${level}.3.weight`)[0];
  let next = 0;
  const units = channels.map((count, stage) => {
    const first = next++;
    // Between stages of as many channels nothing tells where one ends: any division has the same tensors.
    const hasEnd = count !== channels[stage + 1];
    while (
      hasEnd &&
      encoder.has(`body.${next}.res_layer.1.weight`) &&
      !encoder.has(`body.${next}.shortcut_layer.0.weight`)
    )
      next++;
    return next - first;
  });
  return {
    inputChannels: sizes('input_layer.0.weight')[1],
    channels,
    units,
    split: [rows(3), rows(4), rows(5)],
    styleDim: 1,
    poolSize: Math.sqrt(sizes('output_layer_3.3.weight')[1] / channels[2]),
    mode: modeOf(encoder),
  };
}

/** Which project's checkpoint it is; its options decide where the networks are the same. */
function kindOf({ settings, tensors: all }: Flat, tensors: Tensors): Kind | undefined {
  const has = (prefix: string) => [...tensors.keys()].some(key => key.startsWith(prefix));
  if (has('hypernet.')) return 'hyperstyle';
  if (has('encoder_firststage.')) return 'e2style';
  if (!has('encoder.')) return undefined;
  const option = (name: string) => settings.get(`opts.${name}`);
  const input = [...tensors].find(([key]) => /^encoder\.(input_layer\.0|conv1)\.weight$/.test(key))?.[1];
  if (typeof option('n_iters_per_batch') === 'number' || input?.shape[1] === 6) return 'restyle';
  const ofE4e = ['w_discriminator_lambda', 'progressive_steps', 'stylegan_size'].some(
    name => option(name) !== undefined,
  );
  return ofE4e || part(all, 'discriminator_state_dict.').size > 0 ? 'e4e' : 'psp';
}

/** Which encoder it is, in words. */
function networkOf(encoder: Tensors, kind: Kind): string {
  if (kind === 'hyperstyle') return 'hypernetwork';
  const trunk = encoder.has('body.0.bn1.weight') ? 'ResNet-34' : 'IR-SE';
  if (encoder.has('latlayer1.weight')) return trunk === 'IR-SE' ? FPN : `${trunk} with feature pyramid`;
  if (encoder.has('styles.0.linear.weight')) return `${trunk} with heads on its last map`;
  return encoder.has('output_layer_2.3.weight') ? `${trunk}, naive W+` : `${trunk} into W`;
}

/** The sizes of pSp's and e4e's encoder, from its tensors. */
export function pspOptions(encoder: Tensors): GradualStyleEncoderOptions {
  const shape = (key: string) => encoder.get(key)?.shape ?? [];
  const { channels, units } = trunkOf(encoder);
  const convs = (row: number) =>
    [...encoder.keys()].filter(key => key.startsWith(`styles.${row}.convs.`) && key.endsWith('.weight')).length;
  const styles = [...encoder.keys()].filter(key => /^styles\.\d+\.linear\.weight$/.test(key)).length;
  const rows = Array.from({ length: styles }, (_, row) => convs(row));
  const first = (depth: number) => {
    const at = rows.indexOf(depth);
    return at < 0 ? styles : at;
  };
  return {
    inputChannels: shape('input_layer.0.weight')[1],
    channels,
    units,
    // A head halves its map to one pixel; more layers than 16 are of no image.
    inputSize: 16 * 2 ** Math.min(16, rows[0] ?? 0),
    styles,
    middle: first(rows[0] + 1),
    fine: first(rows[0] + 2),
    mode: modeOf(encoder),
  };
}

/** Whether the units of an IR trunk have squeeze and excitation. */
export function modeOf(tensors: ReadonlyMap<string, unknown>): 'ir' | 'ir_se' {
  return tensors.has('body.0.res_layer.5.fc1.weight') ? 'ir_se' : 'ir';
}

/** Channels and units of each stage of an IR trunk: a stage begins where the channels change. */
export function trunkOf(tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>): {
  channels: number[];
  units: number[];
} {
  const channels: number[] = [];
  const units: number[] = [];
  for (let i = 0; ; i++) {
    const weight = tensors.get(`body.${i}.res_layer.1.weight`);
    if (!weight) return { channels, units };
    if (i === 0 || tensors.has(`body.${i}.shortcut_layer.0.weight`)) {
      channels.push(weight.shape[0]);
      units.push(0);
    }
    units[units.length - 1]++;
  }
}

/** The options that a checkpoint keeps, be they a namespace or a dict. */
function optionsOf(settings: ReadonlyMap<string, Setting>): Record<string, Setting> | undefined {
  const options = Object.fromEntries(part(settings, 'opts.'));
  return Object.keys(options).length > 0 ? options : undefined;
}
