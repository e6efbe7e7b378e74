import { UserError } from '../../io/errors.ts';
import { RecognitionNetwork } from '../../models/arcface.ts';
import type { CheckpointingOptions } from '../../models/checkpointing.ts';
import { KINDS, type Kind } from '../../models/foreign/kinds.ts';
import { lpipsLikeWidth, lpipsNet, parsingOptions, recognitionOptions } from '../../models/foreign/networks.ts';
import { foreignState, readForeign } from '../../models/foreign/read.ts';
import { Lpips, LpipsLike, type PerceptualDistance } from '../../models/lpips.ts';
import { initialize, loadStateDict, type Module, type StateDict } from '../../models/module.ts';
import { ParsingUNet } from '../../models/parsing.ts';
import type { Device } from '../../runtime/device.ts';

/** LPIPS's trunks among what files can be. */
const TRUNKS: readonly Kind[] = ['alexnet', 'vgg16', 'squeezenet'];

/**
 * LPIPS from a file that holds all of it, or from two, separated by a comma: a trunk of torchvision and the linear
 * layers of its kind; or LPIPS-like(self) from a trunk of wgrad's own. Frozen, on the device.
 * @throws UserError for files of something else
 */
export async function openLpips(device: Device, files: string): Promise<PerceptualDistance> {
  const [first, second, ...more] = files.split(',').map(file => file.trim());
  if (more.length > 0) throw new UserError(`--lpips ${files}: give LPIPS, or a trunk and its linear layers`);
  const parts = await Promise.all([first, ...(second === undefined ? [] : [second])].map(readForeign));
  const kinds = parts.map(({ kind }) => kind);
  if (kinds.length === 1 && kinds[0] === 'lpips-like') {
    const network = new LpipsLike({ width: lpipsLikeWidth(parts[0].tensors) });
    return frozen(network, device, await foreignState(parts[0]), `--lpips ${files}`);
  }
  const isWhole = kinds.length === 1 && kinds[0] === 'lpips';
  const isPair = kinds.length === 2 && kinds.includes('lpips-linear') && kinds.some(kind => TRUNKS.includes(kind));
  if (!isWhole && !isPair) {
    const found = kinds.map(kind => KINDS[kind]).join(' and ');
    throw new UserError(
      `--lpips ${files}: found ${found}; give LPIPS, or a trunk of torchvision and its linear layers as --lpips alexnet.pth,alex.pth`,
    );
  }
  const state = new Map((await Promise.all(parts.map(part => foreignState(part)))).flatMap(part => [...part]));
  const net = lpipsNet(state);
  if (!net) throw new UserError(`--lpips ${files}: linear layers of no LPIPS that wgrad has`);
  const lpips = new Lpips({ net });
  // The statistics of ImageNet, which files may leave out.
  for (const [key, { shape, init }] of lpips.state()) {
    if ('values' in init && !state.has(key)) state.set(key, { shape, data: init.values });
  }
  return frozen(lpips, device, state, `--lpips ${files}`);
}

/** A face recognition network, ArcFace's or CurricularFace's. @throws UserError for a file of something else */
export async function openRecognition(
  device: Device,
  file: string,
  options: CheckpointingOptions = {},
): Promise<RecognitionNetwork> {
  const foreign = await wanted('--id', file, 'recognition');
  const network = new RecognitionNetwork({ ...recognitionOptions(foreign.tensors), ...options });
  return frozen(network, device, await foreignState(foreign), `--id ${file}`);
}

/** The parsing U-Net of CelebAMask-HQ, without its decoder. @throws UserError for a file of something else */
export async function openParsing(device: Device, file: string): Promise<ParsingUNet> {
  const foreign = await wanted('--parsing', file, 'parsing');
  const network = new ParsingUNet({ ...parsingOptions(foreign.tensors), decoder: false });
  return frozen(network, device, await foreignState(foreign), `--parsing ${file}`);
}

async function wanted(flag: string, file: string, kind: Kind) {
  const foreign = await readForeign(file);
  if (foreign.kind === kind) return foreign;
  throw new UserError(`${flag} ${file}: found ${KINDS[foreign.kind]}, wanted a ${KINDS[kind]}`);
}

function frozen<T extends Module>(network: T, device: Device, state: StateDict, source: string): T {
  network.freeze().eval();
  initialize(network, device);
  loadStateDict(network, state, { source, ignoreUnknown: true });
  return network;
}
