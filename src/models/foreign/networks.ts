import { UserError } from '../../io/errors.ts';
import type { StoredTensor } from '../../io/storedTensor.ts';
import { RecognitionNetwork, type RecognitionOptions } from '../arcface.ts';
import { Inception } from '../inception.ts';
import { Lpips, LpipsLike, type LpipsNet } from '../lpips.ts';
import { checkStateDict } from '../module.ts';
import { ParsingUNet, type ParsingUNetOptions } from '../parsing.ts';
import { modeOf, trunkOf } from './encoders.ts';
import { type Flat, part } from './flat.ts';
import type { Kind, Recognised } from './kinds.ts';

/** The sizes of networks follow from the shapes of their tensors. */
type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;
type Tensors = ReadonlyMap<string, StoredTensor>;

/** The tensors of a state dict, which may lie under `state_dict` and may come from DataParallel ('module.'). */
function stateDict({ tensors }: Flat): { prefix: string; own: Map<string, StoredTensor> } {
  const inner = part(tensors, 'state_dict.');
  const outer = inner.size > 0 ? 'state_dict.' : '';
  const own = inner.size > 0 ? inner : new Map(tensors);
  if (own.size === 0 || ![...own.keys()].every(key => key.startsWith('module.'))) return { prefix: outer, own };
  return { prefix: `${outer}module.`, own: part(own, 'module.') };
}

function recognised(kind: Kind, about: string, prefix: string, tensors: Tensors, taken: Iterable<string>): Recognised {
  return { kind, about, tensors, used: new Set([...taken].map(key => prefix + key)) };
}

/** ArcFace's IR-SE50, CurricularFace's IR-101, and wgrad's own: `input_layer.*`, `body.*`, `output_layer.*`. */
export function recogniseRecognition(flat: Flat): Recognised | undefined {
  const { prefix, own } = stateDict(flat);
  if (!own.has('output_layer.3.weight') || !own.has('body.0.res_layer.1.weight')) return undefined;
  const options = recognitionOptions(own);
  checkStateDict(new RecognitionNetwork(options), own, { source: flat.name });
  const units = options.units!.reduce((a, b) => a + b, 0);
  const name = options.mode === 'ir_se' ? 'IR-SE' : 'IR';
  const depth: Record<number, string> = { 24: '50', 49: '101', 50: '152' };
  const about = `${depth[units] ? `${name}-${depth[units]}` : `${name} with ${units} units`}, embedding of ${options.embedding}`;
  return recognised('recognition', about, prefix, own, own.keys());
}

/**
 * The sizes of a recognition network, from its tensors. The crop is not among them: it is taken to be as large as what
 * the trunk leaves says, 16 times that.
 */
export function recognitionOptions(tensors: Shapes): RecognitionOptions {
  const { channels, units } = trunkOf(tensors);
  const [embedding, inputs] = tensors.get('output_layer.3.weight')!.shape;
  const side = Math.sqrt(inputs / channels[channels.length - 1]);
  return {
    channels,
    units,
    embedding,
    inputSize: side * 2 ** channels.length,
    mode: modeOf(tensors),
    affine: tensors.has('output_layer.4.weight'),
  };
}

/** The U-Net of CelebAMask-HQ: `conv1.conv1.0.weight` … `final.bias`. */
export function recogniseParsing(flat: Flat): Recognised | undefined {
  const { prefix, own } = stateDict(flat);
  if (!own.has('conv1.conv1.0.weight') || !own.has('center.conv2.0.weight')) return undefined;
  const options = parsingOptions(own);
  checkStateDict(new ParsingUNet(options), own, { source: flat.name });
  const filters = own.get('conv1.conv1.0.weight')!.shape[0];
  return recognised(
    'parsing',
    `${filters} filters${options.decoder ? '' : ', without decoder'}`,
    prefix,
    own,
    own.keys(),
  );
}

export function parsingOptions(tensors: Shapes): ParsingUNetOptions {
  const filters = tensors.get('conv1.conv1.0.weight')!.shape[0];
  return { featureScale: 64 / filters, decoder: tensors.has('final.weight') };
}

const NETS: readonly LpipsNet[] = ['alex', 'vgg', 'squeeze'];

/** The trunk of an LPIPS, by the channels of its linear layers. */
export function lpipsNet(tensors: Shapes): LpipsNet | undefined {
  const widths = (lin: (k: number) => string) => {
    const found: number[] = [];
    for (let k = 0; tensors.has(lin(k)); k++) found.push(tensors.get(lin(k))!.shape[1]);
    return found.join();
  };
  const own = widths(k => `lin${k}.model.1.weight`);
  const known: Record<string, LpipsNet> = {
    '64,192,384,256,256': 'alex',
    '64,128,256,512,512': 'vgg',
    '64,128,256,384,384,512,512': 'squeeze',
  };
  return known[own];
}

/** LPIPS as a whole (`net.slice1.0.weight`, `lin0.model.1.weight`), or its linear layers alone. */
export function recogniseLpips(flat: Flat): Recognised | undefined {
  const { prefix, own } = stateDict(flat);
  // The encoders' repositories cut the names.
  const renamed = new Map(
    [...own].map(([key, tensor]) => [key.replace(/^(?:lin\.)?(\d)\.1\.weight$/, 'lin$1.model.1.weight'), tensor]),
  );
  const net = lpipsNet(renamed);
  if (!net) return undefined;
  if (!renamed.has('net.slice1.0.weight')) {
    const linear = new Map([...renamed].filter(([key]) => key.startsWith('lin')));
    return recognised('lpips-linear', `for ${net}`, prefix, linear, own.keys());
  }
  const wanted = new Lpips({ net }).state();
  const tensors = new Map([...renamed].filter(([key]) => wanted.has(key)));
  checkStateDict(new Lpips({ net }), tensors, { source: flat.name });
  // Official files have each linear layer twice.
  const taken = [...own.keys()].filter(key => !key.startsWith('lins.') || tensors.size > 0);
  return recognised('lpips', `on ${net}`, prefix, tensors, taken);
}

/** The trunk that wgrad trains itself for LPIPS-like(self): `slice1.0.weight` … `slice5.22.bias`. */
export function recogniseLpipsLike(flat: Flat): Recognised | undefined {
  const { prefix, own } = stateDict(flat);
  if (!own.has('slice1.0.weight') || !own.has('slice5.20.weight')) return undefined;
  const width = lpipsLikeWidth(own);
  checkStateDict(new LpipsLike({ width }), own, { source: flat.name });
  return recognised('lpips-like', `${width} to ${8 * width} channels`, prefix, own, own.keys());
}

export function lpipsLikeWidth(tensors: Shapes): number {
  return tensors.get('slice1.0.weight')!.shape[0];
}

/** The slice of LPIPS's trunk in which each of torchvision's layers lies, by its index. */
const SLICES: Readonly<Record<LpipsNet, readonly number[]>> = {
  alex: [0, 2, 5, 8, 10],
  vgg: [0, 4, 9, 16, 23],
  squeeze: [0, 2, 5, 8, 10, 11, 12],
};

const TRUNKS: Readonly<Record<LpipsNet, { kind: Kind; probe: string; shape: readonly number[] }>> = {
  alex: { kind: 'alexnet', probe: 'features.0.weight', shape: [64, 3, 11, 11] },
  vgg: { kind: 'vgg16', probe: 'features.28.weight', shape: [512, 512, 3, 3] },
  squeeze: { kind: 'squeezenet', probe: 'features.12.squeeze.weight', shape: [64, 512, 1, 1] },
};

/** torchvision's name of a trunk's layer: 'net.slice2.3.weight' is 'features.3.weight'. */
export function torchvisionKey(key: string): string {
  return key.replace(/^net\.slice\d+\./, 'features.');
}

/** torchvision's AlexNet, VGG-16 and SqueezeNet 1.1: the trunks of LPIPS, under LPIPS's keys; no classifier. */
export function recogniseTrunk(flat: Flat): Recognised | undefined {
  const { prefix, own } = stateDict(flat);
  for (const net of NETS) {
    const { kind, probe, shape } = TRUNKS[net];
    if (`${own.get(probe)?.shape}` !== `${shape}`) continue;
    const tensors = new Map<string, StoredTensor>();
    const taken: string[] = [];
    for (const [key, tensor] of own) {
      const [, index, rest] = /^features\.(\d+)\.(.+)$/.exec(key) ?? [];
      if (index === undefined) continue;
      const slice = SLICES[net].filter(start => start <= Number(index)).length;
      tensors.set(`net.slice${slice}.${index}.${rest}`, tensor);
      taken.push(key);
    }
    const wanted = [...new Lpips({ net }).state()].filter(([key]) => key.startsWith('net.'));
    for (const [key, { shape }] of wanted) {
      const found = tensors.get(key)?.shape;
      if (`${found}` === `${shape}`) continue;
      const what = found ? `is [${found}], ${kind} wants [${shape}]` : 'is missing';
      throw new UserError(`${flat.name}: "${torchvisionKey(key)}" ${what}`);
    }
    return recognised(kind, 'from torchvision', prefix, tensors, taken);
  }
  return undefined;
}

/**
 * Inception-v3 of torchvision, or pytorch-fid's: its classifier stays, as the number of classes tells the two apart; the
 * auxiliary one does not.
 */
export function recogniseInception(flat: Flat): Recognised | undefined {
  const { prefix, own } = stateDict(flat);
  const classes = own.get('fc.weight')?.shape[0];
  if (!own.has('Mixed_7c.branch_pool.conv.weight') || classes === undefined) return undefined;
  const tensors = new Map([...own].filter(([key]) => !key.startsWith('AuxLogits.')));
  const features = new Map([...tensors].filter(([key]) => !key.startsWith('fc.')));
  checkStateDict(new Inception(), features, { source: flat.name });
  return recognised('inception', `${classes} classes`, prefix, tensors, tensors.keys());
}

/** Blocks of ResNet-34's layers 1 to 4. */
const BLOCKS = [3, 4, 6, 3];

/** torchvision's name of a tensor of the encoders' ResNet-34: 'body.3.conv1.weight' is 'layer2.0.conv1.weight'. */
export function resnetKey(key: string): string {
  return key.replace(/^body\.(\d+)\./, (_, index: string) => {
    let block = Number(index);
    let layer = 0;
    while (layer < 3 && block >= BLOCKS[layer]) block -= BLOCKS[layer++];
    return `layer${layer + 1}.${block}.`;
  });
}

/**
 * ResNet-34 of torchvision, its blocks numbered through as in the encoders of ReStyle and HyperStyle (`body.0.*`), and
 * MoCo v2's ResNet-50 with torchvision's names; neither with its last layer.
 */
export function recogniseResNet(flat: Flat): Recognised | undefined {
  const moco = part(flat.tensors, 'state_dict.module.encoder_q.');
  const { prefix, own } = moco.size > 0 ? { prefix: 'state_dict.module.encoder_q.', own: moco } : stateDict(flat);
  if (!own.has('conv1.weight') || !own.has('layer4.2.conv2.weight') || own.has('layer4.3.conv1.weight'))
    return undefined;
  const taken = [...own.keys()].filter(key => !key.startsWith('fc.'));
  const isDeep = own.has('layer1.0.conv3.weight');
  if (isDeep) {
    if (own.has('layer3.6.conv1.weight')) return undefined;
    const tensors = new Map(taken.map(key => [key, own.get(key)!]));
    return recognised('resnet50', moco.size > 0 ? 'query encoder' : 'from torchvision', prefix, tensors, taken);
  }
  if (!own.has('layer3.5.conv1.weight')) return undefined;
  const tensors = new Map(
    taken.map(key => {
      const renamed = key.replace(/^layer(\d)\.(\d+)\./, (_, layer: string, block: string) => {
        const before = BLOCKS.slice(0, Number(layer) - 1).reduce((a, b) => a + b, 0);
        return `body.${before + Number(block)}.`;
      });
      return [renamed, own.get(key)!];
    }),
  );
  return recognised('resnet34', 'from torchvision', prefix, tensors, taken);
}
